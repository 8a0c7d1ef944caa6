//! The Cinder database: what the populator plants, and what the check finds.

use std::collections::BTreeSet;

use sandbox_cloud::cinder::{
    ALL_ZEROS, Check, CinderDatabase, Fault, HOSTS, Kind, Planted, Population, Report, Scope,
};
use sandbox_cloud::{Cloud, Project, User};
use sqlx::SqliteConnection;
use tempfile::TempDir;
use uuid::Uuid;

const FIXED_KEY: [u8; 32] = [7; 32];

struct World {
    cloud: Cloud,
    database: CinderDatabase,
    planted: Planted,
    service: Project,
    cinder: User,
    _dir: TempDir,
}

#[expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]
impl World {
    async fn new(population: Population) -> Self {
        let cloud = Cloud::builder().start().await.unwrap();
        let service = cloud.create_project("service");
        let cinder = cloud.create_user("cinder", "password");
        let dir = tempfile::tempdir().unwrap();
        let database = CinderDatabase::create(dir.path().join("cinder.sqlite"))
            .await
            .unwrap();
        let planted = database.populate(&population, &cloud).await.unwrap();
        Self {
            cloud,
            database,
            planted,
            service,
            cinder,
            _dir: dir,
        }
    }

    /// Does by hand what the program is to do, in one transaction to be quick.
    async fn migrate_everything(&self) {
        let mut transaction = self.database.pool().begin().await.unwrap();
        for ((kind, id), row) in &self.planted.before.rows {
            if row.is_live_zero() && *kind != Kind::Snapshot {
                let readers = self.readers(*kind, id);
                let secret_id = self.store(&FIXED_KEY, &readers).await;
                switch(&mut transaction, *kind, id, secret_id).await;
            }
        }
        transaction.commit().await.unwrap();
    }

    fn readers(&self, kind: Kind, id: &str) -> BTreeSet<String> {
        let rows = &self.planted.before.rows;
        let own = rows[&(kind, id.to_owned())].user_id.clone();
        let dependents = rows
            .values()
            .filter(|row| kind == Kind::Volume && row.volume_id.as_deref() == Some(id))
            .filter(|row| !row.deleted);
        own.into_iter()
            .chain(dependents.filter_map(|row| row.user_id.clone()))
            .collect()
    }

    async fn store(&self, payload: &[u8], readers: &BTreeSet<String>) -> Uuid {
        let secret_id = self
            .cloud
            .plant_secret(&self.service.id, &self.cinder.id, None, payload);
        assert!(self.cloud.set_readers(secret_id, readers.iter().cloned()));
        secret_id
    }

    async fn switch(&self, kind: Kind, id: &str, secret_id: Uuid) {
        let mut connection = self.database.pool().acquire().await.unwrap();
        switch(&mut connection, kind, id, secret_id).await;
    }

    async fn execute(&self, statement: &'static str, id: &str) {
        let query = sqlx::query(statement).bind(id);
        let done = query.execute(self.database.pool()).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    async fn check(&self, scope: Scope) -> Report {
        let check = Check {
            cloud: &self.cloud,
            database: &self.database,
            planted: &self.planted,
            fixed_key: &FIXED_KEY,
            service_user_id: &self.cinder.id,
            scope,
        };
        check.run().await.unwrap()
    }

    fn a_zero(&self, kind: Kind) -> String {
        let mut rows = self
            .planted
            .before
            .of(kind)
            .filter(|row| row.is_live_zero());
        rows.next().unwrap().id.clone()
    }
}

#[expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]
async fn switch(connection: &mut SqliteConnection, kind: Kind, id: &str, secret_id: Uuid) {
    let statements: &[&'static str] = match kind {
        Kind::Volume => &[
            "UPDATE volumes SET encryption_key_id = ?, updated_at = '2026-11-23 08:00:00.1' \
             WHERE id = ?",
            "UPDATE snapshots SET encryption_key_id = ?, updated_at = '2026-11-23 08:00:00.1' \
             WHERE volume_id = ? AND deleted = 0",
        ],
        _ => &[
            "UPDATE backups SET encryption_key_id = ?, updated_at = '2026-11-23 08:00:00.1' \
             WHERE id = ?",
        ],
    };
    for statement in statements {
        let query = sqlx::query(*statement).bind(secret_id.to_string()).bind(id);
        query.execute(&mut *connection).await.unwrap();
    }
}

fn faults(report: &Report) -> Vec<Fault> {
    report
        .lines
        .iter()
        .flat_map(|line| line.faults.clone())
        .collect()
}

#[tokio::test]
async fn the_same_seed_plants_the_same_rows() {
    let one = World::new(Population::default()).await;
    let other = World::new(Population::default()).await;
    assert_eq!(one.planted.before, other.planted.before);
    let different = World::new(Population {
        seed: 2,
        ..Population::default()
    })
    .await;
    assert_ne!(one.planted.before, different.planted.before);
}

#[tokio::test]
async fn as_many_volumes_are_planted_as_were_asked_for_with_all_kinds_around_them() {
    let population = Population {
        volumes: 40,
        unowned: 2,
        homeless: 3,
        ..Population::default()
    };
    let world = World::new(population).await;
    let before = &world.planted.before;
    let zeros = |host: Option<&str>| {
        let on = |row: &&sandbox_cloud::cinder::Row| match host {
            None => row.host.is_none(),
            Some(host) => row
                .host
                .as_deref()
                .is_some_and(|known| known.starts_with(host)),
        };
        before
            .of(Kind::Volume)
            .filter(|row| row.is_live_zero())
            .filter(on)
            .count()
    };
    assert_eq!(zeros(Some("host1@lvm#")), 24 + 2);
    assert_eq!(
        (zeros(Some("host2@ceph#")), zeros(Some("host3@lvm#"))),
        (8, 8)
    );
    assert_eq!(
        (
            zeros(Some("host0@lvm#")),
            zeros(Some("host1@lvm2#")),
            zeros(None)
        ),
        (2, 1, 3)
    );
    let has = |deleted: bool, key: fn(Option<&str>) -> bool| {
        let fits = |row: &sandbox_cloud::cinder::Row| {
            row.deleted == deleted && key(row.encryption_key_id.as_deref())
        };
        [Kind::Volume, Kind::Snapshot, Kind::Backup]
            .iter()
            .all(|kind| before.of(*kind).any(fits))
    };
    assert!(has(false, |key| key == Some(ALL_ZEROS)));
    assert!(has(true, |key| key == Some(ALL_ZEROS)));
    assert!(has(false, |key| key.is_some_and(|key| key != ALL_ZEROS)));
    assert!(has(false, |key| key.is_none()));
    let clustered = before
        .of(Kind::Volume)
        .filter(|row| row.cluster_name.is_some());
    assert!(clustered.count() > 0);
}

#[tokio::test]
async fn a_right_migration_is_found_right() {
    let world = World::new(Population::default()).await;
    world.migrate_everything().await;
    let report = world.check(Scope::Everything).await;
    assert_eq!(faults(&report), []);
    assert!(report.is_right());
    assert!(
        report.lines.iter().all(|line| line.examined > 0),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_migration_that_was_never_run_is_found_wrong_for_its_own_rows_only() {
    let world = World::new(Population::default()).await;
    let host = &HOSTS[1];
    let report = world
        .check(Scope::owned_by([host.backend_host(), host.name.into()]))
        .await;
    let faults = faults(&report);
    assert!(faults.len() > 10);
    for fault in faults {
        let Fault::NotMigrated(kind, id) = fault else {
            panic!("{fault}")
        };
        let row = &world.planted.before.rows[&(kind, id)];
        if let Some(host) = &row.host {
            assert!(host.starts_with("host2"), "{host}");
        }
    }
}

#[tokio::test]
async fn each_kind_of_damage_is_found_where_it_is() {
    let world = World::new(Population::default()).await;
    world.migrate_everything().await;
    let (volume, backup) = (world.a_zero(Kind::Volume), world.a_zero(Kind::Backup));
    let owner = world.readers(Kind::Backup, &backup);

    let wrong = world.store(&[8; 32], &owner).await;
    let right = async |id: &str| {
        let secret_id = world
            .store(&FIXED_KEY, &world.readers(Kind::Backup, id))
            .await;
        world.switch(Kind::Backup, id, secret_id).await;
        secret_id
    };
    let found = async || faults(&world.check(Scope::Everything).await);

    let old: Uuid = {
        let image = world.database.image().await.unwrap();
        let row = &image.rows[&(Kind::Backup, backup.clone())];
        row.encryption_key_id.as_deref().unwrap().parse().unwrap()
    };
    assert_eq!(
        found().await,
        [Fault::UnreferencedSecret(wrong.to_string())]
    );
    assert!(world.cloud.remove_secret(old));
    world.switch(Kind::Backup, &backup, wrong).await;
    let other_bytes =
        Fault::OwnerCannotRead(Kind::Backup, backup.clone(), "got other bytes".into());
    assert_eq!(
        found().await,
        [
            Fault::PayloadDiffers(Kind::Backup, backup.clone()),
            other_bytes
        ]
    );
    assert!(world.cloud.remove_secret(wrong));
    let secret_id = right(&backup).await;
    assert_eq!(found().await, []);

    assert!(world.cloud.set_readers(secret_id, []));
    let unreadable = found().await;
    assert!(
        matches!(unreadable[0], Fault::ReadersDiffer { .. }),
        "{unreadable:?}"
    );
    assert!(matches!(&unreadable[1], Fault::OwnerCannotRead(_, _, why) if why.contains("403")));
    assert!(world.cloud.set_readers(secret_id, owner.iter().cloned()));
    assert_eq!(found().await, []);

    world
        .execute(
            "UPDATE volumes SET encryption_key_id = NULL WHERE id = ?",
            &volume,
        )
        .await;
    assert!(
        found()
            .await
            .contains(&Fault::NotMigrated(Kind::Volume, volume.clone()))
    );
}

#[tokio::test]
async fn a_touched_bystander_is_found_even_by_its_updated_at() {
    let world = World::new(Population::default()).await;
    world.migrate_everything().await;
    let mut volumes = world.planted.before.of(Kind::Volume);
    let bystander = volumes.find(|row| row.deleted).unwrap().id.clone();
    let statement = "UPDATE volumes SET updated_at = '2026-11-23 08:00:00.1' WHERE id = ?";
    world.execute(statement, &bystander).await;
    let report = world.check(Scope::Everything).await;
    assert_eq!(
        faults(&report),
        [Fault::BystanderChanged(Kind::Volume, bystander)]
    );
}

#[tokio::test]
async fn a_row_whose_updated_at_stands_still_is_found() {
    let world = World::new(Population::default()).await;
    world.migrate_everything().await;
    let backup = world.a_zero(Kind::Backup);
    let statement = "UPDATE backups SET updated_at = '2020-01-01 00:00:00.0' WHERE id = ?";
    world.execute(statement, &backup).await;
    let report = world.check(Scope::Everything).await;
    assert_eq!(
        faults(&report),
        [Fault::UpdatedAtNotMoved(Kind::Backup, backup)]
    );
}

#[tokio::test]
async fn living_services_beat_and_dead_ones_do_not() {
    let world = World::new(Population::default()).await;
    let start = world
        .cloud
        .clock()
        .now()
        .strftime("%Y-%m-%d %H:%M")
        .to_string();
    let _heartbeat = world
        .database
        .keep_services_up(world.cloud.clock())
        .await
        .unwrap();
    let fresh: Vec<String> = sqlx::query_scalar(
        "SELECT host FROM services WHERE CAST(updated_at AS TEXT) >= ? ORDER BY id",
    )
    .bind(start)
    .fetch_all(world.database.pool())
    .await
    .unwrap();
    let expected = [
        "host1@lvm",
        "host1",
        "host2@ceph",
        "host2",
        "host3@lvm",
        "host3",
        "controller",
    ];
    assert_eq!(fresh, expected);
}

//! What holds on every database: each case gets a fresh one, with Cinder's own tables.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId, UserId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::{
    Backend, RowKey, Scope, Swap, SwapOutcome, TRANSITIONAL_BACKUP, TRANSITIONAL_VOLUME,
};
use key_migrator_tests::rows::{UPDATED_AT, Value};
use key_migrator_tests::{Backup, CinderDatabase, Service, Snapshot, Volume, ZERO_KEY};
use secrecy::SecretString;
use uuid::Uuid;

/// Makes one test of each case, on the databases that `$fresh` makes.
macro_rules! contract {
    ($fresh:path) => {
        contract! { $fresh:
            a_backend_owns_its_own_rows_and_those_of_its_pools,
            names_are_compared_byte_for_byte,
            a_clustered_backend_owns_its_clusters_rows_and_its_hosts_unclustered_ones,
            several_backends_together_own_what_each_owns,
            a_backup_service_owns_exactly_its_hosts,
            nobody_owns_anything_through_an_empty_list,
            only_rows_at_zeros_that_are_not_deleted_are_counted_and_listed,
            pages_follow_each_other_without_a_gap_or_a_repetition,
            a_fresh_row_tells_key_status_and_users,
            the_users_of_backups_are_told_for_volume_after_volume,
            a_row_that_is_deleted_or_gone_is_none,
            keys_of_many_rows_are_read_at_once,
            a_reference_is_found_in_every_table_and_spelling_unless_deleted,
            a_volume_moves_with_its_zero_snapshots_and_nothing_else,
            a_volume_without_user_or_status_moves,
            a_backup_moves_alone,
            a_snapshot_left_behind_moves_alone,
            a_swap_repeated_finds_that_it_holds_already,
            a_row_that_got_another_key_meanwhile_is_lost,
            a_row_that_was_deleted_meanwhile_is_gone,
            a_row_in_a_transitional_state_is_left_alone,
            a_volume_under_migration_is_left_alone_and_a_settled_one_moves,
            a_changed_user_stops_the_swap,
            a_snapshot_of_a_user_who_may_not_read_stops_the_whole_swap,
            of_two_swaps_at_once_one_wins,
            the_census_counts_every_host_and_tells_what_no_live_service_owns,
            the_census_knows_clusters,
        }
    };
    ($fresh:path: $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() -> anyhow::Result<()> {
                cases::$case(&$fresh().await?).await
            }
        )*
    };
}

/// The adapter under test on this database.
pub(crate) fn open(database: &CinderDatabase) -> CinderDb {
    let url = SecretString::from(database.connection_url());
    let (config, warnings) = ConnectionConfig::parse(&url).expect("the rig writes valid URLs");
    assert_eq!(warnings, []);
    CinderDb::new(config)
}

pub(crate) fn secret() -> SecretId {
    SecretId::new(Uuid::new_v4()).expect("a random UUID is not nil")
}

/// A swap of this row for its user `owner`, who is the only reader.
pub(crate) fn swap(kind: ResourceKind, id: Uuid, secret: SecretId) -> Swap {
    Swap {
        row: RowRef {
            kind,
            id: row_id(id),
        },
        secret,
        user_id: Some("owner".into()),
        readers: [UserId::from("owner")].into_iter().collect(),
    }
}

fn row_id(id: Uuid) -> RowId {
    id.to_string().into()
}

fn host(name: &str) -> Backend {
    Backend {
        host: name.into(),
        cluster: None,
    }
}

fn clustered(cluster: &str, host: &str) -> Backend {
    Backend {
        host: host.into(),
        cluster: Some(cluster.into()),
    }
}

/// What the scan finds, which the count must confirm.
async fn owned(database: &CinderDatabase, scope: Scope) -> Result<BTreeSet<String>> {
    let db = open(database);
    let page = db.zero_rows(&scope, None, 1000).await?;
    assert_eq!(db.count_zero_rows(&scope).await?, page.len() as u64);
    assert_eq!(db.any_row(&scope).await?, !page.is_empty());
    Ok(page.iter().map(|row| row.id.to_string()).collect())
}

fn ids<const N: usize>(ids: [Uuid; N]) -> BTreeSet<String> {
    ids.iter().map(Uuid::to_string).collect()
}

pub(crate) async fn a_backend_owns_its_own_rows_and_those_of_its_pools(
    database: &CinderDatabase,
) -> Result<()> {
    let [own, pool, odd_pool] = ["h@b", "h@b#pool", "h@b#a#b"].map(Volume::on);
    let others = [
        "h@b2",
        "h@b2#pool",
        "h@",
        "h",
        "h@b pool",
        "xh@b",
        "h@b$",
        "h@b\"",
        "#",
        "",
    ];
    database
        .insert(&[own.clone(), pool.clone(), odd_pool.clone()])
        .await?;
    database.insert(&others.map(Volume::on)).await?;
    database.insert(&Volume::without_host()).await?;
    let found = owned(database, Scope::Volumes(vec![host("h@b")])).await?;
    assert_eq!(found, ids([own.id, pool.id, odd_pool.id]));
    Ok(())
}

pub(crate) async fn names_are_compared_byte_for_byte(database: &CinderDatabase) -> Result<()> {
    let names = [
        "h_1@b", "hx1@b", "h%1@b", "hyy1@b", "h\\1@b", "h|1@b", "H_1@b", "h_1@B", "hé1@b", "he1@b",
        "h'1@b", "h\"1@b", "h*1@b", "h?1@b", "h[1]@b", "h_1@b ",
    ];
    for name in names {
        let pool = format!("{name}#p_%|\\");
        let volumes = [Volume::on(name), Volume::on(&pool)];
        database.insert(&volumes).await?;
        database.insert(&Backup::on(name)).await?;
    }
    for name in names {
        let found = owned(database, Scope::Volumes(vec![host(name)])).await?;
        assert_eq!(found.len(), 2, "volumes of {name:?}");
        let found = owned(database, Scope::Backups(vec![name.into()])).await?;
        assert_eq!(found.len(), 1, "backups of {name:?}");
    }
    for pattern in ["h%", "h_1@_", "%", "h\\_1@b", "h|_1@b", "h_1@b#"] {
        assert_eq!(
            owned(database, Scope::Volumes(vec![host(pattern)])).await?,
            ids([])
        );
    }
    Ok(())
}

pub(crate) async fn a_clustered_backend_owns_its_clusters_rows_and_its_hosts_unclustered_ones(
    database: &CinderDatabase,
) -> Result<()> {
    let own = [
        Volume::on_cluster("c@b", "h@b"),
        Volume::on_cluster("c@b#pool", "other@b#pool"),
        Volume::without_host().column("cluster_name", "c@b#pool"),
        Volume::on("h@b"),
        Volume::on("h@b#pool"),
    ];
    let others = [
        Volume::on_cluster("c@b2", "h@b"),
        Volume::on_cluster("c@b2#pool", "h@b#pool"),
        Volume::on_cluster("C@b", "h@b"),
        Volume::on_cluster("", "h@b"),
        Volume::on("h@b2"),
        Volume::on("c@b"),
    ];
    database.insert(&own).await?;
    database.insert(&others).await?;
    let found = owned(database, Scope::Volumes(vec![clustered("c@b", "h@b")])).await?;
    assert_eq!(
        found,
        own.iter().map(|volume| volume.id.to_string()).collect()
    );
    Ok(())
}

pub(crate) async fn several_backends_together_own_what_each_owns(
    database: &CinderDatabase,
) -> Result<()> {
    let [a, b, c] = ["h@a#p", "h@b", "h@c"].map(Volume::on);
    let in_cluster = Volume::on_cluster("k@d#p", "x@d#p");
    // A backend that is in no cluster owns by host alone, whatever cluster a row names.
    let stray = Volume::on_cluster("gone@b", "h@b#p");
    database.insert(&[a.clone(), b.clone(), c]).await?;
    database
        .insert(&[in_cluster.clone(), stray.clone()])
        .await?;
    let backends = vec![host("h@a"), host("h@b"), clustered("k@d", "h@d")];
    let found = owned(database, Scope::Volumes(backends)).await?;
    assert_eq!(found, ids([a.id, b.id, in_cluster.id, stray.id]));
    Ok(())
}

pub(crate) async fn a_backup_service_owns_exactly_its_hosts(
    database: &CinderDatabase,
) -> Result<()> {
    let [own, extra] = ["h", "old-host"].map(Backup::on);
    database.insert(&[own.clone(), extra.clone()]).await?;
    database
        .insert(&["h2", "H", "h#p", "h@b", ""].map(Backup::on))
        .await?;
    database.insert(&Backup::without_host()).await?;
    let found = owned(
        database,
        Scope::Backups(vec!["h".into(), "old-host".into()]),
    )
    .await?;
    assert_eq!(found, ids([own.id, extra.id]));
    Ok(())
}

pub(crate) async fn nobody_owns_anything_through_an_empty_list(
    database: &CinderDatabase,
) -> Result<()> {
    database
        .insert(&[Volume::on("h@b"), Volume::on(""), Volume::without_host()])
        .await?;
    database
        .insert(&[Backup::on("h"), Backup::without_host()])
        .await?;
    assert_eq!(owned(database, Scope::Volumes(vec![])).await?, ids([]));
    assert_eq!(owned(database, Scope::Backups(vec![])).await?, ids([]));
    Ok(())
}

pub(crate) async fn only_rows_at_zeros_that_are_not_deleted_are_counted_and_listed(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let scope = Scope::Volumes(vec![host("h@b")]);
    database.insert(&Volume::on("h@b").deleted()).await?;
    assert!(!db.any_row(&scope).await?);
    database
        .insert(&[
            Volume::on("h@b").key(Uuid::new_v4()),
            Volume::on("h@b").without_key(),
        ])
        .await?;
    assert!(db.any_row(&scope).await?, "a row counts whatever its key");
    assert_eq!(db.count_zero_rows(&scope).await?, 0);
    let zero = Volume::on("h@b")
        .status("in-use")
        .migration_status("migrating");
    database.insert(&zero).await?;
    let page = db.zero_rows(&scope, None, 10).await?;
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].id, row_id(zero.id));
    assert_eq!(page[0].status.status.as_deref(), Some("in-use"));
    assert_eq!(
        page[0].status.migration_status.as_deref(),
        Some("migrating")
    );
    Ok(())
}

pub(crate) async fn pages_follow_each_other_without_a_gap_or_a_repetition(
    database: &CinderDatabase,
) -> Result<()> {
    let volumes: Vec<_> = (0..25).map(|_| Volume::on("h@b#p")).collect();
    database.insert(&volumes).await?;
    let db = open(database);
    let scope = Scope::Volumes(vec![host("h@b")]);
    let mut walked: Vec<RowId> = Vec::new();
    loop {
        let page = db.zero_rows(&scope, walked.last(), 10).await?;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        walked.extend(page.into_iter().map(|row| row.id));
    }
    let mut all: Vec<_> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    all.sort();
    assert_eq!(walked, all);
    Ok(())
}

pub(crate) async fn a_fresh_row_tells_key_status_and_users(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").migration_status("success");
    let other = Volume::on("h@b");
    let volume = volume
        .clone()
        .with_snapshots(1)
        .with_snapshot(Snapshot::of(&volume).owned_by("Snapper"))
        .with_snapshot(Snapshot::of(&volume).owned_by("snapper"))
        .with_snapshot(Snapshot::of(&volume).column("user_id", Value::Null))
        .with_snapshot(Snapshot::of(&volume).owned_by("gone").deleted());
    database
        .insert(&[volume.clone(), other.clone().with_snapshots(1)])
        .await?;
    let key = Uuid::new_v4();
    let backup = Backup::on("h")
        .of(&volume)
        .owned_by("keeper")
        .key(key)
        .status("error");
    database.insert(&backup).await?;
    database
        .insert(&Backup::on("h").of(&volume).owned_by("away").deleted())
        .await?;
    database
        .insert(&Backup::on("h").of(&other).owned_by("stranger"))
        .await?;

    let db = open(database);
    let of = |kind, id| RowRef {
        kind,
        id: row_id(id),
    };
    let fresh = db
        .row(&of(ResourceKind::Volume, volume.id))
        .await?
        .expect("it is there");
    assert_eq!(fresh.key, RowKey::AllZeros);
    assert_eq!(fresh.status.status.as_deref(), Some("available"));
    assert_eq!(fresh.status.migration_status.as_deref(), Some("success"));
    assert_eq!(fresh.user_id, Some("owner".into()));
    let users = ["Snapper", "keeper", "owner", "snapper"].map(UserId::from);
    assert_eq!(fresh.dependent_users, users.into_iter().collect());

    let fresh = db
        .row(&of(ResourceKind::Backup, backup.id))
        .await?
        .expect("it is there");
    assert_eq!(fresh.key, RowKey::Other(key.to_string()));
    assert_eq!(fresh.status.status.as_deref(), Some("error"));
    assert_eq!(fresh.user_id, Some("keeper".into()));
    assert!(fresh.dependent_users.is_empty());

    let snapshot = of(ResourceKind::Snapshot, volume.snapshot_ids()[3]);
    let fresh = db.row(&snapshot).await?.expect("it is there");
    assert_eq!((fresh.key, fresh.user_id), (RowKey::AllZeros, None));
    Ok(())
}

pub(crate) async fn the_users_of_backups_are_told_for_volume_after_volume(
    database: &CinderDatabase,
) -> Result<()> {
    // More backups than are read at once, some of them all of one volume.
    let volumes: Vec<_> = (0..3).map(|_| Volume::on("h@b")).collect();
    database.insert(&volumes).await?;
    for (number, volume) in volumes.iter().enumerate() {
        let backup = Backup::on("h")
            .of(volume)
            .owned_by(&*format!("user{number}"));
        let backups: Vec<_> = (0..2000)
            .map(|_| backup.clone().id(Uuid::new_v4()))
            .collect();
        database.insert(&backups).await?;
    }
    let db = open(database);
    let backwards = (0..3).rev();
    for number in (0..3).chain(backwards) {
        let row = RowRef {
            kind: ResourceKind::Volume,
            id: row_id(volumes[number].id),
        };
        let fresh = db.row(&row).await?.expect("it is there");
        let user = UserId::from(format!("user{number}"));
        assert_eq!(fresh.dependent_users, [user].into());
    }
    Ok(())
}

pub(crate) async fn a_row_that_is_deleted_or_gone_is_none(database: &CinderDatabase) -> Result<()> {
    let deleted = Volume::on("h@b").deleted();
    database.insert(&deleted).await?;
    let db = open(database);
    for (kind, id) in [
        (ResourceKind::Volume, deleted.id),
        (ResourceKind::Volume, Uuid::new_v4()),
        (ResourceKind::Backup, deleted.id),
        (ResourceKind::Snapshot, deleted.id),
    ] {
        assert_eq!(
            db.row(&RowRef {
                kind,
                id: row_id(id)
            })
            .await?,
            None
        );
    }
    Ok(())
}

pub(crate) async fn keys_of_many_rows_are_read_at_once(database: &CinderDatabase) -> Result<()> {
    let volumes: Vec<_> = (0..1100).map(|_| Volume::on("h@b")).collect();
    let keyed = Volume::on("h@b").key(Uuid::new_v4());
    let plain = Volume::on("h@b").without_key();
    let deleted = Volume::on("h@b").deleted();
    database.insert(&volumes).await?;
    database
        .insert(&[keyed.clone(), plain.clone(), deleted.clone()])
        .await?;
    let db = open(database);
    let mut asked: Vec<RowId> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    asked.extend([keyed.id, plain.id, deleted.id, Uuid::new_v4()].map(row_id));
    let keys = db.keys(ResourceKind::Volume, &asked).await?;
    assert_eq!(keys.len(), 1102);
    assert!(keys.contains(&(row_id(plain.id), RowKey::Null)));
    let with_key = keys
        .iter()
        .filter(|(_, key)| matches!(key, RowKey::Other(_)));
    assert_eq!(
        with_key.map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        [row_id(keyed.id)]
    );
    assert_eq!(db.keys(ResourceKind::Volume, &[]).await?, []);
    Ok(())
}

pub(crate) async fn a_reference_is_found_in_every_table_and_spelling_unless_deleted(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let parent = Volume::on("h@b").without_key();
    database.insert(&parent).await?;
    let [in_volume, in_snapshot, in_backup, shouted, bare, gone] = [(); 6].map(|()| secret());
    let snapshot = Snapshot::of(&parent).key(in_snapshot.to_string());
    let bare_digits = bare.to_string().replace('-', "");
    database
        .insert(&[
            Volume::on("h@b").key(in_volume.to_string()),
            Volume::on("h@b").key(shouted.to_string().to_uppercase()),
            Volume::on("h@b").key(bare_digits),
            Volume::on("h@b").key(gone.to_string()).deleted(),
        ])
        .await?;
    database.insert(&snapshot).await?;
    database
        .insert(&Snapshot::of(&parent).key(gone.to_string()).deleted())
        .await?;
    database
        .insert(&Backup::without_host().key(in_backup.to_string()))
        .await?;
    database
        .insert(&Backup::on("h").key(gone.to_string()).deleted())
        .await?;
    for referred in [in_volume, in_snapshot, in_backup, shouted, bare] {
        assert!(db.refers_to(referred).await?);
    }
    assert!(!db.refers_to(gone).await?);
    assert!(!db.refers_to(secret()).await?);
    Ok(())
}

pub(crate) async fn a_volume_moves_with_its_zero_snapshots_and_nothing_else(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").status("in-use");
    let other_key = Uuid::new_v4();
    let volume = volume
        .clone()
        .with_snapshots(2)
        .with_snapshot(Snapshot::of(&volume).owned_by("reader"))
        .with_snapshot(Snapshot::of(&volume).column("user_id", Value::Null))
        .with_snapshot(Snapshot::of(&volume).key(other_key))
        .with_snapshot(Snapshot::of(&volume).without_key())
        .with_snapshot(Snapshot::of(&volume).owned_by("gone").deleted());
    let neighbour = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h").of(&volume);
    database
        .insert(&[volume.clone(), neighbour.clone()])
        .await?;
    database.insert(&backup).await?;

    let secret = secret();
    let mut swap = swap(ResourceKind::Volume, volume.id, secret);
    swap.readers = ["owner", "reader"].map(UserId::from).into_iter().collect();
    let outcome = open(database).switch(&swap).await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 4 });

    let moved = database.volume(volume.id).await?;
    assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
    assert_eq!(moved.status.as_deref(), Some("in-use"));
    assert_moved_on(moved.updated_at);
    let snapshots = volume.snapshot_ids();
    for id in &snapshots[..4] {
        let moved = database.snapshot(*id).await?;
        assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
        assert_moved_on(moved.updated_at);
    }
    let stayed = [Some(other_key.to_string()), None, Some(ZERO_KEY.to_owned())];
    for (id, key) in snapshots[4..].iter().zip(stayed) {
        let snapshot = database.snapshot(*id).await?;
        assert_eq!(snapshot.encryption_key_id, key);
        assert_not_moved(snapshot.updated_at);
    }
    let [neighbours_snapshot] = neighbour.snapshot_ids()[..] else {
        unreachable!("it has one")
    };
    for resource in [
        database.volume(neighbour.id).await?,
        database.snapshot(neighbours_snapshot).await?,
        database.backup(backup.id).await?,
    ] {
        assert!(resource.is_zero());
        assert_not_moved(resource.updated_at);
    }
    Ok(())
}

fn assert_not_moved(updated_at: Option<String>) {
    let updated_at = updated_at.expect("it was set");
    assert!(UPDATED_AT.starts_with(&updated_at), "{updated_at}");
}

/// Also that the instant is one that SQLAlchemy reads, which takes no zone.
fn assert_moved_on(updated_at: Option<String>) {
    let updated_at = updated_at.expect("it was set");
    assert!(updated_at.as_str() > UPDATED_AT, "{updated_at}");
    let shape: String = updated_at
        .chars()
        .map(|it| if it.is_ascii_digit() { '9' } else { it })
        .collect();
    let full = "9999-99-99 99:99:99.999999";
    assert!(shape == full || shape == full[..19], "{updated_at}");
}

pub(crate) async fn a_volume_without_user_or_status_moves(database: &CinderDatabase) -> Result<()> {
    let volume = Volume::on("h@b")
        .column("user_id", Value::Null)
        .column("status", Value::Null);
    let volume = volume.with_snapshots(1);
    database.insert(&volume).await?;
    let mut swap = swap(ResourceKind::Volume, volume.id, secret());
    swap.user_id = None;
    swap.readers = [UserId::from("extra")].into_iter().collect();
    let outcome = open(database).switch(&swap).await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 1 });
    Ok(())
}

pub(crate) async fn a_backup_moves_alone(database: &CinderDatabase) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h").of(&volume).status("error");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let secret = secret();
    let outcome = open(database)
        .switch(&swap(ResourceKind::Backup, backup.id, secret))
        .await?;
    assert_eq!(outcome, SwapOutcome::Switched { snapshots: 0 });
    let moved = database.backup(backup.id).await?;
    assert_eq!(moved.encryption_key_id, Some(secret.to_string()));
    assert_moved_on(moved.updated_at);
    assert!(database.volume(volume.id).await?.is_zero());
    assert_eq!(database.zeros("snapshots").await?, 1);
    Ok(())
}

pub(crate) async fn a_snapshot_left_behind_moves_alone(database: &CinderDatabase) -> Result<()> {
    let key = Uuid::new_v4();
    let volume = Volume::on("h@b").key(key).with_snapshots(2);
    database.insert(&volume).await?;
    let [straggler, sibling] = volume.snapshot_ids()[..] else {
        unreachable!("it has two")
    };
    let swap = swap(
        ResourceKind::Snapshot,
        straggler,
        SecretId::new(key).expect("not nil"),
    );
    let db = open(database);
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 0 }
    );
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    assert_eq!(database.snapshot(straggler).await?.secret_id(), key);
    assert!(database.snapshot(sibling).await?.is_zero());
    assert_eq!(database.volume(volume.id).await?.secret_id(), key);
    Ok(())
}

pub(crate) async fn a_swap_repeated_finds_that_it_holds_already(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    database.insert(&volume).await?;
    let swap = swap(ResourceKind::Volume, volume.id, secret());
    let db = open(database);
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 1 }
    );
    // A snapshot that comes later is not this swap's affair any more.
    let late = Snapshot::of(&volume);
    database.insert(&late).await?;
    assert_eq!(db.switch(&swap).await?, SwapOutcome::AlreadyHolds);
    assert!(database.snapshot(late.id).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_row_that_got_another_key_meanwhile_is_lost(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let db = open(database);
    let row = RowRef {
        kind: ResourceKind::Volume,
        id: row_id(volume.id),
    };
    assert_eq!(
        db.row(&row).await?.expect("it is there").key,
        RowKey::AllZeros
    );
    let other = Uuid::new_v4();
    database
        .execute(&format!("UPDATE volumes SET encryption_key_id = '{other}'"))
        .await?;
    database
        .execute("UPDATE backups SET encryption_key_id = NULL")
        .await?;
    for (kind, id) in [
        (ResourceKind::Volume, volume.id),
        (ResourceKind::Backup, backup.id),
    ] {
        assert_eq!(
            db.switch(&swap(kind, id, secret())).await?,
            SwapOutcome::Lost,
            "{kind}"
        );
    }
    assert_eq!(database.volume(volume.id).await?.secret_id(), other);
    assert_eq!(database.backup(backup.id).await?.encryption_key_id, None);
    assert_eq!(database.zeros("snapshots").await?, 1);
    Ok(())
}

pub(crate) async fn a_row_that_was_deleted_meanwhile_is_gone(
    database: &CinderDatabase,
) -> Result<()> {
    let [deleted, purged] = [Volume::on("h@b"), Volume::on("h@b")];
    database.insert(&[deleted.clone(), purged.clone()]).await?;
    let db = open(database);
    database
        .execute(&format!(
            "UPDATE volumes SET deleted = 1 WHERE id = '{}'",
            deleted.id
        ))
        .await?;
    database
        .execute(&format!("DELETE FROM volumes WHERE id = '{}'", purged.id))
        .await?;
    for id in [deleted.id, purged.id] {
        let outcome = db.switch(&swap(ResourceKind::Volume, id, secret())).await?;
        assert_eq!(outcome, SwapOutcome::Gone);
    }
    assert!(database.volume(deleted.id).await?.is_zero());
    Ok(())
}

pub(crate) async fn a_row_in_a_transitional_state_is_left_alone(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(1);
    let backup = Backup::on("h");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let db = open(database);
    for (table, kind, id, states) in [
        (
            "volumes",
            ResourceKind::Volume,
            volume.id,
            TRANSITIONAL_VOLUME,
        ),
        (
            "backups",
            ResourceKind::Backup,
            backup.id,
            TRANSITIONAL_BACKUP,
        ),
    ] {
        for state in states {
            database
                .execute(&format!("UPDATE {table} SET status = '{state}'"))
                .await?;
            let outcome = db.switch(&swap(kind, id, secret())).await?;
            assert_eq!(
                outcome,
                SwapOutcome::Transitional(format!("status '{state}'"))
            );
        }
    }
    assert_eq!(database.zeros("volumes").await?, 1);
    assert_eq!(database.zeros("snapshots").await?, 1);
    assert_eq!(database.zeros("backups").await?, 1);
    Ok(())
}

pub(crate) async fn a_volume_under_migration_is_left_alone_and_a_settled_one_moves(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    for moving in ["starting", "migrating", "completing", "target:5f"] {
        let volume = Volume::on("h@b").migration_status(moving);
        database.insert(&volume).await?;
        let outcome = db
            .switch(&swap(ResourceKind::Volume, volume.id, secret()))
            .await?;
        assert_eq!(
            outcome,
            SwapOutcome::Transitional(format!("migration_status '{moving}'"))
        );
    }
    for settled in ["", "success", "error", "deleting"] {
        let volume = Volume::on("h@b").migration_status(settled);
        database.insert(&volume).await?;
        let outcome = db
            .switch(&swap(ResourceKind::Volume, volume.id, secret()))
            .await?;
        assert_eq!(
            outcome,
            SwapOutcome::Switched { snapshots: 0 },
            "{settled:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_changed_user_stops_the_swap(database: &CinderDatabase) -> Result<()> {
    let db = open(database);
    let stranger = Volume::on("h@b").owned_by("Owner");
    let nobody = Volume::on("h@b").column("user_id", Value::Null);
    let appeared = Volume::on("h@b");
    database
        .insert(&[stranger.clone(), appeared.clone()])
        .await?;
    database.insert(&nobody).await?;
    for id in [stranger.id, nobody.id] {
        let outcome = db.switch(&swap(ResourceKind::Volume, id, secret())).await?;
        assert_eq!(outcome, SwapOutcome::ReadersChanged);
    }
    let mut for_nobody = swap(ResourceKind::Volume, appeared.id, secret());
    for_nobody.user_id = None;
    assert_eq!(db.switch(&for_nobody).await?, SwapOutcome::ReadersChanged);
    assert_eq!(database.zeros("volumes").await?, 3);
    Ok(())
}

pub(crate) async fn a_snapshot_of_a_user_who_may_not_read_stops_the_whole_swap(
    database: &CinderDatabase,
) -> Result<()> {
    let volume = Volume::on("h@b").with_snapshots(2);
    database.insert(&volume).await?;
    let late = Snapshot::of(&volume).owned_by("OWNER");
    database.insert(&late).await?;
    let db = open(database);
    let mut swap = swap(ResourceKind::Volume, volume.id, secret());
    assert_eq!(db.switch(&swap).await?, SwapOutcome::ReadersChanged);
    assert_eq!(database.zeros("volumes").await?, 1);
    assert_eq!(database.zeros("snapshots").await?, 3);
    assert_not_moved(database.volume(volume.id).await?.updated_at);
    swap.readers = ["owner", "OWNER"].map(UserId::from).into_iter().collect();
    assert_eq!(
        db.switch(&swap).await?,
        SwapOutcome::Switched { snapshots: 3 }
    );
    Ok(())
}

pub(crate) async fn of_two_swaps_at_once_one_wins(database: &CinderDatabase) -> Result<()> {
    let [one, other] = [open(database), open(database)];
    for _ in 0..10 {
        let volume = Volume::on("h@b").with_snapshots(2);
        database.insert(&volume).await?;
        let [a, b] = [secret(), secret()];
        let (first, second) = tokio::join!(
            async { one.switch(&swap(ResourceKind::Volume, volume.id, a)).await },
            async {
                other
                    .switch(&swap(ResourceKind::Volume, volume.id, b))
                    .await
            },
        );
        let won = SwapOutcome::Switched { snapshots: 2 };
        let winner = match (first?, second?) {
            (first, SwapOutcome::Lost) if first == won => a,
            (SwapOutcome::Lost, second) if second == won => b,
            outcomes => panic!("{outcomes:?}"),
        };
        assert_eq!(
            database.volume(volume.id).await?.secret_id().to_string(),
            winner.to_string()
        );
        for id in volume.snapshot_ids() {
            let key = database.snapshot(id).await?.secret_id();
            assert_eq!(key.to_string(), winner.to_string());
        }
    }
    Ok(())
}

const DOWN_TIME: Duration = Duration::from_secs(60);

pub(crate) async fn the_census_counts_every_host_and_tells_what_no_live_service_owns(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    assert!(db.census(DOWN_TIME).await?.is_clear());
    database
        .insert(&[
            Service::volume("up@b"),
            Service::backup("up"),
            Service::volume("deleted@b").deleted(),
            Service::volume("down@b").last_seen_seconds_ago(3600),
            Service::volume("silent@b").column("updated_at", Value::Null),
            Service::backup("down").last_seen_seconds_ago(3600),
            Service::backup("wrong-binary@b"),
            Service::volume("wrong-binary"),
        ])
        .await?;
    let owned = ["up@b", "up@b#p"];
    let unowned = [
        "up@b2",
        "UP@b",
        "down@b#p",
        "deleted@b",
        "silent@b",
        "wrong-binary@b",
        "",
        "up",
    ];
    database
        .insert(&owned.map(|host| Volume::on(host).with_snapshots(2)))
        .await?;
    database.insert(&unowned.map(Volume::on)).await?;
    database.insert(&Volume::without_host()).await?;
    database
        .insert(&[
            Volume::on("up@b").deleted(),
            Volume::on("up@b").without_key(),
        ])
        .await?;
    database
        .insert(&[Volume::on("x@b").key(Uuid::new_v4()).with_snapshots(1)])
        .await?;
    database.insert(&["up", "up"].map(Backup::on)).await?;
    database
        .insert(&["down", "Up", "up@b", "wrong-binary", "gone"].map(Backup::on))
        .await?;
    database.insert(&Backup::without_host()).await?;
    let census = db.census(DOWN_TIME).await?;
    assert_eq!((census.volumes, census.unowned_volumes), (11, 9));
    assert_eq!(census.snapshots, 5);
    assert_eq!((census.backups, census.unowned_backups), (8, 6));
    assert!(!census.is_clear());
    let census = db.census(Duration::from_secs(7200)).await?;
    assert_eq!((census.unowned_volumes, census.unowned_backups), (8, 5));
    Ok(())
}

pub(crate) async fn the_census_knows_clusters(database: &CinderDatabase) -> Result<()> {
    database
        .insert(&[
            Service::volume("h@b").column("cluster_name", "c@b"),
            Service::volume("dead@b")
                .column("cluster_name", "dead@b")
                .last_seen_seconds_ago(3600),
        ])
        .await?;
    database.insert(&Service::volume("alone@b")).await?;
    let owned = [
        Volume::on_cluster("c@b#p", "gone@b#p"),
        Volume::on_cluster("c@b", "h@b"),
        Volume::on_cluster("dead@b", "alone@b"),
    ];
    let unowned = [
        Volume::on_cluster("dead@b#p", "h@b#p"),
        Volume::on_cluster("c@b2", "h@b"),
        Volume::on_cluster("C@b", "h@b"),
    ];
    database.insert(&owned).await?;
    database.insert(&unowned).await?;
    database
        .insert(&[Volume::on("h@b#p"), Volume::on("dead@b")])
        .await?;
    let census = open(database).census(DOWN_TIME).await?;
    assert_eq!((census.volumes, census.unowned_volumes), (8, 4));
    Ok(())
}

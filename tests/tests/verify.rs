//! `verify` on real services: what it must catch, what it must let pass, and how it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::program::Ended;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, EmulatedCloud, Program, RealCloud,
    RoleWorld, Services, Signal, Snapshot, User, Volume, million,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// A cloud whose rows were migrated.
struct Scene {
    cloud: RealCloud,
    cinder: User,
    owner: User,
    database: CinderDatabase,
    conf: CinderConf,
    /// `state_path` of the program.
    folder: Arc<TempDir>,
}

/// What `verify` said.
struct Said {
    code: Option<i32>,
    report: Value,
    log: Vec<String>,
}

impl Scene {
    async fn set(world: RoleWorld, dialect: Dialect) -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(world);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        cloud.grant(&owner, &cloud.storing_role()).await?;
        let database = CinderDatabase::new(&services, dialect).await?;
        Ok(Self {
            owner,
            conf: CinderConf::new(&cloud, &cinder, &database)?.host("host1"),
            cloud,
            cinder,
            database,
            folder: Arc::new(tempfile::tempdir()?),
        })
    }

    fn volume(&self) -> Volume {
        Volume::on("host1@lvm#lvm").owned_by(&self.owner)
    }

    async fn migrate(&self) -> Result<()> {
        let program = Program::start_in(Arc::clone(&self.folder), &self.conf, ["run", "--once"])?;
        let ended = program.ended().await?;
        ensure!(ended.code() == Some(0), "{:#?}", ended.lines);
        Ok(())
    }

    async fn verify(&self, arguments: &[&str]) -> Result<Said> {
        verify_in(&self.folder, &self.conf, arguments).await
    }

    /// What was stored for this volume.
    async fn secret_of(&self, volume: &Volume) -> Result<Uuid> {
        Ok(self.database.volume(volume.id).await?.secret_id())
    }

    async fn point(&self, table: &str, row: Uuid, secret: Uuid) -> Result<()> {
        let sql = format!("UPDATE {table} SET encryption_key_id = '{secret}' WHERE id = '{row}'");
        let changed = self.database.execute(&sql).await?;
        ensure!(changed == 1, "no row {row}");
        Ok(())
    }

    async fn store(&self, user: &User, name: Option<String>, key: &[u8]) -> Result<Uuid> {
        let body = json!({
            "name": name, "algorithm": "AES", "bit_length": key.len() * 8,
            "secret_type": "symmetric", "payload": STANDARD.encode(key),
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
        });
        let stored = self.barbican(user, Method::POST, "", Some(body)).await?;
        let reference = stored["secret_ref"].as_str().context("a secret_ref")?;
        Ok(reference.rsplit('/').next().context("an ID")?.parse()?)
    }

    async fn let_read(&self, secret: Uuid, users: &[&str]) -> Result<()> {
        let body = json!({ "read": { "users": users } });
        let path = format!("/{secret}/acl");
        self.barbican(&self.cinder, Method::PUT, &path, Some(body))
            .await
            .map(drop)
    }

    async fn barbican(
        &self,
        user: &User,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let path = format!("/v1/secrets{path}");
        let answer = self.cloud.barbican(user, method, &path, body).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(answer.body)
    }
}

async fn verify_in(folder: &Arc<TempDir>, conf: &CinderConf, arguments: &[&str]) -> Result<Said> {
    let arguments = [&["verify", "-f", "json"], arguments].concat();
    let program = Program::start_in(Arc::clone(folder), conf, arguments)?;
    said(program.ended().await?)
}

fn said(ended: Ended) -> Result<Said> {
    let code = ended.code();
    let (log, json): (Vec<String>, Vec<String>) = ended
        .lines
        .into_iter()
        .partition(|line| line.starts_with("20") || line.starts_with("cinder-key-migrator: "));
    let report = match json.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&json.concat())
            .with_context(|| format!("no JSON: {json:#?}, beside {log:#?}"))?,
    };
    Ok(Said { code, report, log })
}

impl Said {
    /// What was found, row by row.
    fn codes(&self) -> BTreeMap<String, Vec<String>> {
        let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for finding in self.report["findings"].as_array().into_iter().flatten() {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            assert_ne!(text("message"), "", "{finding}");
            assert_ne!(text("remedy"), "", "{finding}");
            codes
                .entry(text("resource_id"))
                .or_default()
                .push(text("code"));
        }
        codes
    }

    fn count(&self, what: &str) -> u64 {
        self.report["rows"][what].as_u64().unwrap_or(u64::MAX)
    }

    /// Nothing is wrong, and so many rows are verified.
    fn assert_right(&self, verified: u64) {
        assert_eq!(self.code, Some(0), "{:#?} {:#?}", self.report, self.log);
        assert_eq!(self.report["findings_total"], 0);
        assert_eq!(self.count("wrong"), 0);
        assert_eq!(self.count("verified"), verified, "{:#}", self.report);
    }

    /// Exactly this is wrong.
    fn assert_wrong(&self, expected: &[(Uuid, &[&str])]) {
        assert_eq!(self.code, Some(1), "{:#?} {:#?}", self.report, self.log);
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(row, codes)| {
                let codes = codes.iter().map(|code| (*code).to_owned());
                (row.to_string(), codes.collect())
            })
            .collect();
        assert_eq!(self.codes(), expected, "{:#}", self.report);
        assert_eq!(self.count("wrong"), expected.len() as u64);
    }
}

fn name_of(volume: &Volume) -> Option<String> {
    Some(format!("cinder-key-migrator:v1:volume:{}", volume.id))
}

fn fixed_key() -> Vec<u8> {
    hex::decode(FIXED_KEY).expect("digits")
}

#[tokio::test]
async fn what_we_migrated_and_what_cinder_migrated_passes_and_tenants_keys_are_left_alone()
-> Result<()> {
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Postgres),
    ] {
        let scene = Scene::set(world, dialect).await?;
        let by_cinder = scene.volume().with_snapshots(2);
        let backup_by_cinder = Backup::on("host1").owned_by(&scene.owner);
        scene.database.insert(&by_cinder).await?;
        scene.database.insert(&backup_by_cinder).await?;
        let mut upstream = Upstream::start(&Services::from_env(), &scene.conf).await?;
        upstream.migrate(UpstreamService::Volume).await?;
        upstream.migrate(UpstreamService::Backup).await?;
        upstream.end().await?;
        scene.verify(&[]).await?.assert_right(4);

        // Later on somebody else takes a snapshot and a backup of one of ours.
        let ours = scene.volume();
        let snapshot = Snapshot::of(&ours).owned_by("somebody");
        let backup = Backup::on("host1").of(&ours).owned_by("another");
        // Cinder's volumes of its own user have keys of their own that look like upstream's.
        let secret = scene
            .store(&scene.cinder, None, b"another key.....")
            .await?;
        let own = scene.volume().owned_by(&scene.cinder).key(secret);
        let secret = scene.store(&scene.owner, None, b"a tenant's key..").await?;
        let tenants = scene.volume().key(secret);
        // A clone carries the name of the secret that it was cloned from.
        let secret = scene
            .store(&scene.owner, name_of(&ours), &fixed_key())
            .await?;
        let clone = scene.volume().key(secret);
        let elsewhere = Volume::on("host2@lvm#lvm").without_key();
        scene
            .database
            .insert(&[ours.with_snapshot(snapshot), own, tenants, clone, elsewhere])
            .await?;
        scene.database.insert(&backup).await?;
        scene.migrate().await?;

        let said = scene.verify(&["--all-hosts"]).await?;
        said.assert_right(7);
        assert_eq!(said.count("migrated_upstream"), 4, "{:#}", said.report);
        assert_eq!(said.count("migrated_here"), 3);
        assert_eq!(said.count("not_migrated"), 3);
        assert_eq!(said.report["scope"], "all hosts");
        assert_eq!(said.report["complete"], true);
        scene.verify(&[]).await?.assert_right(7);
    }
    Ok(())
}

#[tokio::test]
async fn a_swapped_a_deleted_a_wrong_and_a_shared_secret_and_an_acl_without_the_user_are_caught()
-> Result<()> {
    for (world, dialect) in [
        (RoleWorld::AsShipped, Dialect::MariaDb),
        (RoleWorld::Creator, Dialect::Sqlite),
    ] {
        let scene = Scene::set(world, dialect).await?;
        let owner = &*scene.owner.user_id;
        let volumes: Vec<Volume> = (0..9).map(|_| scene.volume()).collect();
        let [
            one,
            other,
            deleted,
            wrong,
            unreadable,
            shared,
            sharing,
            stray,
            bystander,
        ] = <[Volume; 9]>::try_from(volumes).expect("nine");
        let foreign = Snapshot::of(&unreadable).owned_by("somebody");
        let strays = Snapshot::of(&stray);
        let unreadable = unreadable.with_snapshot(foreign.clone());
        let stray = stray.with_snapshot(strays.clone());
        let backup = Backup::on("host1").owned_by(&scene.owner);
        let rows = [
            one.clone(),
            other.clone(),
            deleted.clone(),
            wrong.clone(),
            unreadable.clone(),
            shared.clone(),
            sharing.clone(),
            stray.clone(),
            bystander.clone(),
        ];
        scene.database.insert(&rows).await?;
        scene.database.insert(&backup).await?;
        scene.migrate().await?;
        scene.verify(&["--all-hosts"]).await?.assert_right(12);

        // Both hold the same bytes: only their names tell.
        let [first, second] = [scene.secret_of(&one).await?, scene.secret_of(&other).await?];
        scene.point("volumes", one.id, second).await?;
        scene.point("volumes", other.id, first).await?;

        let path = format!("/{}", scene.secret_of(&deleted).await?);
        let gone = scene.barbican(&scene.cinder, Method::DELETE, &path, None);
        gone.await?;

        let mut key = fixed_key();
        key[31] ^= 1;
        let secret = scene.store(&scene.cinder, name_of(&wrong), &key).await?;
        scene.let_read(secret, &[owner]).await?;
        scene.point("volumes", wrong.id, secret).await?;

        let secret = scene.secret_of(&unreadable).await?;
        scene.let_read(secret, &[owner]).await?;

        let secret = scene.secret_of(&shared).await?;
        scene.point("volumes", sharing.id, secret).await?;

        let secret = scene.secret_of(&bystander).await?;
        scene.point("snapshots", strays.id, secret).await?;

        // A snapshot whose volume's secret it may read by itself is not wrong for its volume's.
        let all: [(Uuid, &[&str]); 10] = [
            (one.id, &["swapped"]),
            (other.id, &["swapped"]),
            (deleted.id, &["missing"]),
            (wrong.id, &["wrong_key"]),
            (unreadable.id, &["acl_incomplete"]),
            (foreign.id, &["acl_incomplete"]),
            (shared.id, &["shared"]),
            (sharing.id, &["swapped", "shared"]),
            (strays.id, &["swapped", "snapshot_elsewhere", "shared"]),
            (bystander.id, &["shared"]),
        ];
        let said = scene.verify(&["--all-hosts"]).await?;
        said.assert_wrong(&all);
        assert_eq!(said.count("verified"), 2, "{:#}", said.report);
        scene.verify(&[]).await?.assert_wrong(&all);
        for (row, codes) in all {
            let said = scene.verify(&[&row.to_string()]).await?;
            said.assert_wrong(&[(row, codes)]);
        }

        // Each is right again once it is put right.
        scene.point("volumes", one.id, first).await?;
        scene.point("volumes", other.id, second).await?;
        let named = [one.id.to_string(), other.id.to_string()];
        let said = scene.verify(&[&named[0], &named[1]]).await?;
        said.assert_right(2);
    }
    Ok(())
}

#[tokio::test]
async fn what_cinders_migrator_left_wrong_is_caught_too() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let owner = &*scene.owner.user_id;
    let [wrong, unreadable, stray] = [(); 3].map(|()| scene.volume().with_snapshots(1));
    let rows = [wrong.clone(), unreadable.clone(), stray.clone()];
    scene.database.insert(&rows).await?;
    let mut upstream = Upstream::start(&Services::from_env(), &scene.conf).await?;
    upstream.migrate(UpstreamService::Volume).await?;
    upstream.end().await?;
    scene.verify(&[]).await?.assert_right(6);

    let secret = scene
        .store(&scene.cinder, None, b"of another host's fixed_key")
        .await?;
    scene.let_read(secret, &[owner]).await?;
    scene.point("volumes", wrong.id, secret).await?;
    scene
        .point("snapshots", wrong.snapshot_ids()[0], secret)
        .await?;
    let secret = scene.secret_of(&unreadable).await?;
    scene.let_read(secret, &[]).await?;
    let secret = scene.store(&scene.cinder, None, &fixed_key()).await?;
    scene.let_read(secret, &[owner]).await?;
    let strays = stray.snapshot_ids()[0];
    scene.point("snapshots", strays, secret).await?;
    scene.verify(&[]).await?.assert_wrong(&[
        (wrong.id, &["wrong_key"]),
        (wrong.snapshot_ids()[0], &["wrong_key"]),
        (unreadable.id, &["acl_incomplete"]),
        (unreadable.snapshot_ids()[0], &["acl_incomplete"]),
        (strays, &["snapshot_elsewhere"]),
    ]);
    Ok(())
}

#[tokio::test]
async fn a_row_that_is_named_is_looked_at_wherever_it_is_and_whatever_it_holds() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let migrated = scene.volume().with_snapshots(1);
    let backup = Backup::on("host1").owned_by(&scene.owner);
    let zero = Volume::on("host2@lvm#lvm").owned_by(&scene.owner);
    let plain = Volume::without_host().without_key();
    let malformed = Volume::without_host().key("no UUID");
    scene
        .database
        .insert(&[migrated.clone(), plain.clone()])
        .await?;
    scene.database.insert(&backup).await?;
    scene.migrate().await?;
    scene
        .database
        .insert(&[zero.clone(), malformed.clone()])
        .await?;

    let right =
        [migrated.id, migrated.snapshot_ids()[0], backup.id, plain.id].map(|id| id.to_string());
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    let said = scene.verify(&right).await?;
    said.assert_right(3);
    assert_eq!(said.count("not_migrated"), 1);
    assert_eq!(said.report["scope"], "named rows");

    let absent = Uuid::new_v4();
    let wrong = [zero.id, malformed.id, absent].map(|id| id.to_string());
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let said = scene.verify(&[&right[..], &wrong].concat()).await?;
    said.assert_wrong(&[
        (zero.id, &["at_zeros"]),
        (malformed.id, &["malformed"]),
        (absent, &["no_such_row"]),
    ]);
    assert_eq!(said.count("verified"), 3);
    Ok(())
}

#[tokio::test]
async fn a_sample_is_drawn_and_is_no_evidence() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let volumes: Vec<Volume> = (0..4).map(|_| scene.volume().with_snapshots(1)).collect();
    scene.database.insert(&volumes).await?;
    scene.migrate().await?;
    let said = scene.verify(&["--sample", "3", "--all-hosts"]).await?;
    said.assert_right(3);
    assert_eq!(said.report["sample"], json!({ "size": 3, "of": 8 }));
    assert_eq!(said.report["complete"], false);
    let said = scene.verify(&["--sample", "100"]).await?;
    said.assert_right(8);
    assert_eq!(said.report["complete"], true);
    let arguments = ["verify", "--sample", "2"];
    let program = Program::start_in(Arc::clone(&scene.folder), &scene.conf, arguments)?;
    let ended = program.ended().await?;
    let told = ended.lines.last().context("a line")?;
    assert!(
        told.starts_with("A sample of 2 row(s), of the 8 of host1"),
        "{told}"
    );
    assert!(told.contains("no evidence"), "{told}");
    let evidence = scene
        .folder
        .path()
        .join("key-migrator/evidence/payloads.json");
    assert!(!evidence.exists());
    Ok(())
}

#[tokio::test]
async fn the_daemon_takes_a_full_verification_as_evidence_until_something_is_migrated() -> Result<()>
{
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volume = scene.volume().with_snapshots(1);
    scene.database.insert(&volume).await?;
    let conf = scene.conf.clone().set("key_migrator", "interval", "1");
    let mut daemon = Program::start_in(
        Arc::clone(&scene.folder),
        &conf,
        ["run", "--service", "volume"],
    )?;
    let blockers = |status: &Value, code: &str| {
        let blockers = status["fixed_key"]["blockers"].as_array();
        let mut blockers = blockers.into_iter().flatten();
        blockers.any(|blocker| blocker["code"] == code)
    };
    let all_migrated = |status: &Value| {
        let services = status["services"].as_array();
        let mut services = services.into_iter().flatten();
        services.all(|service| service["state"] == "complete")
    };
    let unverified = |status: &Value| blockers(status, "payloads_not_verified");
    daemon
        .status_where(|status| all_migrated(status) && unverified(status))
        .await?;
    // This host alone is not all there is.
    scene.verify(&[]).await?.assert_right(2);
    scene.verify(&["--all-hosts"]).await?.assert_right(2);
    daemon.status_where(|status| !unverified(status)).await?;

    let late = scene.volume();
    scene.database.insert(&late).await?;
    daemon
        .status_where(|status| all_migrated(status) && unverified(status))
        .await?;

    let secret = scene.secret_of(&late).await?;
    scene.let_read(secret, &[]).await?;
    let said = scene.verify(&["--all-hosts"]).await?;
    said.assert_wrong(&[(late.id, &["acl_incomplete"])]);
    let status = daemon
        .status_where(|status| blockers(status, "payloads_wrong"))
        .await?;
    assert_eq!(status["fixed_key"]["verdict"], "no");
    scene.let_read(secret, &[&scene.owner.user_id]).await?;
    scene.verify(&["--all-hosts"]).await?.assert_right(3);
    daemon
        .status_where(|status| !unverified(status) && !blockers(status, "payloads_wrong"))
        .await?;

    // What is at zeros while it goes on may be migrated behind its back.
    scene.database.insert(&Volume::on("elsewhere@lvm")).await?;
    scene.verify(&["--all-hosts"]).await?.assert_right(3);
    let evidence = scene
        .folder
        .path()
        .join("key-migrator/evidence/payloads.json");
    let evidence = std::fs::read_to_string(evidence)?;
    assert!(
        evidence.contains("1 were at zeros when that began"),
        "{evidence}"
    );
    daemon.status_where(unverified).await?;
    daemon.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_key_a_role_or_barbican_it_fails_and_says_what_helps() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::Sqlite).await?;
    let volume = scene.volume();
    scene.database.insert(&volume).await?;
    scene.migrate().await?;
    let told = |said: &Said| said.log.join("\n");

    let keyless = scene.conf.clone().unset("key_manager", "fixed_key");
    let said = verify_in(&scene.folder, &keyless, &[]).await?;
    assert_eq!(said.code, Some(2), "{}", told(&said));
    assert!(told(&said).contains("Remedy: run this where fixed_key is still configured"));

    let nowhere = scene
        .conf
        .clone()
        .set("barbican", "barbican_endpoint", "http://127.0.0.1:9");
    let said = verify_in(&scene.folder, &nowhere, &["--all-hosts"]).await?;
    assert_eq!(said.code, Some(2), "{}", told(&said));
    assert!(told(&said).contains("Remedy: "));

    // Without a role every secret looks like another's: that is not taken for all right.
    let role = scene.cloud.storing_role();
    scene.cloud.revoke(&scene.cinder, &role).await?;
    let said = scene.verify(&["--all-hosts"]).await?;
    assert_eq!(said.code, Some(2), "{:#} {}", said.report, told(&said));
    assert!(
        told(&said).contains("openstack role add"),
        "{}",
        told(&said)
    );
    let evidence = scene
        .folder
        .path()
        .join("key-migrator/evidence/payloads.json");
    assert!(!evidence.exists());
    Ok(())
}

#[tokio::test]
async fn the_right_to_read_three_tables_is_enough() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volume = scene.volume().with_snapshots(1);
    scene.database.insert(&volume).await?;
    scene.migrate().await?;
    let reader = format!("reader{}", &Uuid::new_v4().simple().to_string()[..8]);
    scene
        .database
        .execute(&format!(
            "CREATE USER '{reader}'@'%' IDENTIFIED BY 'reading'"
        ))
        .await?;
    for table in ["volumes", "snapshots", "backups"] {
        let grant = format!("GRANT SELECT ON {table} TO '{reader}'@'%'");
        scene.database.execute(&grant).await?;
    }
    let (_, place) = scene
        .database
        .connection_url()
        .split_once('@')
        .context("a host")?;
    let url = format!("mysql+pymysql://{reader}:reading@{place}");
    let conf = scene.conf.clone().set("database", "connection", &url);
    let said = verify_in(&scene.folder, &conf, &["--all-hosts"]).await;
    let drop = format!("DROP USER '{reader}'@'%'");
    scene.database.execute(&drop).await?;
    said?.assert_right(2);
    Ok(())
}

/// More than two pages of rows whose secrets belong to somebody else.
async fn many_rows(cloud: &EmulatedCloud, rows: usize) -> Result<(CinderDatabase, CinderConf)> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::sqlite().await?;
    let volumes: Vec<Volume> = (0..rows)
        .map(|_| Volume::on("host1@lvm#lvm").key("no secret"))
        .collect();
    database.insert(&volumes).await?;
    let conf = CinderConf::new(cloud, &cinder, &database)?;
    Ok((database, conf))
}

#[tokio::test]
async fn what_was_killed_or_interrupted_is_continued_where_it_was() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let (_database, conf) = many_rows(&cloud, 2_600).await?;
    let folder = Arc::new(tempfile::tempdir()?);
    let file = folder.path().join("key-migrator/verify-progress.json");
    let examined = || -> Option<u64> {
        let text = std::fs::read(&file).ok()?;
        let course: Value = serde_json::from_slice(&text).ok()?;
        course["tally"]["examined"].as_u64()
    };
    let verify = ["verify", "--all-hosts", "-f", "json"];
    let comes_beyond = async |rows: u64| {
        while examined().is_none_or(|examined| examined <= rows) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let first = Program::start_in(Arc::clone(&folder), &conf, verify)?;
    comes_beyond(0).await;
    first.kill().await?;
    let done = examined().context("progress")?;
    assert!((500..2_600).contains(&done), "{done}");

    let second = Program::start_in(Arc::clone(&folder), &conf, verify)?;
    comes_beyond(done).await;
    second.signal(Signal::TERM)?;
    let ended = second.ended().await?;
    let done = examined().context("progress")?;
    assert!((1_000..2_600).contains(&done), "{done}");
    assert_eq!(ended.code(), Some(2), "{:#?}", ended.lines);
    let told = ended.lines.join("\n");
    let kept = format!("interrupted; what came of {done} row(s) is kept");
    assert!(told.contains(&kept), "{told}");
    assert!(told.contains("Remedy: run the same command again within 24 hours"));

    // Another scope is another verification, and leaves that one's end to be counted.
    let said = verify_in(&folder, &conf, &["--all-hosts"]).await?;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.report["resumed"], true, "{:#?}", said.log);
    assert_eq!(said.count("examined"), 2_600);
    assert_eq!(said.count("wrong"), 2_600);
    let going_on = format!("after {done} row(s)");
    assert!(
        said.log.iter().any(|line| line.contains(&going_on)),
        "{:#?}",
        said.log
    );
    assert!(!file.exists());
    let said = verify_in(&folder, &conf, &["--all-hosts"]).await?;
    assert_eq!(said.report["resumed"], false);
    Ok(())
}

#[tokio::test]
async fn what_was_interrupted_is_begun_anew_where_that_is_asked_for() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let (database, conf) = many_rows(&cloud, 1_300).await?;
    let folder = Arc::new(tempfile::tempdir()?);
    let file = folder.path().join("key-migrator/verify-progress.json");
    let first = Program::start_in(Arc::clone(&folder), &conf, ["verify"])?;
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.kill().await?;
    database
        .execute("UPDATE volumes SET encryption_key_id = NULL")
        .await?;
    let report = folder.path().join("report.json");
    let path = report.to_str().context("a path")?;
    let said = verify_in(&folder, &conf, &["--restart", "--report", path]).await?;
    said.assert_right(0);
    assert_eq!(said.count("examined"), 0);
    assert_eq!(said.report["resumed"], false);
    let written: Value = serde_json::from_slice(&std::fs::read(report)?)?;
    assert_eq!(written, said.report);
    Ok(())
}

/// What walks over all rows does not keep them, and what groups them leaves that to the database.
#[tokio::test]
#[ignore = "long"]
async fn a_million_rows_of_each_kind_are_walked_in_little_memory() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    million::volumes(&scene.database, 1_000_000, 0).await?;
    million::snapshots_and_backups(&scene.database, 1_000_000).await?;
    let began = std::time::Instant::now();
    let arguments = ["verify", "--all-hosts", "--sample", "20", "-f", "json"];
    let mut program = Program::start_in(Arc::clone(&scene.folder), &scene.conf, arguments)?;
    let pid = program.pid();
    let mut peak = 0;
    {
        let done = program.line_within("\"findings_total\"", Duration::from_secs(900));
        tokio::pin!(done);
        loop {
            tokio::select! {
                line = &mut done => break drop(line?),
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    peak = peak.max(million::rss_anon(pid).unwrap_or_default());
                }
            }
        }
    }
    let said = said(program.ended().await?)?;
    println!(
        "a walk over {} rows, and their secrets grouped: {:.1} s, RssAnon {peak} KiB at most",
        said.report["sample"]["of"],
        began.elapsed().as_secs_f64()
    );
    assert_eq!(said.count("examined"), 20, "{:#?}", said.log);
    assert!(peak < 24 * 1024, "{peak} KiB");
    Ok(())
}

/// Three requests a row.
#[tokio::test]
#[ignore = "long"]
async fn the_rate_at_which_the_real_barbican_is_read() -> Result<()> {
    let scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..150).map(|_| scene.volume()).collect();
    scene.database.insert(&volumes).await?;
    scene.migrate().await?;
    let began = std::time::Instant::now();
    let said = scene.verify(&["--all-hosts"]).await?;
    let seconds = began.elapsed().as_secs_f64();
    said.assert_right(150);
    println!("verify reads {:.0} rows a second", 150.0 / seconds);
    Ok(())
}

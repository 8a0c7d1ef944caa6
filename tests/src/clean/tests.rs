use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use super::*;
use crate::http::Api;
use crate::real_cloud::issue_token;
use crate::rows::ZERO_KEY;
use crate::{Backup, EmulatedCloud, RoleWorld, Volume};

struct Scene {
    cloud: EmulatedCloud,
    cinder: User,
    database: CinderDatabase,
    volume: Volume,
    backup: Backup,
    api: Api,
}

impl Scene {
    /// A volume with a snapshot, and a backup, migrated as they should be.
    async fn clean() -> Self {
        let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await.unwrap();
        let cinder = cloud.create_authorised_cinder_user().await.unwrap();
        let token = issue_token(&Api::anonymous(), &cloud.auth_url(), &cinder).await;
        let scene = Self {
            database: CinderDatabase::sqlite().await.unwrap(),
            volume: Volume::on("host1@lvm#lvm").with_snapshots(1),
            backup: Backup::on("host1"),
            api: Api::anonymous().with_token(token.unwrap()),
            cloud,
            cinder,
        };
        scene.database.insert(&scene.volume).await.unwrap();
        scene.database.insert(&scene.backup).await.unwrap();
        let (volume, backup) = (scene.volume.id, scene.backup.id);
        let of_volume = scene.store("volume", volume, FIXED_KEY).await;
        let of_backup = scene.store("backup", backup, FIXED_KEY).await;
        for (table, secret) in [
            ("volumes", of_volume),
            ("snapshots", of_volume),
            ("backups", of_backup),
        ] {
            scene.switch(table, secret).await;
        }
        scene
    }

    async fn store(&self, kind: &str, row: Uuid, key: &str) -> Uuid {
        let url = format!("{}/v1/secrets", self.cloud.barbican_endpoint());
        let body = json!({
            "name": format!("cinder-key-migrator:v1:{kind}:{row}"),
            "secret_type": "symmetric", "algorithm": "AES", "bit_length": 256,
            "payload": STANDARD.encode(hex::decode(key).unwrap()),
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
        });
        let stored = self.api.succeed(Method::POST, &url, Some(body)).await;
        let reference = stored.unwrap().body["secret_ref"].to_string();
        let id = reference.trim_matches('"').rsplit('/').next().unwrap();
        let id = id.parse().unwrap();
        self.let_read(id, &["owner"]).await;
        id
    }

    async fn let_read(&self, secret: Uuid, users: &[&str]) {
        let endpoint = self.cloud.barbican_endpoint();
        let url = format!("{endpoint}/v1/secrets/{secret}/acl");
        let body = json!({ "read": { "users": users } });
        let done = self.api.succeed(Method::PUT, &url, Some(body)).await;
        done.unwrap();
    }

    async fn switch(&self, table: &str, key: impl fmt::Display) {
        let sql = format!("UPDATE {table} SET encryption_key_id = '{key}'");
        self.database.execute(&sql).await.unwrap();
    }

    fn question(&self) -> Clean<'_, EmulatedCloud> {
        Clean::of(&self.database, &self.cloud, &self.cinder)
    }

    /// How many offenders there are of each kind, in the order of [`Findings::offenders`].
    async fn found(&self) -> [usize; 6] {
        let findings = self.question().find().await.unwrap();
        assert_eq!(findings.rows, 3);
        findings.offenders().map(|(_, found)| found.len())
    }
}

#[tokio::test]
async fn what_is_as_it_should_be_is_clean() {
    let scene = Scene::clean().await;
    let findings = scene.question().assert().await.unwrap();
    assert_eq!((findings.rows, findings.secrets), (3, 2));
}

#[tokio::test]
async fn a_secret_too_many_is_an_orphan_and_a_duplicate_unless_it_is_known_as_superseded() {
    let scene = Scene::clean().await;
    let extra = scene.store("volume", scene.volume.id, FIXED_KEY).await;
    assert_eq!(scene.found().await, [1, 1, 0, 0, 0, 0]);
    let told = scene.question().find().await.unwrap().to_string();
    let volume = scene.volume.id.to_string();
    assert!(
        told.contains(&extra.to_string()) && told.contains(&volume),
        "{told}"
    );
    let known = scene.question().superseded([extra]);
    known.assert().await.unwrap();
}

#[tokio::test]
async fn a_secret_without_its_row_is_an_orphan() {
    let scene = Scene::clean().await;
    scene.store("volume", Uuid::new_v4(), FIXED_KEY).await;
    assert_eq!(scene.found().await, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_secret_that_a_volume_and_a_backup_share_is_found() {
    let scene = Scene::clean().await;
    let backup = scene.database.backup(scene.backup.id).await.unwrap();
    let shared = backup.secret_id();
    scene.switch("volumes", shared).await;
    scene.switch("snapshots", shared).await;
    // The volume's own one is an orphan now.
    assert_eq!(scene.found().await, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_row_whose_secret_is_missing_or_holds_another_key_is_lost() {
    let scene = Scene::clean().await;
    let other = FIXED_KEY.replace('0', "f");
    let wrong = scene.store("backup", scene.backup.id, &other).await;
    scene.switch("backups", wrong).await;
    assert_eq!(scene.found().await, [1, 1, 1, 0, 0, 0]);
    scene.switch("backups", Uuid::new_v4()).await;
    assert_eq!(scene.found().await, [2, 1, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_snapshot_left_behind_is_half_moved_and_not_moved() {
    let scene = Scene::clean().await;
    scene.switch("snapshots", ZERO_KEY).await;
    assert_eq!(scene.found().await, [0, 0, 0, 1, 1, 0]);
}

#[tokio::test]
async fn readers_must_be_the_users_of_the_rows() {
    let scene = Scene::clean().await;
    let volume = scene.database.volume(scene.volume.id).await.unwrap();
    let secret = volume.secret_id();
    scene.let_read(secret, &["owner", "stranger"]).await;
    assert_eq!(scene.found().await, [0, 0, 0, 0, 0, 1]);
    let stranger = ["stranger".to_owned()];
    let findings = scene.question().extra_readers(stranger).find().await;
    assert_eq!(findings.unwrap().wrong_readers.len(), 1, "the backup's");
    scene.let_read(secret, &[]).await;
    assert_eq!(scene.found().await, [0, 0, 0, 0, 0, 1]);
}

//! Whether a run has ended clean: nothing lost, leaked, doubled or left half done, judged from
//! outside, by the rows in the database and the secrets in Barbican.
//!
//! ```no_run
//! # use key_migrator_tests::*;
//! # async fn test(database: &CinderDatabase, cloud: &RealCloud, cinder: &User) -> anyhow::Result<()> {
//! Clean::of(database, cloud, cinder).assert().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The secrets are those that cinder's user may list, so the user and its project must belong to
//! this database alone, as those of [`Cloud::create_cinder_user`] do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::cinder_conf::FIXED_KEY;
use crate::cloud::{Cloud, User};
use crate::database::{CinderDatabase, Holder};
use crate::http::{self, Api};
use crate::real_cloud::issue_token;
use crate::rows::ZERO_KEY;

/// Barbican's largest page.
const PAGE: usize = 100;

/// Secrets that are read at a time.
const AT_A_TIME: usize = 4;

/// The question, with what is to be tolerated.
#[derive(Debug)]
pub struct Clean<'a, C> {
    database: &'a CinderDatabase,
    cloud: &'a C,
    cinder: &'a User,
    fixed_key: String,
    extra_readers: BTreeSet<String>,
    superseded: BTreeSet<Uuid>,
}

/// The answer: every offender by name, with what the database and Barbican say of it.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Rows that are encrypted and not deleted.
    pub rows: usize,
    /// Secrets that cinder's user can list, superseded ones included.
    pub secrets: usize,
    /// Secrets that no row refers to, and that nobody has called superseded.
    pub orphans: Vec<String>,
    /// Names that several secrets bear, and secrets that rows of several volumes or backups share.
    pub duplicates: Vec<String>,
    /// Rows whose secret is not there, not active, or holds another payload.
    pub lost: Vec<String>,
    /// Snapshots with another key than their volume's.
    pub half_moved: Vec<String>,
    /// Rows that are still at zeros.
    pub unmoved: Vec<String>,
    /// Secrets that others may read than the users of the rows, or not all of these.
    pub wrong_readers: Vec<String>,
}

/// A secret as Barbican tells of it.
#[derive(Debug)]
struct Secret {
    id: Uuid,
    name: Option<String>,
    active: bool,
    /// In hexadecimal, or why it cannot be read.
    payload: Result<String, StatusCode>,
    readers: BTreeSet<String>,
}

/// The rows that are not deleted, by table.
struct Rows {
    volumes: Vec<Holder>,
    snapshots: Vec<Holder>,
    backups: Vec<Holder>,
}

impl<'a, C: Cloud> Clean<'a, C> {
    /// Asks it of this database and the secrets of this user, for [`FIXED_KEY`].
    #[must_use]
    pub fn of(database: &'a CinderDatabase, cloud: &'a C, cinder: &'a User) -> Self {
        Self {
            database,
            cloud,
            cinder,
            fixed_key: FIXED_KEY.to_owned(),
            extra_readers: BTreeSet::new(),
            superseded: BTreeSet::new(),
        }
    }

    /// The payload that every secret must have, in hexadecimal, if it is not [`FIXED_KEY`].
    #[must_use]
    pub fn fixed_key(mut self, fixed_key: &str) -> Self {
        fixed_key.clone_into(&mut self.fixed_key);
        self
    }

    /// What stands in `extra_acl_users`.
    #[must_use]
    pub fn extra_readers(mut self, user_ids: impl IntoIterator<Item = String>) -> Self {
        self.extra_readers.extend(user_ids);
        self
    }

    /// Secrets that may be there without a row: those that the program itself tells of.
    #[must_use]
    pub fn superseded(mut self, secret_ids: impl IntoIterator<Item = Uuid>) -> Self {
        self.superseded.extend(secret_ids);
        self
    }

    /// Looks at everything, and fails with all offenders if there is any.
    ///
    /// # Errors
    ///
    /// When something is not clean, or the database or Barbican cannot be asked.
    pub async fn assert(&self) -> Result<Findings> {
        let findings = self.find().await?;
        ensure!(findings.is_clean(), "{findings}");
        Ok(findings)
    }

    /// Looks at everything.
    ///
    /// # Errors
    ///
    /// When the database or Barbican cannot be asked.
    pub async fn find(&self) -> Result<Findings> {
        let rows = Rows {
            volumes: self.database.holders("volumes").await?,
            snapshots: self.database.holders("snapshots").await?,
            backups: self.database.holders("backups").await?,
        };
        let secrets = self.secrets().await?;
        let mut findings = Findings {
            rows: rows.encrypted().count(),
            secrets: secrets.len(),
            ..Findings::default()
        };
        for (kind, row) in rows.encrypted() {
            self.judge_row(kind, row, &secrets, &mut findings);
        }
        rows.judge_snapshots(&mut findings);
        self.judge_secrets(&rows, &secrets, &mut findings);
        Ok(findings)
    }

    fn judge_row(
        &self,
        kind: &str,
        row: &Holder,
        secrets: &BTreeMap<Uuid, Secret>,
        findings: &mut Findings,
    ) {
        if row.is_zero() {
            findings.unmoved.push(described(kind, row));
            return;
        }
        let secret = row.secret_id().and_then(|id| secrets.get(&id));
        let what = match secret {
            None => "which cinder's user cannot list".to_owned(),
            Some(Secret { active: false, .. }) => "which is not ACTIVE".to_owned(),
            Some(secret) => match &secret.payload {
                Ok(payload) if *payload == self.fixed_key => return,
                Ok(_) => format!("{secret}, whose payload is not the fixed key"),
                Err(status) => format!("{secret}, whose payload is answered with {status}"),
            },
        };
        findings
            .lost
            .push(format!("{}: {what}", described(kind, row)));
    }

    fn judge_secrets(
        &self,
        rows: &Rows,
        secrets: &BTreeMap<Uuid, Secret>,
        findings: &mut Findings,
    ) {
        let mut named: BTreeMap<&str, Vec<&Secret>> = BTreeMap::new();
        for secret in secrets.values() {
            let holders = rows.holders_of(secret.id);
            if holders.is_empty() && self.superseded.contains(&secret.id) {
                continue;
            }
            if let Some(name) = &secret.name {
                named.entry(name).or_default().push(secret);
            }
            if holders.is_empty() {
                let orphan = format!("{secret}: {}", rows.by_name(secret.name.as_deref()));
                findings.orphans.push(orphan);
                continue;
            }
            let families: BTreeSet<String> = holders
                .iter()
                .map(|(kind, row)| match *kind {
                    "backup" => described(kind, row),
                    _ => format!("volume {}", row.volume_id),
                })
                .collect();
            if families.len() > 1 {
                findings
                    .duplicates
                    .push(format!("{secret} is shared by {families:?}"));
            }
            self.judge_readers(rows, secret, &holders, findings);
        }
        for (name, secrets) in named.into_iter().filter(|(_, secrets)| secrets.len() > 1) {
            let ids: Vec<String> = secrets.iter().map(|secret| secret.id.to_string()).collect();
            let held = rows.by_name(Some(name));
            findings
                .duplicates
                .push(format!("{name} is the name of {}: {held}", ids.join(", ")));
        }
    }

    /// The users of all rows that hold the secret must be among its readers, and nobody may be who
    /// has no row of the same volume.
    fn judge_readers(
        &self,
        rows: &Rows,
        secret: &Secret,
        holders: &[(&'static str, &Holder)],
        findings: &mut Findings,
    ) {
        let mut wanted = self.extra_readers.clone();
        let mut allowed = BTreeSet::new();
        for (kind, row) in holders {
            wanted.extend(row.user_id.clone());
            if *kind == "volume" {
                wanted.extend(users_of(&rows.backups, &row.volume_id));
                allowed.extend(users_of(&rows.snapshots, &row.volume_id));
            }
        }
        allowed.extend(wanted.iter().cloned());
        if !wanted.is_subset(&secret.readers) || !secret.readers.is_subset(&allowed) {
            findings.wrong_readers.push(format!(
                "{secret}: {:?} may read it, the rows want {wanted:?}",
                secret.readers
            ));
        }
    }

    /// All secrets that cinder's user can list, each with payload and ACL.
    async fn secrets(&self) -> Result<BTreeMap<Uuid, Secret>> {
        let token = issue_token(&Api::anonymous(), &self.cloud.auth_url(), self.cinder).await?;
        let api = Api::anonymous().with_token(token.clone());
        let client = http::client();
        let endpoint = self.cloud.barbican_endpoint();
        let mut listed = Vec::new();
        loop {
            let offset = listed.len();
            let url = format!(
                "{endpoint}/v1/secrets?limit={PAGE}&offset={offset}&sort=created:asc,name:asc"
            );
            let page = api.succeed(reqwest::Method::GET, &url, None).await?.body;
            let page = page["secrets"].as_array().context("a list of secrets")?;
            listed.extend(page.iter().cloned());
            if page.len() < PAGE {
                break;
            }
        }
        let secrets = listed.iter().map(|listed| {
            let (api, client, token, endpoint) = (&api, &client, &token, &endpoint);
            async move { secret(listed, endpoint, api, client, token).await }
        });
        stream::iter(secrets)
            .buffer_unordered(AT_A_TIME)
            .map_ok(|secret| (secret.id, secret))
            .try_collect()
            .await
    }
}

async fn secret(
    listed: &Value,
    endpoint: &str,
    api: &Api,
    client: &reqwest::Client,
    token: &str,
) -> Result<Secret> {
    let id = listed["secret_ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next()?.parse().ok());
    let id: Uuid = id.with_context(|| format!("a secret_ref in {listed}"))?;
    let url = format!("{endpoint}/v1/secrets/{id}");
    let payload = client
        .get(format!("{url}/payload"))
        .header("X-Auth-Token", token)
        .header("Accept", "application/octet-stream")
        .send()
        .await?;
    let payload = match payload.status() {
        StatusCode::OK => Ok(hex::encode(payload.bytes().await?)),
        status => Err(status),
    };
    let acl = api
        .succeed(reqwest::Method::GET, &format!("{url}/acl"), None)
        .await?;
    let users = acl.body["read"]["users"].as_array();
    let readers = users.into_iter().flatten().filter_map(Value::as_str);
    Ok(Secret {
        id,
        name: listed["name"].as_str().map(str::to_owned),
        active: listed["status"] == "ACTIVE",
        payload,
        readers: readers.map(str::to_owned).collect(),
    })
}

impl Rows {
    fn all(&self) -> impl Iterator<Item = (&'static str, &Holder)> {
        let volumes = self.volumes.iter().map(|row| ("volume", row));
        let snapshots = self.snapshots.iter().map(|row| ("snapshot", row));
        let backups = self.backups.iter().map(|row| ("backup", row));
        volumes.chain(snapshots).chain(backups)
    }

    fn encrypted(&self) -> impl Iterator<Item = (&'static str, &Holder)> {
        self.all()
            .filter(|(_, row)| row.encryption_key_id.is_some())
    }

    fn holders_of(&self, secret: Uuid) -> Vec<(&'static str, &Holder)> {
        self.all()
            .filter(|(_, row)| row.secret_id() == Some(secret))
            .collect()
    }

    /// What the row says that a secret with this name was made for.
    fn by_name(&self, name: Option<&str>) -> String {
        let row = name.and_then(|name| {
            let id = name.rsplit(':').next()?;
            self.all().find(|(_, row)| row.id == id)
        });
        match row {
            Some((kind, row)) => described(kind, row),
            None => "no row that is not deleted has such a name".to_owned(),
        }
    }

    fn judge_snapshots(&self, findings: &mut Findings) {
        let volumes: BTreeMap<&str, &Holder> = self
            .volumes
            .iter()
            .map(|volume| (volume.id.as_str(), volume))
            .collect();
        for snapshot in &self.snapshots {
            let Some(volume) = volumes.get(snapshot.volume_id.as_str()) else {
                continue;
            };
            if snapshot.encryption_key_id != volume.encryption_key_id {
                let (of, one) = (described("volume", volume), described("snapshot", snapshot));
                findings.half_moved.push(format!("{one}, but {of}"));
            }
        }
    }
}

impl Holder {
    fn is_zero(&self) -> bool {
        self.encryption_key_id.as_deref() == Some(ZERO_KEY)
    }

    fn secret_id(&self) -> Option<Uuid> {
        self.encryption_key_id.as_deref()?.parse().ok()
    }
}

impl Findings {
    /// Whether there is no offender.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.offenders().iter().all(|(_, found)| found.is_empty())
    }

    fn offenders(&self) -> [(&'static str, &[String]); 6] {
        [
            ("orphans", &self.orphans),
            ("duplicates", &self.duplicates),
            ("lost", &self.lost),
            ("half moved", &self.half_moved),
            ("not moved", &self.unmoved),
            ("wrong readers", &self.wrong_readers),
        ]
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} secrets", self.rows, self.secrets)?;
        for (what, found) in self.offenders() {
            write!(f, ", {} {what}", found.len())?;
        }
        for (what, found) in self.offenders() {
            for one in found {
                write!(f, "\n  {what}: {one}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("without a name");
        write!(f, "secret {} ({name})", self.id)
    }
}

fn users_of(rows: &[Holder], volume_id: &str) -> Vec<String> {
    let of_volume = rows.iter().filter(|row| row.volume_id == volume_id);
    of_volume.filter_map(|row| row.user_id.clone()).collect()
}

fn described(kind: &str, row: &Holder) -> String {
    let key = row.encryption_key_id.as_deref().unwrap_or("NULL");
    format!("{kind} {} of key {key}", row.id)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use reqwest::Method;
    use serde_json::json;

    use super::*;
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
}

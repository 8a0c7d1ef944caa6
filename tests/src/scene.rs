//! A host of a small cloud, and somebody with a terminal on it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::cinder_conf::{CinderConf, FIXED_KEY};
use crate::cloud::{Cloud, User};
use crate::database::{CinderDatabase, Dialect};
use crate::program::Program;
use crate::real_cloud::RealCloud;
use crate::rows::{Backup, Volume};
use crate::said::Said;
use crate::services::{RoleWorld, Services};

/// `host1` of a cloud, with a database of its own, and an owner of volumes.
#[derive(Debug)]
pub struct Scene<C = RealCloud> {
    /// What runs for all tests.
    pub services: Services,
    /// Keystone and Barbican.
    pub cloud: C,
    /// The user of Cinder's services.
    pub cinder: User,
    /// Somebody with volumes.
    pub owner: User,
    /// Cinder's.
    pub database: CinderDatabase,
    /// What the program reads; it looks for something to do every second.
    pub conf: CinderConf,
    /// Where it keeps its state.
    pub folder: Arc<TempDir>,
}

impl Scene {
    /// Where Cinder's user may store secrets.
    ///
    /// # Errors
    ///
    /// When a service refuses.
    pub async fn set(world: RoleWorld, dialect: Dialect) -> Result<Self> {
        let services = Services::from_env();
        let database = CinderDatabase::new(&services, dialect).await?;
        Self::set_in(services.cloud(world), database).await
    }

    /// What somebody stores in Barbican.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn store(&self, user: &User, name: Option<String>, key: &[u8]) -> Result<Uuid> {
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

    /// Lets these users, and nobody else, read what Cinder's user stored.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn let_read(&self, secret: Uuid, users: &[&str]) -> Result<()> {
        let body = json!({ "read": { "users": users } });
        let path = format!("/{secret}/acl");
        self.barbican(&self.cinder, Method::PUT, &path, Some(body))
            .await
            .map(drop)
    }

    /// Who may read what Cinder's user stored.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn readers(&self, secret: Uuid) -> Result<Vec<String>> {
        let path = format!("/{secret}/acl");
        let acl = self
            .barbican(&self.cinder, Method::GET, &path, None)
            .await?;
        let users = acl["read"]["users"].as_array();
        let users = users.into_iter().flatten().filter_map(Value::as_str);
        let mut users: Vec<String> = users.map(str::to_owned).collect();
        users.sort();
        Ok(users)
    }

    /// A request for secrets; what follows `/v1/secrets` is the path.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn barbican(
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

impl<C: Cloud> Scene<C> {
    /// In this cloud, where Cinder's user may store secrets.
    ///
    /// # Errors
    ///
    /// When a service refuses.
    pub async fn set_in(cloud: C, database: CinderDatabase) -> Result<Self> {
        let cinder = cloud.create_authorised_cinder_user().await?;
        Self::set_with(cloud, cinder, database).await
    }

    /// In this cloud, with this user of Cinder's services.
    ///
    /// # Errors
    ///
    /// When a service refuses.
    pub async fn set_with(cloud: C, cinder: User, database: CinderDatabase) -> Result<Self> {
        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        Ok(Self {
            services: Services::from_env(),
            owner: cloud.create_owner().await?,
            conf: conf.set("key_migrator", "interval", "1"),
            folder: Arc::new(tempfile::tempdir()?),
            cloud,
            cinder,
            database,
        })
    }

    /// A volume of the owner's, on this host or another.
    #[must_use]
    pub fn volume_on(&self, host: &str) -> Volume {
        Volume::on(host).owned_by(&self.owner)
    }

    /// A volume of the owner's, on this host.
    #[must_use]
    pub fn volume(&self) -> Volume {
        self.volume_on("host1@lvm#lvm")
    }

    /// A backup of the owner's, on this host.
    #[must_use]
    pub fn backup(&self) -> Backup {
        Backup::on("host1").owned_by(&self.owner)
    }

    /// Starts a command in the folder.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn starts(&self, arguments: &[&str]) -> Result<Program> {
        Program::start_in(Arc::clone(&self.folder), &self.conf, arguments)
    }

    /// Runs a command in the folder to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end in time.
    pub async fn types(&self, arguments: &[&str]) -> Result<Said> {
        self.types_with(&self.conf, arguments).await
    }

    /// The same, with another configuration.
    ///
    /// # Errors
    ///
    /// As [`types`](Self::types).
    pub async fn types_with(&self, conf: &CinderConf, arguments: &[&str]) -> Result<Said> {
        let program = Program::start_in(Arc::clone(&self.folder), conf, arguments)?;
        let ended = program.ended().await;
        let ended = ended.with_context(|| arguments.join(" "))?;
        Ok(Said::new(arguments, ended))
    }

    /// The configuration of a nova-compute node, in the folder.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn nova_conf(&self) -> Result<String> {
        let path = self.folder.path().join("nova.conf");
        let text = format!("[key_manager]\nbackend = barbican\nfixed_key = {FIXED_KEY}\n");
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// A copy of another node's configuration, in a folder of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn other_node(&self, nova_conf: &str) -> Result<PathBuf> {
        let node = self.folder.path().join("node2");
        std::fs::create_dir(&node)?;
        self.conf.write_to(&node)?;
        std::fs::copy(nova_conf, node.join("nova.conf"))?;
        Ok(node)
    }

    /// Migrates everything on this host.
    ///
    /// # Errors
    ///
    /// When something is left.
    pub async fn migrates_all(&self) -> Result<()> {
        self.types(&["run", "--once"]).await?.exits_with(0)
    }

    /// The secret that this volume refers to.
    ///
    /// # Errors
    ///
    /// When it is not there.
    ///
    /// # Panics
    ///
    /// When it is at zeros.
    pub async fn secret_of(&self, volume: &Volume) -> Result<Uuid> {
        Ok(self.database.volume(volume.id).await?.secret_id())
    }

    /// Makes a row refer to this secret.
    ///
    /// # Errors
    ///
    /// When there is no such row.
    pub async fn point(&self, table: &str, row: Uuid, secret: Uuid) -> Result<()> {
        let sql = format!("UPDATE {table} SET encryption_key_id = '{secret}' WHERE id = '{row}'");
        let changed = self.database.execute(&sql).await?;
        ensure!(changed == 1, "no row {row}");
        Ok(())
    }

    /// The payload of a secret as this user reads it, in hexadecimal.
    ///
    /// # Errors
    ///
    /// When Barbican does not let the user read it.
    pub async fn read_by(&self, user: &User, secret: Uuid) -> Result<String> {
        let python = self.services.python();
        let secrets = [secret];
        let payloads = python.payloads_as(&self.cloud, user, &secrets);
        let payload = payloads.await?.remove(0);
        Ok(hex::encode(payload.map_err(anyhow::Error::msg)?))
    }

    /// How many secrets Cinder's user has stored.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn stored(&self) -> Result<usize> {
        let python = self.services.python();
        Ok(python.secrets_of(&self.cloud, &self.cinder).await?.len())
    }
}

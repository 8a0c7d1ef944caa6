//! A Barbican, real or emulated, whose secrets can be made old.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use uuid::Uuid;

use crate::cloud::{Cloud, User};
use crate::emulated_cloud::EmulatedCloud;
use crate::http::Api;
use crate::real_cloud::{RealCloud, issue_token};
use crate::services::{RoleWorld, Services};

/// Longer than nothing younger is deleted.
pub const LONG: Duration = Duration::from_secs(25 * 60 * 60);

/// What these tests need beyond `Cloud`.
pub trait Vault: Cloud {
    /// Lets Barbican believe that the secret was stored a day and an hour ago.
    ///
    /// # Errors
    ///
    /// When there is no such secret.
    fn age(&self, secret: Uuid) -> impl Future<Output = Result<()>> + Send;

    /// One more user on this user's project that may store secrets.
    ///
    /// # Errors
    ///
    /// When Keystone refuses.
    fn create_colleague(&self, of: &User) -> impl Future<Output = Result<User>> + Send;
}

impl Vault for RealCloud {
    /// No API moves `created`.
    async fn age(&self, secret: Uuid) -> Result<()> {
        let database = match self.world() {
            RoleWorld::AsShipped => "barbican_as_shipped",
            RoleWorld::Creator => "barbican_creator",
        };
        let options = Services::from_env().mariadb.options().database(database);
        let mut barbican = MySqlConnection::connect_with(&options).await?;
        let sql = format!(
            "UPDATE secrets SET created_at = created_at - INTERVAL {} SECOND WHERE id = '{secret}'",
            LONG.as_secs()
        );
        let done = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut barbican)
            .await?;
        anyhow::ensure!(done.rows_affected() == 1, "no secret {secret}");
        Ok(barbican.close().await?)
    }

    async fn create_colleague(&self, of: &User) -> Result<User> {
        let name = format!("colleague-{}", Uuid::new_v4());
        let keystone = self.keystone();
        let user = keystone
            .create_user_in(&name, &name, &of.domain_id, &of.user_domain_name)
            .await?;
        let colleague = User {
            project_id: of.project_id.clone(),
            project_name: of.project_name.clone(),
            ..user
        };
        self.grant(&colleague, &self.storing_role()).await?;
        Ok(colleague)
    }
}

impl Vault for EmulatedCloud {
    async fn age(&self, secret: Uuid) -> Result<()> {
        let emulation = self.emulation();
        let created = emulation.clock().now() - jiff::SignedDuration::try_from(LONG)?;
        anyhow::ensure!(emulation.set_created(secret, created), "no secret {secret}");
        Ok(())
    }

    async fn create_colleague(&self, of: &User) -> Result<User> {
        let username = format!("colleague-{}", Uuid::new_v4());
        let emulation = self.emulation();
        let created = emulation.create_user_in(&of.domain_id, &username, of.password.clone());
        let colleague = User {
            user_id: created.id,
            username,
            ..of.clone()
        };
        self.grant(&colleague, &self.storing_role()).await?;
        Ok(colleague)
    }
}

/// Somebody who stores secrets.
#[derive(Debug)]
pub struct Author<'a, C> {
    cloud: &'a C,
    api: Api,
}

impl<'a, C: Vault> Author<'a, C> {
    /// This user, with a token.
    ///
    /// # Errors
    ///
    /// When Keystone refuses.
    pub async fn new(cloud: &'a C, user: &User) -> Result<Self> {
        let token = issue_token(&Api::anonymous(), &cloud.auth_url(), user).await?;
        let api = Api::anonymous().with_token(token);
        Ok(Self { cloud, api })
    }

    /// Stores a key under the name of a row.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn store_for(&self, kind: &str, row: Uuid) -> Result<Uuid> {
        self.store(&format!("cinder-key-migrator:v1:{kind}:{row}"))
            .await
    }

    /// As [`store_for`](Self::store_for), old enough to be deleted.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn store_old(&self, kind: &str, row: Uuid) -> Result<Uuid> {
        let secret = self.store_for(kind, row).await?;
        self.cloud.age(secret).await?;
        Ok(secret)
    }

    /// Stores a key under this name.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn store(&self, name: &str) -> Result<Uuid> {
        let body = json!({
            "name": name,
            "algorithm": "AES",
            "bit_length": 128,
            "secret_type": "symmetric",
            "payload": "AAECAwQFBgcICQoLDA0ODw==",
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
        });
        let stored = self.call(Method::POST, "", Some(body)).await?;
        let reference = stored["secret_ref"].as_str().context("a secret_ref")?;
        let id = reference.rsplit('/').next().context("an ID")?;
        Ok(id.parse()?)
    }

    /// Registers a volume of Cinder's as using it.
    ///
    /// # Errors
    ///
    /// When Barbican refuses.
    pub async fn register_consumer(&self, secret: Uuid) -> Result<()> {
        let body = json!({ "service": "cinder", "resource_type": "volume", "resource_id": "7b" });
        let path = format!("/{secret}/consumers");
        self.call(Method::POST, &path, Some(body)).await.map(drop)
    }

    /// Which of these are still there.
    ///
    /// # Errors
    ///
    /// When Barbican does not answer.
    pub async fn those_left(&self, secrets: &[Uuid]) -> Result<Vec<Uuid>> {
        let mut left = Vec::new();
        for &secret in secrets {
            let url = self.url(&format!("/{secret}"));
            let answer = self.api.call(Method::GET, &url, None).await?;
            match answer.status.as_u16() {
                200 => left.push(secret),
                404 => {}
                status => anyhow::bail!("{status} for {secret}"),
            }
        }
        Ok(left)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let answer = self.api.succeed(method, &self.url(path), body).await?;
        Ok(answer.body)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/secrets{path}", self.cloud.barbican_endpoint())
    }
}

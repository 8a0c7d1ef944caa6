//! What is in Barbican, as its own tables say: all secrets of a project, deleted ones too.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};

use crate::cinder_conf::FIXED_KEY;
use crate::cloud::{Cloud as _, User};
use crate::http;
use crate::real_cloud::RealCloud;
use crate::services::{RoleWorld, Services};

/// How the names of the program's secrets begin.
const NAME_PREFIX: &str = "cinder-key-migrator:v1:";

/// Payloads that are read at a time.
const READS_AT_A_TIME: usize = 4;

/// One cinder user's project in a Barbican's tables.
#[derive(Clone, Debug)]
pub struct BarbicanTables {
    pool: MySqlPool,
    cloud: RealCloud,
    user: User,
}

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its UUID.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether it has been deleted.
    pub deleted: bool,
    /// `ACTIVE`, unless it is half made.
    pub status: String,
    /// Who may read it by its ACL.
    pub readers: BTreeSet<String>,
}

impl Secret {
    /// Kind and ID of the row that the program stored it for, as in `volume:<UUID>`; `None` where
    /// somebody else stored it.
    #[must_use]
    pub fn row(&self) -> Option<&str> {
        self.name.as_deref()?.strip_prefix(NAME_PREFIX)
    }
}

impl BarbicanTables {
    /// The tables of this cloud's Barbican, for the project of this user.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn open(services: &Services, cloud: &RealCloud, user: &User) -> Result<Self> {
        let database = match cloud.world() {
            RoleWorld::AsShipped => "barbican_as_shipped",
            RoleWorld::Creator => "barbican_creator",
        };
        let options = services.mariadb.options().database(database);
        let pool = MySqlPoolOptions::new().connect_with(options).await?;
        Ok(Self {
            pool,
            cloud: cloud.clone(),
            user: user.clone(),
        })
    }

    /// Every secret that was ever stored in the project, oldest first.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub async fn secrets(&self) -> Result<Vec<Secret>> {
        let sql = "SELECT secrets.id, secrets.name, secrets.deleted, secrets.status, \
                   GROUP_CONCAT(secret_acl_users.user_id) \
                   FROM secrets JOIN projects ON projects.id = secrets.project_id \
                   LEFT JOIN secret_acls ON secret_acls.secret_id = secrets.id \
                   AND NOT secret_acls.deleted \
                   LEFT JOIN secret_acl_users ON secret_acl_users.acl_id = secret_acls.id \
                   AND NOT secret_acl_users.deleted \
                   WHERE projects.external_id = ? \
                   GROUP BY secrets.id ORDER BY secrets.created_at, secrets.id";
        let rows = sqlx::query_as::<_, (String, Option<String>, bool, String, Option<String>)>(sql)
            .bind(&self.user.project_id)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, deleted, status, readers)| {
                let readers = readers.unwrap_or_default();
                let readers = readers.split(',').filter(|user| !user.is_empty());
                Secret {
                    id,
                    name,
                    deleted,
                    status,
                    readers: readers.map(str::to_owned).collect(),
                }
            })
            .collect())
    }

    /// Those of these secrets whose payload, as the cinder user is given it, is not the fixed key.
    ///
    /// # Errors
    ///
    /// When Keystone or Barbican does not answer.
    pub async fn wrong_payloads(
        &self,
        ids: impl IntoIterator<Item = String>,
    ) -> Result<Vec<String>> {
        let token = self.cloud.keystone().token(&self.user).await?;
        let right = hex::decode(FIXED_KEY)?;
        let (client, endpoint) = (http::client(), self.cloud.barbican_endpoint());
        stream::iter(ids)
            .map(async |id| {
                let request = client
                    .get(format!("{endpoint}/v1/secrets/{id}/payload"))
                    .header("X-Auth-Token", &token)
                    .header("Accept", "application/octet-stream");
                let answer = request.send().await.context("reading a payload")?;
                let read = answer.status().is_success() && answer.bytes().await? == right;
                anyhow::Ok((!read).then_some(id))
            })
            .buffer_unordered(READS_AT_A_TIME)
            .try_filter_map(async |wrong| Ok(wrong))
            .try_collect()
            .await
    }
}

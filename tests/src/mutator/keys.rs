//! The keys that Cinder makes and deletes beside the program.

use std::collections::HashSet;
use std::sync::Mutex;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::cinder_conf::FIXED_KEY;
use crate::cloud::{Cloud as _, User};
use crate::http::Api;
use crate::real_cloud::RealCloud;

/// How the IDs of keys begin that exist in no Barbican: those of data under a key of its own.
const OWN_KEY_PREFIX: &str = "c1de0000";

/// Makes and deletes keys as Cinder does, and remembers which it deleted.
#[derive(Debug)]
pub struct Keys {
    secrets_url: String,
    service: Api,
    owner: Api,
    deleted: Mutex<HashSet<String>>,
}

/// Whose credentials a clone is stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storer {
    /// Cinder's service user: so it is while a transfer is on its way.
    Service,
    /// The user of the volume.
    Owner,
}

impl Keys {
    /// Keys in this cloud's Barbican, stored as Cinder's service user or as an owner of volumes.
    ///
    /// # Errors
    ///
    /// When one of them cannot sign in.
    pub async fn new(cloud: &RealCloud, service: &User, owner: &User) -> Result<Self> {
        let keystone = cloud.keystone();
        Ok(Self {
            secrets_url: format!("{}/v1/secrets", cloud.barbican_endpoint()),
            service: Api::anonymous().with_token(keystone.token(service).await?),
            owner: Api::anonymous().with_token(keystone.token(owner).await?),
            deleted: Mutex::default(),
        })
    }

    /// The ID of a key that is not the fixed one. Nobody looks into Barbican for it, so it is not
    /// there.
    pub(crate) fn own(random: &mut fastrand::Rng) -> String {
        let tail = Uuid::from_u128(random.u128(..)).to_string();
        format!("{OWN_KEY_PREFIX}{}", &tail[OWN_KEY_PREFIX.len()..])
    }

    /// Whether this is the ID of a key that is not the fixed one.
    #[must_use]
    pub fn is_own(key: &str) -> bool {
        key.starts_with(OWN_KEY_PREFIX)
    }

    /// A clone of the fixed key, stored as Cinder stores keys: without a name.
    pub(crate) async fn clone_of_the_fixed_key(&self, storer: Storer) -> Result<String> {
        let api = match storer {
            Storer::Service => &self.service,
            Storer::Owner => &self.owner,
        };
        let key = hex::decode(FIXED_KEY)?;
        let body = json!({
            "algorithm": "AES", "bit_length": 8 * key.len(), "secret_type": "symmetric",
            "payload": BASE64_STANDARD.encode(key),
            "payload_content_type": "application/octet-stream",
            "payload_content_encoding": "base64",
        });
        let answer = api
            .succeed(Method::POST, &self.secrets_url, Some(body))
            .await?;
        let secret_ref = answer.body["secret_ref"].as_str().context("a secret_ref")?;
        Ok(secret_ref.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Deletes a key, as its owner and then, where he may not, as the service.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        if Self::is_own(key) {
            return Ok(());
        }
        self.deleted
            .lock()
            .expect("nobody panics holding it")
            .insert(key.to_owned());
        let url = format!("{}/{key}", self.secrets_url);
        for api in [&self.owner, &self.service] {
            if api
                .call(Method::DELETE, &url, None)
                .await?
                .status
                .is_success()
            {
                break;
            }
        }
        Ok(())
    }

    /// The keys that were deleted, or were to be.
    ///
    /// # Panics
    ///
    /// When a thread has panicked while it deleted one.
    #[must_use]
    pub fn deleted(&self) -> HashSet<String> {
        self.deleted
            .lock()
            .expect("nobody panics holding it")
            .clone()
    }
}

//! What can be told of Barbican before anything is stored in it. All but [`probe_role`] only reads.
//!
//! [`probe_role`]: BarbicanKeyManager::probe_role

use jiff::Timestamp;
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{RequestId, SecretId};
use key_migration::ports::{KeyManager as _, SecretError, StoreError};
use key_migration::reasons::Fault;
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::trouble::{Trouble, Verdict, failing};
use super::{Ask, BarbicanKeyManager, Heard, JSON, metadata, wire};
use crate::config::{BarbicanConfig, KeystoneConfig};
use crate::observer::Operation;
use crate::remedy;
use crate::token::Token;

/// The beginning of the name of what [`BarbicanKeyManager::probe_role`] stores. Nothing that was
/// stored for a row is named so.
const PROBE_PREFIX: &str = "cinder-key-migrator:check:";

/// The header in which Barbican says which microversion an answer is in.
const MICROVERSION: &str = "openstack-api-version";

/// Barbican answered.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Version 1 of its API.
    pub url: Url,
    /// Whether it knows microversions, by which newer ones differ. What its release is it does not say.
    pub has_microversions: bool,
    /// Its clock, in whole seconds, where the answer shows it.
    pub date: Option<Timestamp>,
}

/// How many secrets the project may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// `None` for no limit.
    pub limit: Option<u64>,
    /// How many it has.
    pub used: u64,
}

/// What came of storing a secret and deleting it.
#[derive(Debug)]
pub enum Probe {
    /// Both were done.
    Done,
    /// It was not stored; nothing is left.
    Refused(Fault),
    /// Nobody knows whether a secret of this name was stored.
    Unknown {
        /// The name.
        name: String,
        /// What happened.
        why: String,
    },
    /// It was stored, and is still there.
    NotDeleted {
        /// The secret.
        secret: SecretId,
        /// What was refused or failed.
        why: String,
    },
}

impl BarbicanKeyManager {
    /// Finds Barbican and lets it say which versions it speaks.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn reach(&self, request: RequestId) -> Result<Reached, Fault> {
        let heard = self.read("", &[], request).await?;
        Ok(Reached {
            url: self.base(&heard.token)?,
            has_microversions: heard.answer.headers.contains_key(MICROVERSION),
            date: metadata::date(&heard),
        })
    }

    /// How many secrets the project may have and has; `None` if we may not know.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn secrets_quota(&self, request: RequestId) -> Result<Option<Quota>, Fault> {
        let Some(quotas) = self.read_if_allowed("quotas", &[], request).await? else {
            return Ok(None);
        };
        let one = [("limit", "1".to_owned())];
        let Some(listed) = self.read_if_allowed("secrets", &one, request).await? else {
            return Ok(None);
        };
        let unreadable = || failing("Barbican's quotas cannot be read".into());
        Ok(Some(Quota {
            limit: limit(&quotas.answer.body).ok_or_else(unreadable)?,
            used: wire::total(&listed.answer.body).ok_or_else(unreadable)?,
        }))
    }

    /// Stores random bytes under a name that no row has, and deletes them.
    pub async fn probe_role(&self, request: RequestId) -> Probe {
        let name = format!("{PROBE_PREFIX}{}", Uuid::new_v4());
        let digits = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let bytes = FixedKey::from_hex(&digits).expect("a UUID is written in hexadecimal digits");
        match self.store_named(&name, &bytes, request).await {
            Ok(secret) => match self.delete(secret, request).await {
                Ok(()) => Probe::Done,
                Err(error) => Probe::NotDeleted {
                    secret,
                    why: told(&error),
                },
            },
            Err(StoreError::NotStored(fault)) => Probe::Refused(fault),
            Err(StoreError::OutcomeUnknown(why)) => Probe::Unknown { name, why },
        }
    }

    /// The command that gives the role which is missing, as far as the token tells which.
    #[must_use]
    pub fn role_remedy(&self, token: &Token) -> String {
        remedy::role_missing(token)
    }

    /// How Barbican is spoken to.
    #[must_use]
    pub fn config(&self) -> &BarbicanConfig {
        &self.config
    }

    /// How Keystone is spoken to.
    #[must_use]
    pub fn keystone_config(&self) -> &KeystoneConfig {
        self.session.config()
    }

    async fn read(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        request: RequestId,
    ) -> Result<Heard, Fault> {
        let heard = self.heard(path, query, request).await?;
        if heard.answer.status.is_success() {
            return Ok(heard);
        }
        Err(Verdict::of(&heard, &[]).into_fault())
    }

    async fn read_if_allowed(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        request: RequestId,
    ) -> Result<Option<Heard>, Fault> {
        let heard = self.heard(path, query, request).await?;
        match heard.answer.status {
            StatusCode::FORBIDDEN => Ok(None),
            status if status.is_success() => Ok(Some(heard)),
            _ => Err(Verdict::of(&heard, &[]).into_fault()),
        }
    }

    async fn heard(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        request: RequestId,
    ) -> Result<Heard, Fault> {
        let ask = Ask {
            query: query.to_owned(),
            ..Ask::get(Operation::Probe, path, JSON, request)
        };
        self.ask(ask).await.map_err(Trouble::into_fault)
    }
}

fn told(error: &SecretError) -> String {
    match error {
        SecretError::Fault(fault) | SecretError::Forbidden(fault) => fault.message.clone(),
        SecretError::NotFound(_) => "there is no such secret".into(),
        SecretError::Refused(text) | SecretError::Failed(text) => text.clone(),
    }
}

/// The effective quota of secrets: -1 is none (barbican/common/quota.py).
fn limit(body: &[u8]) -> Option<Option<u64>> {
    #[derive(Deserialize)]
    struct Document {
        quotas: Quotas,
    }
    #[derive(Deserialize)]
    struct Quotas {
        secrets: i64,
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    Some(u64::try_from(document.quotas.secrets).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_quota_is_none() {
        for (number, quota) in [(-1, None), (0, Some(0)), (7, Some(7))] {
            let body = format!(r#"{{"quotas": {{"secrets": {number}, "orders": 3}}}}"#);
            assert_eq!(limit(body.as_bytes()), Some(quota));
        }
        assert_eq!(limit(b"{}"), None);
    }
}

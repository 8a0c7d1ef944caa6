//! The secrets that Barbican holds.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A secret as the test's own view shows it, whatever the API would allow.
#[derive(Clone)]
pub struct SecretView {
    /// Its ID, the last part of its `secret_ref`.
    pub secret_id: Uuid,
    /// The project it belongs to.
    pub project_id: String,
    /// The user who stored it.
    pub creator_id: String,
    /// Its name; not unique.
    pub name: Option<String>,
    /// `AES` for a volume's key.
    pub algorithm: Option<String>,
    /// In bits, as the creator said.
    pub bit_length: Option<u16>,
    /// `symmetric` for a volume's key; `opaque` when nothing was said.
    pub secret_type: String,
    /// The ACL that was set, if any was.
    pub acl: Option<AclView>,
    /// When it was stored, in whole seconds as a real database keeps it.
    pub created: Timestamp,
    payload: Option<Zeroizing<Vec<u8>>>,
}

impl SecretView {
    /// The payload's bytes, decoded; `None` for a secret without payload.
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_ref().map(|payload| payload.as_slice())
    }
}

impl fmt::Debug for SecretView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretView")
            .field("secret_id", &self.secret_id)
            .field("name", &self.name)
            .field("creator_id", &self.creator_id)
            .field("acl", &self.acl)
            .finish_non_exhaustive()
    }
}

/// A secret's read ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclView {
    /// The users who may read, in the order in which they were given.
    pub users: Vec<String>,
    /// Whether the project's own members may read as well.
    pub project_access: bool,
}

#[derive(Clone)]
pub(crate) struct Secret {
    pub(super) id: Uuid,
    pub(super) project_id: String,
    pub(super) creator_id: String,
    pub(super) new: NewSecret,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) acl: Option<Acl>,
    pub(super) consumers: Vec<Consumer>,
}

/// Something that was registered as using a secret.
#[derive(Clone)]
pub(super) struct Consumer {
    pub(super) service: String,
    pub(super) resource_type: String,
    pub(super) resource_id: String,
    pub(super) created: Timestamp,
}

/// What a creator says of a secret.
#[derive(Clone, Default)]
pub(crate) struct NewSecret {
    pub(crate) name: Option<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) bit_length: Option<u16>,
    pub(crate) mode: Option<String>,
    pub(crate) secret_type: Option<String>,
    pub(crate) expiration: Option<Timestamp>,
    pub(crate) payload: Option<Payload>,
}

#[derive(Clone)]
pub(crate) struct Payload {
    pub(crate) content_type: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

#[derive(Clone)]
pub(super) struct Acl {
    pub(super) view: AclView,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

/// All secrets of all projects, and the projects' quotas.
#[derive(Default)]
pub(crate) struct Vault {
    secrets: BTreeMap<Uuid, Secret>,
    quotas: HashMap<String, i64>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Vault")
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Vault {
    /// Stores a secret. Instants lose their fraction, as in a MariaDB DATETIME.
    pub(crate) fn store(
        &mut self,
        id: Uuid,
        project_id: &str,
        creator_id: &str,
        new: NewSecret,
        now: Timestamp,
    ) {
        let created = whole_seconds(now);
        let (project_id, creator_id) = (project_id.to_owned(), creator_id.to_owned());
        let secret = Secret {
            id,
            project_id,
            creator_id,
            new,
            created,
            updated: created,
            acl: None,
            consumers: Vec::new(),
        };
        self.secrets.insert(id, secret);
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&Secret> {
        self.secrets.get(&id)
    }

    pub(crate) fn set_acl(&mut self, id: Uuid, acl: Option<AclView>, now: Timestamp) -> bool {
        let Some(secret) = self.secrets.get_mut(&id) else {
            return false;
        };
        let now = whole_seconds(now);
        secret.updated = now;
        let created = secret.acl.as_ref().map_or(now, |acl| acl.created);
        secret.acl = acl.map(|view| Acl {
            view,
            created,
            updated: now,
        });
        true
    }

    /// Registers a consumer, if it is not yet; `None` where there is no such secret.
    pub(super) fn register(&mut self, id: Uuid, consumer: Consumer) -> Option<&Secret> {
        let secret = self.secrets.get_mut(&id)?;
        let known = |other: &Consumer| {
            (&other.service, &other.resource_type, &other.resource_id)
                == (
                    &consumer.service,
                    &consumer.resource_type,
                    &consumer.resource_id,
                )
        };
        if !secret.consumers.iter().any(known) {
            secret.consumers.push(consumer);
        }
        Some(secret)
    }

    pub(crate) fn set_created(&mut self, id: Uuid, created: Timestamp) -> bool {
        let Some(secret) = self.secrets.get_mut(&id) else {
            return false;
        };
        secret.created = whole_seconds(created);
        true
    }

    pub(crate) fn replace_payload(&mut self, id: Uuid, bytes: &[u8]) -> bool {
        let payload = self
            .secrets
            .get_mut(&id)
            .and_then(|secret| secret.new.payload.as_mut());
        payload
            .map(|payload| payload.bytes = Zeroizing::new(bytes.to_vec()))
            .is_some()
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        self.secrets.remove(&id).is_some()
    }

    pub(crate) fn set_quota(&mut self, project_id: &str, quota: Option<i64>) {
        match quota {
            Some(quota) => self.quotas.insert(project_id.to_owned(), quota),
            None => self.quotas.remove(project_id),
        };
    }

    /// The quota of secrets that counts for the project; -1 is none.
    pub(super) fn quota(&self, project_id: &str) -> i64 {
        self.quotas.get(project_id).copied().unwrap_or(-1)
    }

    /// Whether one more secret is too many; a negative quota is none
    /// (barbican `common/quota.py`).
    pub(super) fn quota_reached(&self, project_id: &str, now: Timestamp) -> bool {
        match self.quotas.get(project_id) {
            None | Some(..0) => false,
            Some(&quota) => self.of_project(project_id, now).count() as i64 >= quota,
        }
    }

    /// The project's secrets by ID, which is how a database without `sort`
    /// tends to hand them out.
    pub(super) fn of_project<'a>(
        &'a self,
        project_id: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Secret> {
        self.secrets
            .values()
            .filter(move |secret| secret.project_id == project_id && secret.is_alive(now))
    }

    /// The secrets of any project whose ACL names this user.
    pub(super) fn readable_by(&self, user_id: &str, now: Timestamp) -> Vec<&Secret> {
        let alive = self.secrets.values().filter(|secret| secret.is_alive(now));
        alive.filter(|secret| secret.lets_read(user_id)).collect()
    }

    pub(crate) fn views(&self) -> Vec<SecretView> {
        self.secrets.values().map(Secret::view).collect()
    }
}

impl Secret {
    pub(crate) fn view(&self) -> SecretView {
        SecretView {
            secret_id: self.id,
            project_id: self.project_id.clone(),
            creator_id: self.creator_id.clone(),
            name: self.new.name.clone(),
            algorithm: self.new.algorithm.clone(),
            bit_length: self.new.bit_length,
            secret_type: self.secret_type().to_owned(),
            acl: self.acl.as_ref().map(|acl| acl.view.clone()),
            created: self.created,
            payload: self
                .new
                .payload
                .as_ref()
                .map(|payload| payload.bytes.clone()),
        }
    }

    pub(super) fn secret_type(&self) -> &str {
        self.new.secret_type.as_deref().unwrap_or("opaque")
    }

    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        self.new
            .expiration
            .is_none_or(|expiration| expiration > now)
    }

    pub(super) fn is_private(&self) -> bool {
        self.acl
            .as_ref()
            .is_some_and(|acl| !acl.view.project_access)
    }

    pub(super) fn lets_read(&self, user_id: &str) -> bool {
        self.acl
            .as_ref()
            .is_some_and(|acl| acl.view.users.iter().any(|user| user == user_id))
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

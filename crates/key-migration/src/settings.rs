//! What the configuration says, in the domain's words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::fixed_key::FixedKey;
use crate::ids::{Service, UserId};
use crate::rows::Scope;

/// Everything that one service's loop is told. Read again on SIGHUP; a pass under way ends before
/// the new one is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which service.
    pub service: Service,
    /// `[key_manager] backend`.
    pub backend: KeyManagerBackend,
    /// `[key_manager] fixed_key`; `None` where it is not set or empty.
    pub fixed_key: Option<Arc<FixedKey>>,
    /// The rows that this host owns; `None` for the volume service without `enabled_backends`,
    /// where cinder-volume itself does not start.
    pub scope: Option<Scope>,
    /// Time between passes.
    pub interval: Duration,
    /// Time after which an unchanged summary is logged again.
    pub summary_interval: Duration,
    /// Most keys in flight, at least 1.
    pub max_concurrency: usize,
    /// How long a row waits before its secret is looked up when nobody knows whether it was stored.
    pub unknown_outcome_wait: Duration,
    /// Most keys a second, `None` for no limit.
    pub max_rate: Option<f64>,
    /// Stop between keys.
    pub paused: bool,
    /// Users added to every secret's read ACL.
    pub extra_acl_users: Vec<UserId>,
    /// `[DEFAULT] service_down_time`: how old a service's heartbeat may be while it counts as up.
    pub service_down_time: Duration,
}

/// `[key_manager] backend`, as far as it matters here.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyManagerBackend {
    /// The fixed key is still what encrypts: nothing is migrated.
    ConfKeyManager,
    /// Barbican, by its short name or its class path.
    Barbican,
    /// Any other; the last dotted part of its name.
    Other(String),
}

impl KeyManagerBackend {
    /// Judges by the last dotted part of the option's value, as cinder/keymgr/migration.py does.
    #[must_use]
    pub fn from_option(value: &str) -> Self {
        match value.rsplit('.').next().unwrap_or_default() {
            "ConfKeyManager" => Self::ConfKeyManager,
            "barbican" | "BarbicanKeyManager" => Self::Barbican,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Debug for KeyManagerBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfKeyManager => f.write_str("ConfKeyManager"),
            Self::Barbican => f.write_str("barbican"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_is_told_by_the_last_dotted_part() {
        let conf = "cinder.keymgr.conf_key_mgr.ConfKeyManager";
        assert_eq!(
            KeyManagerBackend::from_option(conf),
            KeyManagerBackend::ConfKeyManager
        );
        let barbican = "castellan.key_manager.barbican_key_manager.BarbicanKeyManager";
        for name in ["barbican", barbican] {
            assert_eq!(
                KeyManagerBackend::from_option(name),
                KeyManagerBackend::Barbican
            );
        }
        let vault = KeyManagerBackend::from_option("castellan.key_manager.vault.VaultKeyManager");
        assert_eq!(vault, KeyManagerBackend::Other("VaultKeyManager".into()));
    }
}

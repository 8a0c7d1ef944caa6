//! Whether this host migrates at all: the gates of Cinder's own migrator
//! (cinder/keymgr/migration.py, `handle_key_migration`), in its order.

use tracing::{info, warn};

use crate::ids::Service;
use crate::messages::{LOGGER, NO_BACKENDS};
use crate::settings::{KeyManagerBackend, Settings};

/// A reason not to migrate that is no trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    ConfKeyManagerInUse,
    NoFixedKey,
    UnsupportedBackend(String),
    NoBackends,
    NoRows(Service),
}

impl Gate {
    /// The first gate that the settings alone close.
    pub(crate) fn closed_by(settings: &Settings) -> Option<Self> {
        match &settings.backend {
            KeyManagerBackend::ConfKeyManager => return Some(Self::ConfKeyManagerInUse),
            _ if settings.fixed_key.is_none() => return Some(Self::NoFixedKey),
            KeyManagerBackend::Other(name) => return Some(Self::UnsupportedBackend(name.clone())),
            KeyManagerBackend::Barbican => {}
        }
        settings.scope.is_none().then_some(Self::NoBackends)
    }

    /// Whether the summary follows.
    pub(crate) fn has_summary(&self) -> bool {
        !matches!(self, Self::ConfKeyManagerInUse | Self::NoFixedKey)
    }

    /// Whether the configuration closes it, rather than there being nothing to do.
    pub(crate) fn is_configured(&self) -> bool {
        !matches!(self, Self::NoRows(_))
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::ConfKeyManagerInUse => {
                "Not migrating encryption keys because the ConfKeyManager is still in use.".into()
            }
            Self::NoFixedKey => "Not migrating encryption keys because the ConfKeyManager's \
                 fixed_key is not in use."
                .into(),
            Self::UnsupportedBackend(name) => format!(
                "Not migrating encryption keys because migration to the '{name}' key_manager \
                 backend is not supported."
            ),
            Self::NoBackends => NO_BACKENDS.into(),
            Self::NoRows(service) => format!(
                "Not migrating encryption keys because there are no {service}s associated with \
                 this host."
            ),
        }
    }

    /// What would open it, where the operator may want that.
    pub(crate) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::ConfKeyManagerInUse => Some("set [key_manager] backend = barbican"),
            Self::UnsupportedBackend(_) => {
                Some("only [key_manager] backend = barbican can be migrated to")
            }
            Self::NoBackends => Some("set [DEFAULT] enabled_backends, or run --service backup"),
            Self::NoFixedKey | Self::NoRows(_) => None,
        }
    }

    pub(crate) fn log(&self) {
        let message = self.message();
        match self {
            Self::UnsupportedBackend(_) | Self::NoBackends => warn!(target: LOGGER, "{message}"),
            _ => info!(target: LOGGER, "{message}"),
        }
    }
}

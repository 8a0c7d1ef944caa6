//! What commands that look at rows and secrets work with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cinder_db::{CinderDb, Place, ServiceRecord};
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{ResourceKind, Service};
use key_migration::reasons::{Fault, Reason};
use key_migration::settings::Settings;
use openstack_client::BarbicanKeyManager;

use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::holds::HoldStore;
use crate::logging::{LogConfig, Logging};
use crate::settings::{self, Configuration, Faults, Listen, Origin};

/// The configuration with its adapters. Nothing is sent before something is asked.
pub(super) struct Desk {
    pub(super) host: String,
    pub(super) listen: Listen,
    pub(super) state_dir: PathBuf,
    pub(super) services: Vec<Settings>,
    pub(super) rows: Arc<CinderDb>,
    /// `None` where a gate is closed.
    keys: Option<Arc<BarbicanKeyManager>>,
    _logging: Logging,
}

/// Where a command's log lines go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// Where the daemon's go: the command changes something.
    AsConfigured,
    /// To standard error alone: the command leaves nothing behind.
    ToTerminal,
}

impl Desk {
    /// Reads the configuration and starts logging.
    pub(super) fn open(origin: &Origin, log: Log) -> Result<Self, Failure> {
        let configuration = settings::read(origin)?;
        let logging = start_logging(&configuration.log, log)?;
        for warning in &configuration.warnings {
            tracing::warn!("{warning}");
        }
        let Configuration {
            host,
            listen,
            state_dir,
            services,
            connection,
            key_manager,
            ..
        } = configuration;
        let keys = key_manager
            .map(|config| BarbicanKeyManager::new(config.keystone, config.barbican, Arc::new(())));
        Ok(Self {
            host,
            listen,
            state_dir,
            services,
            rows: Arc::new(CinderDb::new(connection)),
            keys: keys.transpose().map_err(Faults::one)?.map(Arc::new),
            _logging: logging,
        })
    }

    /// Barbican and the fixed key, without which the command can do nothing.
    pub(super) fn keys(&self) -> Result<(Arc<BarbicanKeyManager>, Arc<FixedKey>), Fault> {
        let fixed_key = self.services.iter().find_map(|one| one.fixed_key.clone());
        match (&self.keys, fixed_key) {
            (Some(keys), Some(fixed_key)) => Ok((Arc::clone(keys), fixed_key)),
            _ => Err(Fault::new(
                Reason::Configuration,
                "this host migrates nothing: its key manager is not Barbican, or it has no fixed_key",
                "set [key_manager] backend = barbican and fixed_key",
            )),
        }
    }

    /// The settings of a service, whether or not this process is to run it.
    pub(super) fn settings(&self, service: Service) -> Settings {
        let own = self.services.iter().find(|one| one.service == service);
        let mut settings = own.unwrap_or(&self.services[0]).clone();
        if own.is_none() {
            settings.service = service;
            settings.scope = None;
        }
        settings
    }

    /// How old the heartbeat of a service may be that counts as up.
    pub(super) fn service_down_time(&self) -> Duration {
        self.services[0].service_down_time
    }

    /// The rows that the operator holds at zeros.
    pub(super) fn holds(&self) -> HoldStore {
        HoldStore::new(&self.state_dir)
    }
}

fn start_logging(configured: &LogConfig, log: Log) -> Result<Logging, Failure> {
    let mut config = configured.clone();
    if log == Log::ToTerminal {
        config.directory = None;
        config.journal = false;
    }
    Ok(Logging::start(&config, SystemClock)?)
}

/// Whether a service that is up owns rows of this kind at this place, by the rule of
/// [`key_migration::rows::Backend`].
pub(super) fn is_owned(kind: ResourceKind, place: &Place, services: &[ServiceRecord]) -> bool {
    let without_pool = |name: &Option<String>| {
        name.as_deref()
            .map(|name| name.split('#').next().unwrap_or(name).to_owned())
    };
    let (host, cluster) = (without_pool(&place.host), without_pool(&place.cluster));
    let of = |binary: &'static str| {
        services
            .iter()
            .filter(move |one| one.is_up && one.binary == binary)
    };
    match kind {
        ResourceKind::Backup => {
            of("cinder-backup").any(|one| place.host.as_ref() == Some(&one.host))
        }
        ResourceKind::Volume | ResourceKind::Snapshot => of("cinder-volume").any(|one| {
            let by_host = host.as_ref() == Some(&one.host);
            match &one.cluster {
                Some(own) => cluster.as_ref() == Some(own) || cluster.is_none() && by_host,
                None => by_host,
            }
        }),
    }
}

/// A place in words.
pub(super) fn place(place: &Place) -> String {
    match (&place.host, &place.cluster) {
        (None, None) => "(no host)".to_owned(),
        (Some(host), None) => host.clone(),
        (None, Some(cluster)) => format!("cluster {cluster}"),
        (Some(host), Some(cluster)) => format!("{host}, cluster {cluster}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_owned_by_a_service_that_is_up_at_its_host_or_cluster() {
        let service = |binary: &str, host: &str, cluster: Option<&str>, is_up| ServiceRecord {
            binary: binary.into(),
            host: host.into(),
            cluster: cluster.map(Into::into),
            is_up,
        };
        let at = |host: Option<&str>, cluster: Option<&str>| Place {
            host: host.map(Into::into),
            cluster: cluster.map(Into::into),
        };
        let services = [
            service("cinder-volume", "h1@b", None, true),
            service("cinder-volume", "h2@b", None, false),
            service("cinder-volume", "h3@b", Some("c@b"), true),
            service("cinder-backup", "h1", None, true),
        ];
        let owned = |kind, place| is_owned(kind, &place, &services);
        let volume = ResourceKind::Volume;
        assert!(owned(volume, at(Some("h1@b#pool"), None)));
        assert!(owned(ResourceKind::Snapshot, at(Some("h1@b"), None)));
        assert!(owned(volume, at(Some("gone@b"), Some("c@b#pool"))));
        assert!(owned(volume, at(Some("h3@b"), None)));
        assert!(!owned(volume, at(Some("h2@b"), None)));
        assert!(!owned(volume, at(Some("h3@b"), Some("other@b"))));
        assert!(!owned(volume, at(None, None)));
        assert!(owned(ResourceKind::Backup, at(Some("h1"), None)));
        assert!(!owned(ResourceKind::Backup, at(Some("h1@b"), None)));
    }
}

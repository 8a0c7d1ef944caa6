//! From a configuration to what each service works with.

use std::path::PathBuf;
use std::sync::Arc;

use cinder_db::CinderDb;
use key_migration::ids::Service;
use key_migration::ports::Holds;
use key_migration::service::Environment;
use openstack_client::BarbicanKeyManager;

use super::keys::Keys;
use crate::holds::HoldStore;
use crate::http::RequestDurations;
use crate::logging::LogConfig;
use crate::settings::{Configuration, Faults, Listen};

/// What one service works with.
pub(super) type ServiceEnvironment = Environment<Keys, CinderDb>;

/// A configuration with its adapters. Nothing is sent before a service asks.
pub(super) struct Plan {
    pub(super) host: String,
    pub(super) log: LogConfig,
    pub(super) listen: Listen,
    pub(super) state_dir: PathBuf,
    pub(super) asked_for: Vec<Service>,
    pub(super) services: Vec<ServiceEnvironment>,
    pub(super) warnings: Vec<String>,
    options: Vec<String>,
}

impl Plan {
    /// Builds the adapters, one of each for all services. They are built anew at every reload: a
    /// token from before a role was granted does not carry it, and certificates may have changed
    /// in a file of the same name.
    ///
    /// # Errors
    /// Certificates or URLs that cannot be used.
    pub(super) fn new(
        configuration: Configuration,
        requests: &RequestDurations,
    ) -> Result<Self, Faults> {
        let keys = match configuration.key_manager {
            None => Keys::NotConfigured,
            Some(config) => {
                let observer = Arc::new(requests.clone());
                let keys = BarbicanKeyManager::new(config.keystone, config.barbican, observer);
                Keys::Barbican(Box::new(keys.map_err(Faults::one)?))
            }
        };
        let keys = Arc::new(keys);
        let rows = Arc::new(CinderDb::new(configuration.connection));
        let holds: Arc<dyn Holds> = Arc::new(HoldStore::new(&configuration.state_dir));
        let services = configuration
            .services
            .into_iter()
            .map(|settings| Environment {
                settings: Arc::new(settings),
                keys: Arc::clone(&keys),
                rows: Arc::clone(&rows),
                holds: Arc::clone(&holds),
            });
        Ok(Self {
            host: configuration.host,
            log: configuration.log,
            listen: configuration.listen,
            state_dir: configuration.state_dir,
            asked_for: configuration.asked_for,
            services: services.collect(),
            warnings: configuration.warnings,
            options: configuration.options,
        })
    }

    /// Tells, to whoever debugs, every option, and to everybody what is odd but harmless.
    pub(super) fn log_what_was_read(&self) {
        for option in &self.options {
            tracing::debug!("{option}");
        }
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

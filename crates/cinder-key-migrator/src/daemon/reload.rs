//! SIGHUP: the configuration is read again, and used if nothing is wrong with it.

use std::path::PathBuf;

use key_migration::ids::Service;
use tokio::sync::watch;

use super::environment::{Plan, ServiceEnvironment};
use super::{log_faults, notify};
use crate::http::RequestDurations;
use crate::logging::Logging;
use crate::settings::{self, Faults, Listen, Origin};

/// What a new configuration is given to.
pub(super) struct Reloader {
    pub(super) origin: Origin,
    pub(super) requests: RequestDurations,
    pub(super) logging: Logging,
    /// Where HTTP is served, which only a restart changes.
    pub(super) listen: Listen,
    /// Where the ledger is, which only a restart changes.
    pub(super) state_dir: PathBuf,
    pub(super) environments: Vec<(Service, watch::Sender<ServiceEnvironment>)>,
    pub(super) host: watch::Sender<String>,
}

impl Reloader {
    /// Reads the configuration again. A faulty one changes nothing. Every service that has new
    /// settings ends its pass, and one that is blocked tries again at once.
    pub(super) fn reload(&self) {
        notify::reloading();
        match self.read() {
            Ok(plan) => self.publish(plan),
            Err(faults) => {
                log_faults(&faults);
                tracing::error!(
                    "the configuration was read again and has faults: the one from before stays \
                     in use"
                );
            }
        }
        notify::ready();
    }

    fn read(&self) -> Result<Plan, Faults> {
        let configuration = settings::read_again(&self.origin, &self.running())?;
        let plan = Plan::new(configuration, &self.requests)?;
        self.logging.configure(&plan.log).map_err(Faults::one)?;
        Ok(plan)
    }

    fn publish(&self, plan: Plan) {
        plan.log_what_was_read();
        if plan.asked_for != self.running() {
            tracing::warn!("[key_migrator] services has changed: restart to run other services");
        }
        if plan.listen != self.listen {
            tracing::warn!("[key_migrator] listen has changed: restart to listen there");
        }
        if plan.state_dir != self.state_dir {
            tracing::warn!(
                "[key_migrator] state_dir has changed: restart to keep the ledger there"
            );
        }
        if self.has_more_readers(&plan) {
            tracing::warn!(
                "[key_migrator] extra_acl_users has new users: they may read what is stored from \
                 now on; what was stored before, after: cinder-key-migrator verify --all-hosts \
                 --mend-acl --execute"
            );
        }
        self.host.send_replace(plan.host);
        for new in plan.services {
            let service = new.settings.service;
            for (_, sender) in self.environments.iter().filter(|(it, _)| *it == service) {
                sender.send_replace(new.clone());
            }
        }
        tracing::info!("the configuration was read again and is in use");
    }

    /// Whether somebody may read every secret of a service from now on who might not before.
    fn has_more_readers(&self, plan: &Plan) -> bool {
        self.environments.iter().any(|(service, sender)| {
            let old = &sender.borrow().settings.extra_acl_users;
            let mut new = plan.services.iter().map(|new| &new.settings);
            new.any(|new| {
                let mut users = new.extra_acl_users.iter();
                new.service == *service && users.any(|user| !old.contains(user))
            })
        })
    }

    fn running(&self) -> Vec<Service> {
        let environments = self.environments.iter();
        environments.map(|(service, _)| *service).collect()
    }
}

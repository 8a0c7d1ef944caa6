//! What `verify` needs of the configuration: secrets and rows, whether or not this host migrates.

use std::sync::Arc;

use key_migration::fixed_key::FixedKey;
use key_migration::ids::{Service, UserId};
use key_migration::rows::Scope;

use super::default::Machine;
use super::{
    Faults, Origin, Records, Stores, backends, database, default, key_manager, key_migrator, load,
    read_key_manager_config, scope, sources,
};

/// What it takes to verify what was migrated, whether or not this host migrates.
#[derive(Debug)]
pub(crate) struct Verification {
    /// Secrets and rows.
    pub(crate) stores: Stores,
    /// `[DEFAULT] host`
    pub(crate) host: String,
    /// What the secrets must hold; `None` where it is not set or empty.
    pub(crate) fixed_key: Option<Arc<FixedKey>>,
    /// The rows of this host, of each service.
    pub(crate) scopes: Vec<Scope>,
    /// Who must be let read every secret.
    pub(crate) extra_acl_users: Vec<UserId>,
    /// Most secrets that are read at the same time.
    pub(crate) max_concurrency: usize,
}

/// Reads where secrets and rows are, what the secrets must hold, and which rows are this host's.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_verification(origin: &Origin) -> Result<Verification, Faults> {
    let machine = Machine::this();
    let mut conf = load(&sources(origin), &machine)?;
    let mut faults = Faults::none();
    let default = default::read(&conf, &machine, &mut faults);
    let key_manager = key_manager::read(&conf, &mut faults);
    let key_migrator = key_migrator::read(&conf, &mut faults);
    let database = database::read(&conf, &mut faults);
    let key_manager_config = read_key_manager_config(&mut conf, &machine, &mut faults);
    let verification = default.and_then(|default| {
        let backends = backends::read(&mut conf, &default, &mut faults);
        let own = key_migrator?;
        let records = Records::new(&default, &own, database?);
        let scopes = [Service::Volume, Service::Backup]
            .into_iter()
            .filter_map(|service| scope(service, &default.host, &backends, &own.extra_hosts));
        Some(Verification {
            scopes: scopes.collect(),
            host: default.host,
            fixed_key: key_manager?.fixed_key,
            extra_acl_users: own.extra_acl_users,
            max_concurrency: own.max_concurrency,
            stores: Stores {
                records,
                key_manager: key_manager_config?,
            },
        })
    });
    faults.unless_any(verification)
}

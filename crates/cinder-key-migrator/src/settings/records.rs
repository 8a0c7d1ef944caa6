//! What every command needs that looks at Cinder's rows beside what is kept of them on this host,
//! whether or not this host migrates.

use std::path::PathBuf;
use std::time::Duration;

use super::database::DatabaseSection;
use super::default::{DefaultSection, Machine};
use super::key_migrator::KeyMigratorSection;
use super::{
    Faults, KeyManagerConfig, Origin, database, default, key_migrator, load,
    read_key_manager_config, sources,
};
use crate::logging::LogConfig;

/// Where rows and records are.
#[derive(Debug)]
pub(crate) struct Records {
    /// What is logged, and where.
    pub(crate) log: LogConfig,
    /// Cinder's database.
    pub(crate) connection: cinder_db::ConnectionConfig,
    /// Where ledger and evidence are kept, of this host's daemon.
    pub(crate) state_dir: PathBuf,
    /// A service whose heartbeat is older than this is down.
    pub(crate) service_down_time: Duration,
    /// What is odd but harmless, one line each.
    pub(crate) warnings: Vec<String>,
}

impl Records {
    pub(super) fn new(
        default: &DefaultSection,
        own: &KeyMigratorSection,
        database: DatabaseSection,
    ) -> Self {
        Self {
            log: default.log.clone(),
            connection: database.connection,
            state_dir: own.state_dir.clone(),
            service_down_time: default.service_down_time,
            warnings: database.warnings,
        }
    }
}

/// What it takes to look at secrets and rows side by side.
#[derive(Debug)]
pub(crate) struct Stores {
    /// The rows.
    pub(crate) records: Records,
    /// Barbican, which is asked although a gate may be closed.
    pub(crate) key_manager: KeyManagerConfig,
}

/// Reads where secrets and rows are, and how to sign in: what is left when the fixed key is gone.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_stores(origin: &Origin) -> Result<Stores, Faults> {
    let machine = Machine::this();
    let mut conf = load(&sources(origin), &machine)?;
    let mut faults = Faults::none();
    let default = default::read(&conf, &machine, &mut faults);
    let own = key_migrator::read(&conf, &mut faults);
    let database = database::read(&conf, &mut faults);
    let key_manager = read_key_manager_config(&mut conf, &machine, &mut faults);
    let stores = || {
        Some(Stores {
            records: Records::new(&default?, &own?, database?),
            key_manager: key_manager?,
        })
    };
    faults.unless_any(stores())
}

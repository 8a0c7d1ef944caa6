//! `[database]`, with the names and groups that `connection` had in oslo.db before 15.0.0.

use cinder_db::ConnectionConfig;
use oslo_config::{Config, Opt, Registry};
use secrecy::SecretString;

use super::Faults;

const CONNECTION: Opt<Option<SecretString>> = Opt::secret("database", "connection")
    .deprecated("DEFAULT", "sql_connection")
    .deprecated("DATABASE", "sql_connection")
    .deprecated("sql", "connection");

/// The section, typed.
#[derive(Debug)]
pub(super) struct DatabaseSection {
    pub(super) connection: ConnectionConfig,
    /// Parts of the URL that have no effect.
    pub(super) warnings: Vec<String>,
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(&CONNECTION);
}

/// Cinder's default, an SQLite file in `state_path`, is none here: on a host without a connection
/// it would be an empty database in which nothing is left to do.
pub(super) fn read(conf: &Config, faults: &mut Faults) -> Option<DatabaseSection> {
    let url = faults.check(conf.require(&CONNECTION))?;
    let parsed = ConnectionConfig::parse(&url).map_err(|problem| {
        conf.fault(&CONNECTION, "the database URL cannot be used")
            .remedy(problem.to_string())
    });
    let (connection, warnings) = faults.check(parsed)?;
    let origin = conf.origin(&CONNECTION);
    let warning = |warning| format!("{origin}: [database] connection: {warning}");
    Some(DatabaseSection {
        connection: connection.set_at(&origin.to_string()),
        warnings: warnings.iter().map(warning).collect(),
    })
}

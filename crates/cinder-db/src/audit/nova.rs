//! The one question that is asked of Nova: whether an instance has an ephemeral disk whose key is
//! the fixed one. Instances are in the databases of Nova's cells.

use key_migration::ids::ALL_ZEROS;
use key_migration::ports::DatabaseError;
use key_migration::reasons::Fault;

use crate::connection::ConnectionConfig;
use crate::database::{CinderDb, WHOLE_TABLE};
use crate::failure::Failure;
use crate::rows;
use crate::session::Session;
use crate::statement::Statement;

/// The database of one of Nova's cells.
pub struct NovaCell(CinderDb);

impl NovaCell {
    /// Takes the description of `[database] connection` in a `nova.conf`; nothing is sent yet.
    #[must_use]
    pub fn new(config: ConnectionConfig) -> Self {
        Self(CinderDb::new(config))
    }

    /// How many instances that are not deleted have an `ephemeral_key_uuid` of all zeros.
    ///
    /// # Errors
    /// The database does not answer, refuses, or is not that of a cell.
    pub async fn instances_at_zeros(&self) -> Result<u64, DatabaseError> {
        let counted = self.0.run(
            WHOLE_TABLE,
            "counting instances with the fixed key",
            |mut lease| async move {
                let done = count(&mut lease.session).await;
                lease.settle(done)
            },
        );
        counted.await.map_err(of_nova)
    }
}

/// Nova counts deleted rows with the row's number, whatever the database.
async fn count(session: &mut Session) -> Result<u64, Failure> {
    let sql = format!(
        "SELECT COUNT(*) FROM instances WHERE deleted = 0 AND ephemeral_key_uuid = '{ALL_ZEROS}'"
    );
    let statement = Statement::on(session.dialect(), "instances", &sql);
    rows::count(session, &statement).await
}

/// The failure in words that fit, as everything else here is Cinder's.
fn of_nova(error: DatabaseError) -> DatabaseError {
    let named = |text: &str| text.replace("Cinder's database", "Nova's database");
    let told = |fault: Fault, remedy: Option<&str>| Fault {
        message: named(&fault.message),
        remedy: remedy.map_or_else(|| named(&fault.remedy), str::to_owned),
        ..fault
    };
    match error {
        DatabaseError::Contended(what) => DatabaseError::Contended(what),
        DatabaseError::Unreachable(fault) => DatabaseError::Unreachable(told(fault, None)),
        DatabaseError::Refused(fault) => DatabaseError::Refused(told(
            fault,
            Some(
                "give a nova.conf whose [database] connection leads to a cell, with a user that \
                 may read its table instances",
            ),
        )),
    }
}

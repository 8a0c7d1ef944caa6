//! What went wrong with a statement, as far as what may be done next depends on it.

mod tls;

use std::borrow::Cow;

use key_migration::ports::DatabaseError;
use key_migration::reasons::{Fault, Reason};

/// Why an attempt ended. Nothing of it comes from a server's own words.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Others hold the locks; nothing was changed. Repeat after a while.
    Contended(String),
    /// The connection broke, in this way, before anything was committed. Repeat with another one.
    Broken(String),
    /// Nobody answers, or it is not known what a commit did.
    Unreachable(Fault),
    /// It answers, and will go on refusing.
    Refused(Fault),
}

impl Failure {
    pub(crate) fn contended(table: &str, code: &str) -> Self {
        Self::Contended(format!("others keep rows of table {table} locked ({code})"))
    }

    pub(crate) fn broken(code: &str) -> Self {
        Self::Broken(code.to_owned())
    }

    pub(crate) fn refused(what: Cow<'_, str>, remedy: String) -> Self {
        let space = if what.starts_with(':') { "" } else { " " };
        Self::Refused(fault(
            format!("Cinder's database refuses{space}{what}"),
            remedy,
        ))
    }

    /// An error that the driver itself met.
    pub(crate) fn of_connection(error: &sqlx::Error) -> Self {
        if let Some((cause, remedy)) = tls::trouble(error) {
            let message = format!("the TLS handshake with Cinder's database failed: {cause}");
            return Self::Unreachable(fault(message, remedy));
        }
        match error {
            sqlx::Error::Io(error) => Self::broken(&error.kind().to_string()),
            sqlx::Error::ColumnDecode { index, .. } => Self::refused(
                Cow::Owned(format!(": column {index} does not hold text or a number")),
                "check that [database] connection names Cinder's own database".to_owned(),
            ),
            _ => Self::broken("unexpected answer"),
        }
    }

    pub(crate) fn timed_out(what: &str, seconds: u64) -> Self {
        Self::Unreachable(fault(
            format!("Cinder's database did not answer within {seconds} seconds, {what}"),
            "see that the database runs, is not overloaded, and that [database] connection \
             leads to it",
        ))
    }

    /// No connection could be made: there is no use in repeating at once.
    pub(crate) fn while_connecting(self) -> Self {
        match self {
            Self::Broken(code) => Self::Unreachable(fault(
                format!("Cinder's database cannot be reached ({code})"),
                "see that the database runs and that [database] connection leads to it",
            )),
            other => other,
        }
    }

    /// The reply to COMMIT did not come: whether it took effect is not known.
    pub(crate) fn while_committing(self) -> Self {
        match self {
            Self::Broken(code) => Self::Unreachable(broke(&code)),
            Self::Refused(fault) => Self::Unreachable(fault),
            other => other,
        }
    }

    /// Whether the same may be tried again at once.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Contended(_) | Self::Broken(_))
    }
}

impl From<Failure> for DatabaseError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Contended(what) => Self::Contended(what),
            Failure::Broken(code) => Self::Unreachable(broke(&code)),
            Failure::Unreachable(fault) => Self::Unreachable(fault),
            Failure::Refused(fault) => Self::Refused(fault),
        }
    }
}

fn broke(code: &str) -> Fault {
    fault(
        format!("the connection to Cinder's database broke ({code})"),
        "see that the database runs and that nothing closes its connections",
    )
}

/// A fault of the database.
pub(crate) fn fault(message: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault::new(Reason::DatabaseUnreachable, message, remedy)
}

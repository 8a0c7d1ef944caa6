//! One check, and what came of it.

use key_migration::ports::DatabaseError;
use key_migration::reasons::Fault;

/// How a check ended; the number is the exit code that it asks for, as in oslo.upgradecheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Success = 0,
    Warning = 1,
    Failure = 2,
}

/// One check.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) details: String,
    /// What to type, or to do; every line that is not fine has one.
    pub(super) remedy: Option<String>,
}

impl Line {
    pub(super) fn success(check: &'static str, details: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Success,
            details: details.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(
        check: &'static str,
        details: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level: Level::Warning,
            details: details.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn failure(
        check: &'static str,
        details: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Failure,
            ..Self::warning(check, details, remedy)
        }
    }

    /// What stands in the way of a check, or is what it looked for.
    pub(super) fn of_fault(check: &'static str, fault: &Fault) -> Self {
        Self::failure(check, &fault.message, &fault.remedy)
    }

    pub(super) fn of_database(check: &'static str, error: &DatabaseError) -> Self {
        match error {
            DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault) => {
                Self::of_fault(check, fault)
            }
            DatabaseError::Contended(what) => Self::failure(check, what, "run this check again"),
        }
    }

    /// A check that needs what another one found wanting. It is no success: nobody looked.
    pub(super) fn not_done(check: &'static str, needs: &str) -> Self {
        Self::warning(
            check,
            format!("Not looked at: it needs what the check '{needs}' is about."),
            format!("mend '{needs}' first"),
        )
    }
}

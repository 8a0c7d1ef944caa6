//! What becomes of several files: each is told of, and the worst decides the exit code.

use std::process::ExitCode;

use key_audit::editing::EditError;

use crate::exit::{FAILED, say};

/// The worst so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// All was done, or would be.
    #[default]
    Done,
    /// It must not be done.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// Tells what stands against it.
    pub(super) fn tell(&mut self, error: &EditError) {
        say(&error.to_string());
        self.worsen(match error.is_refusal() {
            true => Self::Refused,
            false => Self::Failed,
        });
    }

    pub(super) fn worsen(&mut self, other: Self) {
        *self = (*self).max(other);
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }

    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Refused => ExitCode::FAILURE,
            Self::Failed => ExitCode::from(FAILED),
        }
    }
}

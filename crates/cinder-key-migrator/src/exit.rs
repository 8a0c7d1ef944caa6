//! Exit codes, after sysexits.h where a code of our own does not say more.

use std::process::ExitCode;

use key_migration::reasons::Fault;

use crate::http::BindError;
use crate::logging::LogError;
use crate::settings::Faults;

/// A command, other than the daemon, failed.
pub(crate) const FAILED: u8 = 2;
/// The command line is wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// A task crashed (`EX_SOFTWARE`).
const SOFTWARE: u8 = 70;
/// The configuration is wrong (`EX_CONFIG`).
const CONFIGURATION: u8 = 78;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or a question for help or version.
    Usage(clap::Error),
    /// The configuration.
    Configuration(Faults),
    /// Something that should never end, ended.
    Crashed(String),
    /// The daemon does not answer, or says that it is not well.
    Unhealthy(String),
    /// Something that the command cannot do without failed or refused.
    Failed(Fault),
}

impl Failure {
    /// Says it on standard error, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                // There is nowhere to say that standard error is closed.
                _ = error.print();
                ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
            }
            Self::Configuration(faults) => {
                faults.lines().iter().for_each(|line| say(line));
                ExitCode::from(CONFIGURATION)
            }
            Self::Crashed(what) => {
                say(&what);
                ExitCode::from(SOFTWARE)
            }
            Self::Unhealthy(why) => {
                say(&why);
                ExitCode::FAILURE
            }
            Self::Failed(Fault {
                message, remedy, ..
            }) => {
                say(&message);
                say(&format!("Remedy: {remedy}"));
                ExitCode::from(FAILED)
            }
        }
    }
}

/// A command line that the parser takes and that makes no sense.
pub(crate) fn usage(problem: &str) -> Failure {
    Failure::Usage(clap::Error::raw(
        clap::error::ErrorKind::ArgumentConflict,
        format!("{problem}\n"),
    ))
}

/// Says a line on standard error.
pub(crate) fn say(line: &str) {
    eprintln!("{}: {line}", env!("CARGO_PKG_NAME"));
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Configuration(Faults::one(error))
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        Self::Configuration(Faults::one(error))
    }
}

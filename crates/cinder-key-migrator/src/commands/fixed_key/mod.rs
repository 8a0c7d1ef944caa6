//! `fixed-key`: finds out whether the fixed key may go, takes it out of configuration files, and puts
//! it back. How evidence is found and files are edited is the matter of `key_audit`; here it is decided whether, and said what was done.

mod audit;
mod outcome;
mod remove;
mod restore;

use std::process::ExitCode;

use crate::cli::FixedKey;
use crate::exit::Failure;

/// Does what the command line says.
pub(crate) fn run(command: FixedKey) -> Result<ExitCode, Failure> {
    match command {
        FixedKey::Audit(command) => audit::run(command),
        FixedKey::Remove(remove) => remove::run(&remove),
        FixedKey::Restore(restore) => restore::run(&restore),
    }
}

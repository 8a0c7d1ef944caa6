//! What the command line asks for, one module a command; the daemon is a house of its own.

mod healthcheck;
mod orphans;
mod output;

use std::process::ExitCode;

use crate::cli::{Command, Run};
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::logging::Logging;
use crate::{daemon, settings};

/// Does what the command line says.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(run) => run_migrators(run),
        Command::Healthcheck(origin) => healthcheck::ask(&origin),
        Command::Orphans(command) => orphans::run(command),
    }
}

fn run_migrators(run: Run) -> Result<ExitCode, Failure> {
    let configuration = settings::read(&run.origin)?;
    let logging = Logging::start(&configuration.log, SystemClock)?;
    daemon::run(run, configuration, logging)
}

/// Runs a command to its end, on one thread.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

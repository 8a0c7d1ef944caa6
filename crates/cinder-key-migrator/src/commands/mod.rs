//! What the command line asks for, one module a command; the daemon is a house of its own.

mod check;
mod daemon_client;
mod desk;
mod fixed_key;
mod healthcheck;
mod migrate;
mod orphans;
mod output;
mod plan;
mod progress;
mod revert;
mod rows;
mod status;
mod verdict;
mod verify;

use std::process::ExitCode;

use crate::cli::{self, Command, Run};
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::logging::Logging;
use crate::settings::Records;
use crate::{daemon, settings};

/// Where, in `state_dir`, a command that migrates keeps a ledger while the daemon has the other.
const BESIDE: &str = "beside";

/// Does what the command line says.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(run) => run_migrators(run),
        Command::Healthcheck(origin) => healthcheck::ask(&origin),
        Command::Status(command) => status::run(command),
        Command::Plan(command) => plan::run(&command),
        Command::Rows(command) => rows::run(&command),
        Command::Migrate(command) => migrate::run(&command),
        Command::Revert(command) => revert::run(&command),
        Command::Release(command) => revert::release(&command),
        Command::Check(command) => check::run(command),
        Command::Orphans(command) => orphans::run(command),
        Command::Completions(shell) => {
            cli::print_completions(shell);
            Ok(ExitCode::SUCCESS)
        }
        Command::FixedKey(command) => fixed_key::run(command),
        Command::Verify(command) => verify::run(command),
    }
}

fn run_migrators(run: Run) -> Result<ExitCode, Failure> {
    let configuration = settings::read(&run.origin)?;
    let logging = Logging::start(&configuration.log, SystemClock)?;
    daemon::run(run, configuration, logging)
}

/// Starts logging where the daemon's lines go, and says what is odd in what was read.
fn start_logging(records: &Records) -> Result<Logging, Failure> {
    let logging = Logging::start(&records.log, SystemClock)?;
    for warning in &records.warnings {
        tracing::warn!("{warning}");
    }
    Ok(logging)
}

/// Runs a command to its end, on one thread.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

#![doc = include_str!("../README.md")]

mod cli;
mod clock;
mod daemon;
mod exit;
mod healthcheck;
mod http;
mod logging;
mod orphans;
mod settings;

use std::process::ExitCode;

use crate::cli::{Command, Run};
use crate::clock::SystemClock;
use crate::exit::Failure;
use crate::logging::Logging;

fn main() -> ExitCode {
    let ended = match cli::parse(std::env::args_os()) {
        Ok(Command::Run(run)) => run_migrators(run),
        Ok(Command::Healthcheck(origin)) => healthcheck::ask(&origin),
        Ok(Command::Orphans(orphans)) => orphans::run(orphans),
        Err(usage) => Err(Failure::Usage(usage)),
    };
    ended.unwrap_or_else(|failure| failure.report())
}

fn run_migrators(run: Run) -> Result<ExitCode, Failure> {
    let configuration = settings::read(&run.origin)?;
    let logging = Logging::start(&configuration.log, SystemClock)?;
    daemon::run(run, configuration, logging)
}

//! Starts the real services that the tests run against, and stops them again.
//!
//! They are private: on free ports of 127.0.0.1, with their own databases and files under
//! `.services`, and they die with this process, however it ends.

mod gunicorn;
mod mariadb;
mod openstack;
mod postgresql;
mod prepared;
mod process;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use key_migrator_tests::services::VARIABLE;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::openstack::{Barbican, Running};
use crate::process::Process;

/// How long the command may take to end after a signal.
const PATIENCE: Duration = Duration::from_secs(20);

/// Start MariaDB, PostgreSQL, Keystone and two Barbicans for tests.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with the Python environment and what is kept between runs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.services"))]
    home: PathBuf,
    /// Workers of each Barbican
    #[arg(long, default_value_t = 2)]
    barbican_workers: u32,
    /// The processors that Barbican may use, as in `0` or `0-2`; all of them by default
    #[arg(long)]
    barbican_processors: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the services, run a command, stop the services; exit as the command did
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Start the services, print the path of their description, stop them on SIGINT or SIGTERM
    Up,
}

// One thread, because the services ask the kernel to stop them when the thread that started them
// ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("services: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8> {
    let mut stop = Stop::listen()?;
    let home = arguments.home.canonicalize().with_context(|| {
        format!(
            "{} is missing; tests/run makes it",
            arguments.home.display()
        )
    })?;
    let started = Instant::now();
    let barbican = Barbican {
        workers: arguments.barbican_workers,
        processors: arguments.barbican_processors,
    };
    let running = tokio::select! {
        running = openstack::start(&home, barbican) => running?,
        () = stop.asked() => return Ok(130),
    };
    eprintln!(
        "services: up after {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let outcome = match arguments.command {
        Command::Up => {
            println!("{}", running.description.display());
            stop.asked().await;
            Ok(0)
        }
        Command::Exec { command } => execute(&command, &running.description, &mut stop).await,
    };
    stop_services(running).await;
    outcome
}

async fn execute(command: &[String], description: &Path, stop: &mut Stop) -> Result<u8> {
    let mut child = process::command(&command[0]);
    child.args(&command[1..]).env(VARIABLE, description);
    let mut child = Process::start("the command", child)?;
    let status = tokio::select! {
        status = child.ended() => status?,
        () = stop.asked() => {
            child.stop(Signal::TERM, PATIENCE).await;
            return Ok(130);
        }
    };
    Ok(status
        .code()
        .and_then(|code| code.try_into().ok())
        .unwrap_or(1))
}

async fn stop_services(running: Running) {
    let started = Instant::now();
    running.stop().await;
    eprintln!(
        "services: stopped after {:.1} s",
        started.elapsed().as_secs_f32()
    );
}

/// The wish that this process ends, by Ctrl-C or SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

//! A cloud to try cinder-key-migrator on, and the story an operator lives
//! through with it: the first command of the README.

mod cinder_conf;
mod narration;
mod program;
mod stage;
mod status;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use sandbox_cloud::RoleWorld;
use tokio::signal::unix::{SignalKind, signal};

use story::Told;

/// Starts a small cloud (Keystone, Barbican and a Cinder database), runs the
/// real cinder-key-migrator against it, and checks every key at the end.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Volumes that use the fixed key, on three hosts
    #[arg(long, value_name = "N", default_value_t = 300)]
    volumes: u32,
    /// How long Keystone and Barbican take for a request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10)]
    latency: u64,
    /// Which role this Barbican wants: member, as shipped since 2024.1, or creator, as before
    #[arg(long, value_enum, default_value_t = World::Member)]
    role_world: World,
    /// Makes other IDs and another mix of rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep everything running after the story, until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// The program to run, instead of the one built beside this one
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Barbican's port on 127.0.0.1, instead of a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    barbican_port: u16,
    /// Keystone's port on 127.0.0.1, instead of a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    keystone_port: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum World {
    Member,
    Creator,
}

impl Options {
    fn latency(&self) -> Duration {
        Duration::from_millis(self.latency)
    }

    fn role_world(&self) -> RoleWorld {
        match self.role_world {
            World::Member => RoleWorld::Member,
            World::Creator => RoleWorld::Creator,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return failed(&error.into()),
    };
    // Leaving the story early ends the processes that it started.
    let told = tokio::select! {
        told = story::tell(&options) => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    let right = match told {
        Ok(Told::Over { right }) => Ok(right),
        Ok(Told::Staying(scene)) => scene.stay(&mut terminate).await,
        Err(error) => Err(error),
    };
    match right {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("\nsandbox: {error:#}");
    ExitCode::FAILURE
}

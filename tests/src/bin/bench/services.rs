//! The real services, started for one number of Barbican workers.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::Services;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long they may take to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Running services. They end with this process, however it does, as they ask the kernel for it.
pub(crate) struct Started {
    child: Child,
    pub(crate) services: Services,
}

impl Started {
    /// Starts them with the binary `services`, which cargo puts beside this one.
    pub(crate) async fn with_workers(home: &Path, workers: u32) -> Result<Self> {
        Self::with(home, workers, &[]).await
    }

    /// As [`with_workers`](Self::with_workers), where Barbican may use these processors alone.
    pub(crate) async fn apart(home: &Path, workers: u32, barbican: &str) -> Result<Self> {
        Self::with(home, workers, &["--barbican-processors", barbican]).await
    }

    async fn with(home: &Path, workers: u32, options: &[&str]) -> Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("services");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(&binary)
            .arg("--home")
            .arg(home)
            .args(["--barbican-workers", &workers.to_string()])
            .args(options)
            .arg("up")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let stdout = child.stdout.take().context("a standard output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let description = line.context("the services did not start")?;
        Ok(Self {
            child,
            services: Services::read(Path::new(&description))?,
        })
    }

    /// The process that all of them descend from.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the services have ended")
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.pid()?.try_into()?).context("no process has the ID 0")?;
        rustix::process::kill_process(pid, Signal::TERM)?;
        timeout(PATIENCE, self.child.wait())
            .await
            .context("the services do not stop")??;
        Ok(())
    }
}

//! A child process in a process group of its own, so that all of it can be stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a service may take until it answers, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often it is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How much of its log an error shows.
const LOG_TAIL_LINES: usize = 40;

/// A running child process. Dropping it kills its whole group.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: Option<PathBuf>,
}

/// A command that the kernel sends SIGTERM when this process ends, however it does.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// As [`isolated_command`], run as another user of this machine.
pub(crate) fn isolated_command_as(user: &str, program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--init-groups"])
        .args(["--pdeathsig", "TERM"])
        .arg(program);
    isolated(command, home)
}

/// As [`command`], with nothing of this process's environment but the search path, and with a
/// home folder of its own, where OpenStack's services look for their configuration.
pub(crate) fn isolated_command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    isolated(command(program), home)
}

fn isolated(mut command: Command, home: &Path) -> Command {
    command
        .env_clear()
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

impl Process {
    /// Starts a command that writes where this process writes.
    pub(crate) fn start(name: &str, command: Command) -> Result<Self> {
        Self::spawn(name, command, None)
    }

    /// Starts a service whose output goes to `<name>.log` in the folder.
    pub(crate) fn start_service(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Self::spawn(name, command, Some(log))
    }

    /// Runs a command to its end, which must be a success; its output goes to `<name>.log`.
    pub(crate) async fn run(name: &str, command: Command, logs: &Path) -> Result<()> {
        let mut process = Self::start_service(name, command, logs)?;
        let status = process.ended().await?;
        ensure!(
            status.success(),
            "{name} ended with {status}:\n{}",
            process.log_tail()
        );
        Ok(())
    }

    /// Polls until the probe says yes.
    pub(crate) async fn ready(&mut self, mut probe: impl AsyncFnMut() -> bool) -> Result<()> {
        let polling = async {
            while !probe().await {
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended with {status}:\n{}", self.name, self.log_tail());
                }
                sleep(POLL_INTERVAL).await;
            }
            Ok(())
        };
        match timeout(DEADLINE, polling).await {
            Ok(outcome) => outcome,
            Err(_) => bail!(
                "{} does not answer after {} s:\n{}",
                self.name,
                DEADLINE.as_secs(),
                self.log_tail()
            ),
        }
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Stops the group, gently at first.
    pub(crate) async fn stop(mut self, signal: Signal, patience: Duration) {
        // An error here means that nobody is left to get the signal.
        let _ = rustix::process::kill_process_group(self.group, signal);
        let _ = timeout(patience, self.child.wait()).await;
    }

    fn spawn(name: &str, mut command: Command, log: Option<PathBuf>) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let id = child
            .id()
            .context("a process that was not awaited has an ID")?;
        let group = Pid::from_raw(id.try_into()?).context("no process has the ID 0")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            group,
            log,
        })
    }

    fn log_tail(&self) -> String {
        let Some(log) = &self.log else {
            return String::new();
        };
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may outlive its leader, so it is killed even if that has ended.
        let _ = rustix::process::kill_process_group(self.group, Signal::KILL);
    }
}

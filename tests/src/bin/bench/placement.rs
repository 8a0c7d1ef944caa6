//! Who may use which processors. On one machine a client takes from Barbican what it uses itself; in
//! a deployment they are apart, and there only what Barbican can serve counts.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::services::Started;

/// How the processors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Everybody may use all of them.
    Together,
    /// The last one is for the client, the databases and Keystone; Barbican has the others.
    Apart,
}

/// This process, and what it starts, kept to some processors. Dropping it lifts that.
pub(crate) struct Confined;

impl Placement {
    pub(crate) async fn start(self, home: &Path, workers: u32) -> Result<Started> {
        match self {
            Self::Together => Started::with_workers(home, workers).await,
            Self::Apart => {
                let barbican = format!("0-{}", last()? - 1);
                Started::apart(home, workers, &barbican).await
            }
        }
    }

    /// Keeps this process where it may be.
    pub(crate) fn confine(self) -> Result<Option<Confined>> {
        match self {
            Self::Together => Ok(None),
            Self::Apart => {
                let last = last()?;
                ensure!(last > 0, "this needs two processors or more");
                keep_to(&last.to_string())?;
                Ok(Some(Confined))
            }
        }
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // What is measured after this would be slow, and is refused by nothing else.
        if let Err(error) = last().and_then(|last| keep_to(&format!("0-{last}"))) {
            eprintln!("bench: {error:#}");
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Together => "everything on this machine",
            Self::Apart => "Barbican on processors of its own, all else on one other",
        })
    }
}

/// The number of the last processor of this machine.
fn last() -> Result<usize> {
    let present = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let last = present.trim().rsplit(['-', ',']).next().unwrap_or_default();
    last.parse().context("/sys/devices/system/cpu/online")
}

/// Keeps every thread of this process to these processors.
fn keep_to(processors: &str) -> Result<()> {
    let kept = Command::new("taskset")
        .args(["--all-tasks", "--pid", "--cpu-list", processors])
        .arg(std::process::id().to_string())
        .output()
        .context("taskset, of util-linux")?;
    ensure!(
        kept.status.success(),
        "{}",
        String::from_utf8_lossy(&kept.stderr)
    );
    Ok(())
}

//! A disk of its own for the ledger, which can be full, or fail.
//!
//! It is a small file system in memory, so that filling it harms nobody. A file that has its room
//! already is written to however full the disk is, and nothing that is open can be made read-only,
//! so the other way to fail is that the kernel refuses the program's writes with an error, as it
//! does when a device breaks: `strace` puts itself in between.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};
use tempfile::{NamedTempFile, TempDir};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The ledger of this test takes a small part of it.
const SIZE: &str = "size=24m";

/// What changes a file, or says that it is safe.
const WRITING: &str = "write,pwrite64,writev,pwritev,ftruncate,fallocate,fsync,fdatasync";

/// A mounted file system. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct Disk {
    mounted: TempDir,
    state_dir: PathBuf,
}

/// What can be wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// There is no room left.
    Full,
    /// Writing and flushing end with an error of this name.
    Error(&'static str),
}

/// Something is wrong with it now.
#[derive(Debug)]
pub(crate) enum Lasting {
    Full(PathBuf),
    Error {
        strace: Child,
        /// What it saw.
        calls: NamedTempFile,
    },
}

impl Disk {
    /// Makes and mounts one.
    pub(crate) fn mount() -> Result<Self> {
        let mounted = tempfile::tempdir()?;
        let done = Blocking::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(mounted.path())
            .status()
            .context("running mount")?;
        ensure!(
            done.success(),
            "a file system cannot be mounted here: this test must run as root, with the right to \
             mount"
        );
        let state_dir = mounted.path().join("ledger");
        std::fs::create_dir(&state_dir)?;
        Ok(Self { mounted, state_dir })
    }

    /// For `[key_migrator] state_dir`.
    pub(crate) fn state_dir(&self) -> &str {
        self.state_dir
            .to_str()
            .expect("a temporary folder has a plain name")
    }

    /// Begins a trouble for the process with this ID.
    pub(crate) async fn trouble(&self, trouble: Trouble, pid: u32) -> Result<Lasting> {
        match trouble {
            Trouble::Full => self.fill(),
            Trouble::Error(error) => inject(&self.state_dir, error, pid).await,
        }
    }

    fn fill(&self) -> Result<Lasting> {
        let path = self.mounted.path().join("filler");
        let mut filler = OpenOptions::new().create(true).append(true).open(&path)?;
        let page = [0; 4096];
        while filler.write_all(&page).is_ok() {}
        Ok(Lasting::Full(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The program may still hold a file open; the mount goes when it ends.
        let _ = Blocking::new("umount")
            .arg("--lazy")
            .arg(self.mounted.path())
            .status();
    }
}

impl Trouble {
    pub(crate) const ALL: [Self; 3] = [Self::Full, Self::Error("EIO"), Self::Error("ENOSPC")];
}

impl Lasting {
    /// All is well again; says how many of the program's calls failed, where that is known.
    pub(crate) async fn end(self) -> Result<u64> {
        match self {
            Self::Full(filler) => {
                std::fs::remove_file(filler)?;
                Ok(0)
            }
            Self::Error { mut strace, calls } => {
                let id = strace.id().context("strace had ended by itself")?;
                let pid = Pid::from_raw(id.try_into()?).context("no process has the ID 0")?;
                rustix::process::kill_process(pid, Signal::INT)?;
                strace.wait().await?;
                let calls = std::fs::read_to_string(calls.path())?;
                Ok(calls.matches("(INJECTED)").count() as u64)
            }
        }
    }
}

/// Lets every call of the process that writes to a file in this folder fail, once this returns.
async fn inject(folder: &Path, error: &str, pid: u32) -> Result<Lasting> {
    let calls = NamedTempFile::new()?;
    let mut strace = Command::new("strace");
    strace.arg("--follow-forks").arg(format!("--attach={pid}"));
    strace.arg("--output").arg(calls.path());
    for entry in std::fs::read_dir(folder)? {
        strace.arg("--trace-path").arg(entry?.path());
    }
    let mut strace = strace
        .arg("--trace-path")
        .arg(folder)
        .arg(format!("--inject={WRITING}:error={error}"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting strace")?;
    let stderr = strace.stderr.take().context("the child has an output")?;
    let mut lines = BufReader::new(stderr).lines();
    let said = lines.next_line().await?.unwrap_or_default();
    ensure!(said.contains("attached"), "strace: {said}");
    // It says so of each thread; somebody must listen.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Lasting::Error { strace, calls })
}

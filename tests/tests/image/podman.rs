//! Debian's podman, on a store of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// crun refuses a machine that has both hierarchies of cgroups. No container here is limited by
/// one, so it is shown the newer alone.
const ONE_HIERARCHY: &str = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec podman \"$@\"";

/// Images and containers of one test. Dropping it removes them.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { folder })
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ONE_HIERARCHY, "podman"])
            .arg("--root")
            .arg(self.folder.path().join("root"))
            .arg("--runroot")
            .arg(self.folder.path().join("runroot"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, whatever comes of it.
    pub(crate) async fn output<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Output> {
        let output = self.command(arguments).output().await;
        output.context("starting podman, which `tests/run long` installs")
    }

    /// What a command says that must succeed.
    pub(crate) async fn does<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String> {
        succeeded(self.output(arguments).await?)
    }

    /// As [`does`](Self::does), as a service manager that wants to be told of its services here.
    pub(crate) async fn does_and_tells<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        socket: &Path,
    ) -> Result<String> {
        let mut command = self.command(arguments);
        succeeded(command.env("NOTIFY_SOCKET", socket).output().await?)
    }

    /// Builds an image of what a file says, with what this folder has.
    pub(crate) async fn build(
        &self,
        file: &Path,
        folder: &Path,
        name: &str,
        arguments: &[&str],
    ) -> Result<()> {
        let (file, folder) = (file.display().to_string(), folder.display().to_string());
        let mut build = vec!["build", "--isolation", "chroot", "--format", "docker"];
        build.extend(["--pull=never", "--file", &file, "--tag", name]);
        for argument in arguments {
            build.extend(["--build-arg", argument]);
        }
        build.push(&folder);
        self.does(&build).await.map(drop)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let mut command = self.command(&["rm", "--all", "--force", "--time", "0"]);
        // What a test that has failed leaves running; there is nobody to tell of another failure.
        let _ = command.as_std_mut().output();
    }
}

fn succeeded(output: Output) -> Result<String> {
    let said = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "podman: {said}{errors}");
    Ok(said.trim().to_owned())
}

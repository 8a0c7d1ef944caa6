//! What systemd is, to podman.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use key_migrator_tests::program::DEADLINE;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// It listens at a socket of its own.
pub(crate) struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("notify"))?;
        Ok(Self { folder, socket })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits until it is told this.
    pub(crate) async fn hears(&self, line: &str) -> Result<()> {
        let mut heard = String::new();
        let hearing = async {
            while !heard.lines().any(|said| said == line) {
                let mut message = [0; 4096];
                let length = self.socket.recv(&mut message).await?;
                heard.push_str(&String::from_utf8_lossy(&message[..length]));
                heard.push('\n');
            }
            Ok(())
        };
        let outcome = timeout(DEADLINE, hearing).await;
        outcome
            .context("not in time")
            .flatten()
            .with_context(|| format!("waiting for {line}: {heard}"))
    }
}

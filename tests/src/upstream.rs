//! Cinder's own migrator, as a peer: to race with, and to be compared with.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cinder_conf::CinderConf;
use crate::program::Signal;
use crate::services::Services;

/// How long Cinder may take to be imported, on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A Python with Cinder loaded, that migrates whenever it is told to. Dropping it kills it.
///
/// It is Cinder's code as operators run it: only what calls it, `python/upstream_migrator.py`, is
/// ours.
#[derive(Debug)]
pub struct Upstream {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    log: watch::Receiver<Vec<String>>,
    _folder: Arc<TempDir>,
}

/// Which of Cinder's services the migrator runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamService {
    /// cinder-volume: volumes with their snapshots, on each of `enabled_backends`.
    Volume,
    /// cinder-backup: backups.
    Backup,
}

/// What one migration took.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Migrated {
    /// Rows of the host that were loaded, migrated before or not.
    pub rows: usize,
    /// Seconds it took to load them.
    pub load_seconds: f64,
    /// Seconds from its "Starting migration" to the end of its summary.
    pub migrate_seconds: f64,
}

impl Upstream {
    /// Starts Python with this configuration in a folder of its own, and waits until Cinder is
    /// imported and configured. Nothing is read of the database before
    /// [`migrate`](Self::migrate).
    ///
    /// # Errors
    ///
    /// When it cannot be started or ends; its log is in the error.
    pub async fn start(services: &Services, conf: &CinderConf) -> Result<Self> {
        Self::start_in(Arc::new(tempfile::tempdir()?), services, conf).await
    }

    /// As [`start`](Self::start), in a folder that others use too: processes of one host share
    /// the locks that Cinder keeps there.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_in(
        folder: Arc<TempDir>,
        services: &Services,
        conf: &CinderConf,
    ) -> Result<Self> {
        let conf = conf.write_to(folder.path())?;
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/upstream_migrator.py");
        let mut child = Command::new(&services.python)
            .args(["-B", "-W", "ignore"])
            .arg(program)
            .arg(conf)
            .env_clear()
            .env("HOME", folder.path())
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", services.python.display()))?;
        let stdin = child.stdin.take().context("a standard input")?;
        let stdout = child.stdout.take().context("a standard output")?;
        let stderr = child.stderr.take().context("a standard error")?;
        let mut upstream = Self {
            child,
            stdin,
            answers: BufReader::new(stdout).lines(),
            log: collect_lines(stderr),
            _folder: folder,
        };
        timeout(START_DEADLINE, upstream.answer())
            .await
            .context("importing Cinder takes too long")?
            .context("importing Cinder")?;
        Ok(upstream)
    }

    /// Loads the rows of one service and migrates them, as a start of that service does.
    ///
    /// Individual keys may fail: the log tells. To kill it on its way, call [`kill`](Self::kill)
    /// after dropping this future: the migration goes on meanwhile.
    ///
    /// # Errors
    ///
    /// When the process ends instead; its log is in the error.
    pub async fn migrate(&mut self, service: UpstreamService) -> Result<Migrated> {
        self.begin(service).await?;
        self.finish().await
    }

    /// The first half of [`migrate`](Self::migrate): says what to do, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub async fn begin(&mut self, service: UpstreamService) -> Result<()> {
        let word: &[u8] = match service {
            UpstreamService::Volume => b"volume\n",
            UpstreamService::Backup => b"backup\n",
        };
        let written = self.stdin.write_all(word).await;
        written.with_context(|| self.about("telling Cinder's migrator to begin"))
    }

    /// The second half of [`migrate`](Self::migrate): waits for what was begun.
    ///
    /// # Errors
    ///
    /// As [`migrate`](Self::migrate).
    pub async fn finish(&mut self) -> Result<Migrated> {
        let answer = self.answer().await?;
        serde_json::from_str(&answer).with_context(|| format!("parsing {answer}"))
    }

    /// Every line that Cinder has logged so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits for a line that contains the text, earlier lines included.
    ///
    /// # Errors
    ///
    /// When the process ends without it; its log is in the error.
    pub async fn line(&mut self, text: &str) -> Result<String> {
        let lines = self.lines_where(|line| line.contains(text), 1).await;
        let lines = lines.with_context(|| format!("waiting for a line with `{text}`"))?;
        Ok(lines[0].clone())
    }

    /// Waits for so many lines that satisfy the condition, earlier lines included, and returns
    /// them.
    ///
    /// # Errors
    ///
    /// When the process ends without them; its log is in the error.
    pub async fn lines_where(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        number: usize,
    ) -> Result<Vec<String>> {
        let enough = |lines: &Vec<String>| {
            let such = lines.iter().filter(|line| wanted(line));
            such.count() >= number
        };
        let arrived = self.log.wait_for(enough).await.is_ok();
        ensure!(arrived, self.about("too few such lines"));
        let mut lines = self.lines();
        lines.retain(|line| wanted(line));
        Ok(lines)
    }

    /// The process ID.
    ///
    /// # Panics
    ///
    /// When it has been awaited to its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has not been awaited to its end")
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid().try_into()?).context("no process has the ID 0")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Ends it after what it was told to do, by closing its standard input.
    ///
    /// # Errors
    ///
    /// When it fails; its log is in the error.
    pub async fn end(mut self) -> Result<()> {
        drop(self.stdin);
        let status = self.child.wait().await?;
        let log = self.log.borrow().join("\n");
        ensure!(
            status.success(),
            "Cinder's migrator ended with {status}; it wrote:\n{log}"
        );
        Ok(())
    }

    /// Ends it at once with SIGKILL, as a crash would.
    ///
    /// # Errors
    ///
    /// When it cannot be awaited.
    pub async fn kill(mut self) -> Result<ExitStatus> {
        self.child.start_kill()?;
        Ok(self.child.wait().await?)
    }

    async fn answer(&mut self) -> Result<String> {
        let line = self.answers.next_line().await?;
        let Some(line) = line else {
            // The log is complete once its writer is gone.
            while self.log.changed().await.is_ok() {}
            bail!(self.about("Cinder's migrator ended"));
        };
        Ok(line)
    }

    fn about(&self, what: &str) -> String {
        format!("{what}; it wrote:\n{}", self.log.borrow().join("\n"))
    }
}

fn collect_lines(source: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (sender, lines) = watch::channel(Vec::new());
    tokio::spawn(async move {
        let mut source = BufReader::new(source).lines();
        while let Ok(Some(line)) = source.next_line().await {
            sender.send_modify(|lines| lines.push(line));
        }
    });
    lines
}

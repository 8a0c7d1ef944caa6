//! The program itself, run as an operator runs it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;
pub use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cinder_conf::CinderConf;
use crate::http;

/// How long a test waits for something that must come, on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The environment variable that names another binary than the one cargo has built.
pub const VARIABLE: &str = "CINDER_KEY_MIGRATOR";

/// One running `cinder-key-migrator`. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    folder: Arc<TempDir>,
    url: String,
    lines: watch::Receiver<Vec<String>>,
    seen: usize,
}

/// A program that has ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Every line that it wrote, of both standard output and standard error.
    pub lines: Vec<String>,
}

impl Program {
    /// Starts `cinder-key-migrator run` with this configuration in a folder of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(conf: &CinderConf) -> Result<Self> {
        Self::start_with(conf, ["run"])
    }

    /// Starts any command: the arguments, followed by `--config-file` and the file.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_with<A: AsRef<OsStr>>(
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::start_in(Arc::new(tempfile::tempdir()?), conf, arguments)
    }

    /// Starts any command with everything logged that the program can log.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_tracing<A: AsRef<OsStr>>(
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::start_tracing_in(Arc::new(tempfile::tempdir()?), conf, arguments)
    }

    /// As [`start_tracing`](Self::start_tracing), in the folder of an earlier one.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_tracing_in<A: AsRef<OsStr>>(
        folder: Arc<TempDir>,
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let trace = [("CINDER_KEY_MIGRATOR_LOG", "trace")];
        Self::spawn(folder, conf, arguments, &trace, &[])
    }

    /// Starts any command with these variables in its environment.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_beside<A: AsRef<OsStr>>(
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::spawn(
            Arc::new(tempfile::tempdir()?),
            conf,
            arguments,
            environment,
            &[],
        )
    }

    /// Starts any command through another one, such as `setpriv`, which becomes what follows its own
    /// arguments.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_through<A: AsRef<OsStr>>(
        wrapper: &[&str],
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::spawn(
            Arc::new(tempfile::tempdir()?),
            conf,
            arguments,
            &[],
            wrapper,
        )
    }

    /// Starts it in the folder (and so with the state) of an earlier one.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_in<A: AsRef<OsStr>>(
        folder: Arc<TempDir>,
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::spawn(folder, conf, arguments, &[], &[])
    }

    /// Starts it with these arguments and variables, and nothing else; its pages are not to be had.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_bare<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let arguments = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned());
        let command = command(&[])?;
        Self::spawn_bare(command, folder, String::new(), arguments, environment)
    }

    fn spawn<A: AsRef<OsStr>>(
        folder: Arc<TempDir>,
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        wrapper: &[&str],
    ) -> Result<Self> {
        let file = [
            OsString::from("--config-file"),
            conf.write_to(folder.path())?.into(),
        ];
        let arguments = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned());
        let arguments = arguments.chain(file);
        Self::spawn_bare(
            command(wrapper)?,
            folder,
            conf.url(),
            arguments,
            environment,
        )
    }

    fn spawn_bare(
        mut command: Command,
        folder: Arc<TempDir>,
        url: String,
        arguments: impl Iterator<Item = OsString>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut child = command
            .args(arguments)
            .env_clear()
            .env("HOME", folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {:?}", command.as_std().get_program()))?;
        let (sender, lines) = watch::channel(Vec::new());
        collect_lines(child.stdout.take(), sender.clone());
        collect_lines(child.stderr.take(), sender);
        Ok(Self {
            child,
            folder,
            url,
            lines,
            seen: 0,
        })
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not end in time.
    pub async fn run_to_end<A: AsRef<OsStr>>(
        conf: &CinderConf,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ended> {
        Self::start_with(conf, arguments)?.ended().await
    }

    /// The next line (after the one that this method returned last) that contains the text.
    ///
    /// # Errors
    ///
    /// When it does not come in time or the program ends; all lines are in the error.
    pub async fn line(&mut self, text: &str) -> Result<String> {
        self.line_where(|line| line.contains(text))
            .await
            .with_context(|| format!("waiting for a line with `{text}`"))
    }

    /// As [`line`](Self::line), for any predicate.
    ///
    /// # Errors
    ///
    /// As [`line`](Self::line).
    pub async fn line_where(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.line_where_within(wanted, DEADLINE).await
    }

    /// As [`line`](Self::line), for what may take longer than [`DEADLINE`].
    ///
    /// # Errors
    ///
    /// As [`line`](Self::line).
    pub async fn line_within(&mut self, text: &str, patience: Duration) -> Result<String> {
        self.line_where_within(|line| line.contains(text), patience)
            .await
            .with_context(|| format!("waiting for a line with `{text}`"))
    }

    async fn line_where_within(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        patience: Duration,
    ) -> Result<String> {
        let seen = self.seen;
        let position = |lines: &[String]| {
            lines
                .iter()
                .skip(seen)
                .position(|line| wanted(line))
                .map(|found| seen + found)
        };
        let arrived = self.lines.wait_for(|lines| position(lines).is_some());
        let found = match timeout(patience, arrived).await {
            Ok(Ok(lines)) => position(&lines).map(|found| (found, lines[found].clone())),
            Ok(Err(_)) | Err(_) => None,
        };
        let Some((found, line)) = found else {
            bail!(
                "no such line; the program wrote:\n{}",
                self.lines().join("\n")
            );
        };
        self.seen = found + 1;
        Ok(line)
    }

    /// Every line so far, of both standard output and standard error.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// The folder with `cinder.conf`, which is also `state_path`: keep it to start another
    /// program with the same state.
    #[must_use]
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Replaces `cinder.conf`; the program reads it on [`Signal::HUP`].
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn reconfigure(&self, conf: &CinderConf) -> Result<PathBuf> {
        conf.write_to(self.folder.path())
    }

    /// The process ID.
    ///
    /// # Panics
    ///
    /// When the program has been awaited to its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child
            .id()
            .expect("the program has not been awaited to its end")
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the program has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().context("the program has ended")?;
        let pid = Pid::from_raw(id.try_into()?).context("no process has the ID 0")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Where the program serves HTTP.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The status and text of one of the program's own pages, as in `/v1/status`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn page(&self, path: &str) -> Result<(u16, String)> {
        let response = http::client()
            .get(format!("{}{path}", self.url))
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub async fn ready(&self) -> Result<()> {
        let polling = async {
            while !matches!(self.page("/readyz").await, Ok((200, _))) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, polling)
            .await
            .context("waiting for /readyz")
    }

    /// `/v1/status`, as soon as it satisfies the condition.
    ///
    /// # Errors
    ///
    /// When it does not in time; the last status and all lines are in the error.
    pub async fn status_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.status_within(DEADLINE, wanted).await
    }

    /// As [`status_where`](Self::status_where), for what may take longer.
    ///
    /// # Errors
    ///
    /// As [`status_where`](Self::status_where).
    pub async fn status_within(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let polling = async {
            loop {
                if let Ok((200, text)) = self.page("/v1/status").await {
                    last = serde_json::from_str(&text)?;
                    if wanted(&last) {
                        return Ok(());
                    }
                }
                ensure!(self.child.try_wait()?.is_none(), "the program has ended");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let outcome = timeout(patience, polling)
            .await
            .context("not in time")
            .flatten();
        outcome.with_context(|| {
            let lines = self.lines.borrow().join("\n");
            format!("waiting for a status; the last was {last:#}; the program wrote:\n{lines}")
        })?;
        Ok(last)
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    ///
    /// When it does not in time; all lines are in the error.
    pub async fn ended(mut self) -> Result<Ended> {
        let Ok(status) = timeout(DEADLINE, self.child.wait()).await else {
            bail!(
                "the program does not end; it wrote:\n{}",
                self.lines().join("\n")
            );
        };
        // Both ends of the pipes are closed once every line has been collected.
        while self.lines.changed().await.is_ok() {}
        Ok(Ended {
            status: status?,
            lines: self.lines(),
        })
    }

    /// Asks the program to end with SIGTERM, and waits until it has.
    ///
    /// # Errors
    ///
    /// As [`ended`](Self::ended).
    pub async fn terminate(self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Ends the program at once with SIGKILL, as a crash would.
    ///
    /// # Errors
    ///
    /// As [`ended`](Self::ended).
    pub async fn kill(self) -> Result<Ended> {
        self.signal(Signal::KILL)?;
        self.ended().await
    }
}

impl Ended {
    /// The exit code; a program that a signal ended has none.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// The program, or what is to become it.
fn command(wrapper: &[&str]) -> Result<Command> {
    let binary = binary()?;
    let Some((wrapper, arguments)) = wrapper.split_first() else {
        return Ok(Command::new(binary));
    };
    let mut command = Command::new(wrapper);
    command.args(arguments).arg(binary);
    Ok(command)
}

/// `target/<profile>/cinder-key-migrator`, beside the `deps` folder that tests run from.
///
/// # Errors
///
/// When it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let profile = test
        .ancestors()
        .find(|folder| !folder.ends_with("deps") && folder.is_dir());
    let binary = profile
        .unwrap_or(Path::new("."))
        .join("cinder-key-migrator");
    ensure!(
        binary.exists(),
        "{} is missing: `tests/run` builds it before the tests, by hand it is `cargo build \
         --workspace`",
        binary.display()
    );
    Ok(binary)
}

fn collect_lines<R: AsyncRead + Unpin + Send + 'static>(
    source: Option<R>,
    lines: watch::Sender<Vec<String>>,
) {
    let Some(source) = source else { return };
    tokio::spawn(async move {
        let mut source = BufReader::new(source).lines();
        while let Ok(Some(line)) = source.next_line().await {
            lines.send_modify(|lines| lines.push(line));
        }
    });
}

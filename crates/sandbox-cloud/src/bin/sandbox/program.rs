//! The real program, as processes of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use sandbox_cloud::cinder::Host;

use crate::cinder_conf;
use crate::narration;
use crate::stage::Stage;
use crate::status::Status;

const PACKAGE: &str = "cinder-key-migrator";

/// Of the lines that name one key each, so many are shown.
const KEYS_SHOWN: u32 = 3;

/// How long a daemon may take to drain after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// The program's executable: the given one, or the one beside this one, built
/// first where cargo runs us.
pub(crate) async fn find(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = given {
        ensure!(path.is_file(), "there is no program at {}", path.display());
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let dir = own.parent().context("this program is in no directory")?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        build(Path::new(&cargo), dir).await?;
    }
    let path = dir.join(PACKAGE);
    ensure!(
        path.is_file(),
        "there is no {PACKAGE} in {}: build it, or name it with --program",
        dir.display()
    );
    Ok(path)
}

async fn build(cargo: &Path, dir: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(cargo);
    command.args(["build", "--package", PACKAGE]);
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    if let Some(manifest_dir) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(manifest_dir);
    }
    let status = command.status().await.context("cannot start cargo")?;
    ensure!(status.success(), "cargo could not build {PACKAGE}");
    Ok(())
}

/// One daemon on one host.
#[derive(Debug)]
pub(crate) struct Program {
    host: &'static str,
    port: u16,
    conf: PathBuf,
    child: Child,
    lines: JoinHandle<()>,
    client: reqwest::Client,
}

impl Program {
    pub(crate) async fn start(
        path: &Path,
        stage: &Stage,
        host: &'static Host,
        extra_hosts: &[&str],
    ) -> anyhow::Result<Self> {
        let port = free_port().await?;
        let conf = cinder_conf::write(stage, host, port, extra_hosts)?;
        narration::command(&format!("{PACKAGE} run --config-file {}", conf.display()));
        let mut command = Command::new(path);
        command.arg("run").arg("--config-file").arg(&conf);
        // OS_GROUP__OPTION in the environment beats files, and nobody's supervisor is to hear
        // of this daemon.
        let foreign = |name: &std::ffi::OsString| {
            name.to_str()
                .is_some_and(|name| name.starts_with("OS_") || name == "NOTIFY_SOCKET")
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // A group of its own: Ctrl-C is for the sandbox, which ends its daemons in its own way.
        command.process_group(0).kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let stderr = child
            .stderr
            .take()
            .context("the program has no standard error")?;
        let lines = tokio::spawn(show_lines(host.name, BufReader::new(stderr)));
        let client = sandbox_cloud::http_client();
        Ok(Self {
            host: host.name,
            port,
            conf,
            child,
            lines,
            client,
        })
    }

    pub(crate) fn host(&self) -> &'static str {
        self.host
    }

    pub(crate) fn conf(&self) -> &Path {
        &self.conf
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The status code of a GET, without its body.
    pub(crate) async fn answers(&self, path: &str) -> anyhow::Result<u16> {
        let answer = self.client.get(self.url(path)).send().await;
        Ok(answer
            .with_context(|| format!("{path} does not answer"))?
            .status()
            .as_u16())
    }

    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        let answer = self
            .client
            .get(self.url("/v1/status"))
            .send()
            .await?
            .error_for_status()?;
        answer
            .json()
            .await
            .context("/v1/status is not as it is documented")
    }

    /// Asks `/v1/status` until it is as wanted, showing each answer to `see`.
    pub(crate) async fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&Status) -> bool,
        mut see: impl FnMut(&Status),
    ) -> anyhow::Result<Status> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(exit) = self.child.try_wait()? {
                bail!(
                    "the program on {} ended with {exit} before {what}",
                    self.host
                );
            }
            let answer = self.status().await;
            if let Ok(status) = &answer {
                see(status);
                if wanted(status) {
                    return answer;
                }
            }
            if Instant::now() > deadline {
                let last = answer.map_or_else(|error| format!("{error:#}"), |s| s.progress());
                bail!(
                    "{}: waited {patience:?} in vain for: {what}. Last seen: {last}",
                    self.host
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        let id = id.ok_or_else(|| anyhow!("the program on {} has ended already", self.host))?;
        kill_process(id, signal).context("cannot send a signal to the program")
    }

    /// SIGTERM, and the exit status once the last line was shown.
    pub(crate) async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let exit = timeout(DRAIN, self.child.wait()).await;
        let exit = exit.with_context(|| format!("{} did not end in {DRAIN:?}", self.host))??;
        self.lines
            .await
            .context("the program's lines could not be read")?;
        Ok(exit)
    }
}

async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Shows the program's lines as they come; of a run of lines that each name one
/// key, the first ones and how many followed.
async fn show_lines(host: &'static str, lines: BufReader<impl tokio::io::AsyncRead + Unpin>) {
    let mut lines = lines.lines();
    let mut keys = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains(" Migrating volume ") || line.contains(" Migrating Backup ") {
            keys += 1;
            if keys > KEYS_SHOWN {
                continue;
            }
        } else {
            skipped(host, &mut keys);
        }
        narration::quote(host, &line);
    }
    skipped(host, &mut keys);
}

fn skipped(host: &str, keys: &mut u32) {
    if *keys > KEYS_SHOWN {
        let more = *keys - KEYS_SHOWN;
        narration::quote(host, &format!("... and {more} more lines like these"));
    }
    *keys = 0;
}

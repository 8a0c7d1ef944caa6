//! Runs the program and listens to what it says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const FIXED_KEY: &str =
    "5ca1ab1e0ddba11c0ffee0fdecafbad15ca1ab1e0ddba11c0ffee0fdecafbad1";
pub(crate) const PASSWORD: &str = "pa55word-of-cinder";

/// A directory of one test with its configuration.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a writable directory");
        // It holds secrets, and the program warns where everybody can read them.
        let closed = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, closed).expect("a file of ours");
        path
    }

    /// A configuration without faults, whose database and Keystone are given.
    pub(crate) fn configure(&self, connection: &str, auth_url: &str, own: &str) -> PathBuf {
        let state_path = self.path("state").display().to_string();
        let text = format!(
            "[DEFAULT]\nhost = host1\nenabled_backends = lvm\nstate_path = {state_path}\n\
             [database]\nconnection = {connection}\n\
             [key_manager]\nbackend = barbican\nfixed_key = {FIXED_KEY}\n\
             [keystone_authtoken]\nauth_type = password\nauth_url = {auth_url}\n\
             username = cinder\npassword = {PASSWORD}\nuser_domain_id = default\n\
             project_name = service\nproject_domain_id = default\n\
             [key_migrator]\nlisten = 127.0.0.1:0\n{own}"
        );
        self.write("cinder.conf", &text)
    }
}

/// The program with these arguments, away from what this machine has configured.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cinder-key-migrator"));
    command
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .env("HOME", "/nonexistent");
    command
}

/// `run` with this file.
pub(crate) fn run(config: &Path) -> Command {
    let mut command = program(&["run", "--config-file"]);
    command.arg(config);
    command
}

/// Runs to the end: exit code and standard error.
pub(crate) fn ended(mut command: Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().expect("the program starts");
    let code = status.code().expect("an exit code");
    (code, String::from_utf8(stderr).expect("text"))
}

/// A process that runs, killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said {
    lines: Mutex<(Vec<String>, bool)>,
    news: Condvar,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let spawned = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = spawned.expect("the program starts");
        let stderr = child.stderr.take().expect("a pipe");
        let said = Arc::new(Said::default());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lines.lock().expect("no panic").0.push(line);
                heard.news.notify_all();
            }
            heard.lines.lock().expect("no panic").1 = true;
            heard.news.notify_all();
        });
        Self { child, said }
    }

    /// Waits for the `count`th line that holds this text.
    pub(crate) fn hear_times(&self, text: &str, count: usize) -> String {
        let mut lines = self.said.lines.lock().expect("no panic");
        loop {
            let mut found = lines.0.iter().filter(|line| line.contains(text));
            if let Some(line) = found.nth(count - 1) {
                return line.clone();
            }
            let (seen, over) = (lines.0.len(), lines.1);
            let waited = self.said.news.wait_timeout_while(
                lines,
                if over { Duration::ZERO } else { PATIENCE },
                |(all, over)| !*over && all.len() == seen,
            );
            let (next, late) = waited.expect("no panic");
            if over || late.timed_out() {
                let all = next.0.clone();
                drop(next);
                panic!("«{text}» was not said: {all:#?}");
            }
            lines = next;
        }
    }

    pub(crate) fn hear(&self, text: &str) -> String {
        self.hear_times(text, 1)
    }

    /// Everything said so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.said.lines.lock().expect("no panic").0.clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process ID"), signal).expect("it still runs");
    }

    /// Waits for its end; everything it said is heard then.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.wait().expect("a child");
        let lines = self.said.lines.lock().expect("no panic");
        let all = self.said.news.wait_while(lines, |(_, over)| !*over);
        drop(all.expect("no panic"));
        status.code()
    }

    /// The address that it said it listens at.
    pub(crate) fn address(&self) -> String {
        let line = self.hear("HTTP at ");
        let (_, address) = line.split_once("HTTP at ").expect("an address");
        address.to_owned()
    }

    /// Status and body of a GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("a status"), body.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

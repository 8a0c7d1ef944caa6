//! Runs a program under `ptrace(2)` and kills it as it is about to make a chosen call.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Call;

/// How a traced run ended, with every call until then that others could see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was killed as it was about to make the last of these calls, which it did not.
    Killed(Vec<Call>),
    /// It made fewer calls than that, and ended by itself with this code.
    Ended(i32, Vec<Call>),
}

/// A program that waits for its tracer.
#[derive(Debug)]
pub struct Waiting {
    child: Child,
    log: PathBuf,
}

impl Waiting {
    /// Starts a program with nothing but a home in its environment. What it prints goes to `log`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        home: &Path,
        log: PathBuf,
    ) -> Result<Self> {
        let output = File::create(&log)?;
        // The shell waits until it is being traced, and becomes the program.
        let child = Command::new("/bin/sh")
            .args(["-c", r#"read go && exec "$0" "$@" </dev/null"#])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it run until it is about to make its `nth` visible call, counted from 1 over all its
    /// threads, and kills it there.
    ///
    /// This blocks its thread until then: the kernel ties a tracer to a thread.
    ///
    /// # Errors
    ///
    /// When it cannot be traced, or is ended by something else.
    pub fn run_until(mut self, nth: usize) -> Result<Outcome> {
        let leader = Pid::from_raw(self.child.id().try_into()?);
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(leader, options).context("tracing the program")?;
        let mut shell = self.child.stdin.take().context("the shell's input")?;
        shell.write_all(b"go\n")?;
        drop(shell);
        let tracer = Tracer {
            leader,
            log: &self.log,
            nth,
            calls: Vec::new(),
            killed: false,
        };
        tracer.run()
    }
}

struct Tracer<'a> {
    leader: Pid,
    log: &'a Path,
    nth: usize,
    calls: Vec<Call>,
    killed: bool,
}

impl Tracer<'_> {
    fn run(mut self) -> Result<Outcome> {
        let any = Pid::from_raw(-1);
        // Only what this thread traces: other threads of the test have children of their own.
        let mine = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let mut ended = None;
        loop {
            match waitpid(any, Some(mine)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.leader => ended = Some(Ok(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.leader => {
                    ended = Some(Err(signal));
                }
                Ok(WaitStatus::PtraceSyscall(thread)) => self.crossed(thread)?,
                Ok(WaitStatus::Stopped(thread, signal)) => go_on(thread, Some(signal))?,
                Ok(WaitStatus::PtraceEvent(thread, ..)) => go_on(thread, None)?,
                Ok(_) => {}
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(error) => return Err(error).context("waiting for the program"),
            }
        }
        match (ended, self.killed) {
            (Some(Err(Signal::SIGKILL)), true) => Ok(Outcome::Killed(self.calls)),
            (Some(Ok(code)), false) => Ok(Outcome::Ended(code, self.calls)),
            (ended, _) => bail!(
                "the program ended with {ended:?} after {} calls",
                self.calls.len()
            ),
        }
    }

    /// A thread has come to the entrance or the exit of a call.
    fn crossed(&mut self, thread: Pid) -> Result<()> {
        let enters = ptrace::syscall_info(thread)
            .is_ok_and(|info| info.op == nix::libc::PTRACE_SYSCALL_INFO_ENTRY);
        if enters && !self.killed {
            self.calls.extend(Call::at_entrance(thread, self.log));
            if self.calls.len() == self.nth {
                // A thread that is killed at the entrance does not go through.
                kill(self.leader, Signal::SIGKILL)?;
                self.killed = true;
                return Ok(());
            }
        }
        go_on(thread, None)
    }
}

/// Lets a thread run to its next stop; one that is being killed is not there any more.
fn go_on(thread: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("going on with the program"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A shell that writes two files, killed at its `nth` visible call.
    fn two_files(nth: usize) -> (Outcome, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let script = "cd; echo first >one; echo second >two; echo done";
        let log = folder.path().join("log");
        let shell = Waiting::start(
            Path::new("/bin/sh"),
            ["-c", script],
            folder.path(),
            log.clone(),
        );
        let outcome = shell.unwrap().run_until(nth).unwrap();
        (outcome, folder)
    }

    fn writes(names: &[&str]) -> Vec<Call> {
        let write = |about: &&str| Call {
            name: "write",
            about: (*about).to_owned(),
        };
        names.iter().map(write).collect()
    }

    #[test]
    fn a_call_that_is_killed_at_is_not_made_and_all_before_it_are() {
        let (outcome, folder) = two_files(2);
        assert_eq!(outcome, Outcome::Killed(writes(&["one", "two"])));
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("one").as_str(), read("two").as_str()),
            ("first\n", "")
        );
    }

    #[test]
    fn what_only_the_log_shows_does_not_count() {
        let (outcome, folder) = two_files(3);
        assert_eq!(outcome, Outcome::Ended(0, writes(&["one", "two"])));
        let log = fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "done\n");
    }
}

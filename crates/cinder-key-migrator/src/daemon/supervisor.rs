//! Everything that runs, and the end of it: a task that ends although it should not ends them all.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use key_migration::ids::Service;
use key_migration::service::{Ending, Mode};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::notify;
use super::reload::Reloader;
use crate::exit::Failure;
use crate::http::View;

/// For the keys in flight after the first signal; the process is gone within ten seconds.
const DRAIN_TIME: Duration = Duration::from_secs(8);
/// For the helpers after the last key.
const END_TIME: Duration = Duration::from_secs(1);

/// What tells the tasks to end: the loops first, what shows their end after them.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) drain: CancellationToken,
    pub(super) end: CancellationToken,
}

/// How a task ended.
enum Done {
    Migrator(Ending),
    Helper,
}

/// Runs all tasks.
pub(super) struct Supervisor {
    tasks: JoinSet<Done>,
    names: HashMap<Id, String>,
    migrators: usize,
    tokens: Tokens,
    signals: Signals,
    mode: Mode,
    overseen: Option<(Arc<View>, Reloader)>,
    /// When the keys in flight are given up on.
    give_up_at: Option<Instant>,
    endings: Vec<Ending>,
}

enum Step {
    Go,
    End(ExitCode),
}

impl Supervisor {
    /// Listens for signals from now on.
    pub(super) fn new(mode: Mode) -> std::io::Result<Self> {
        Ok(Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            migrators: 0,
            tokens: Tokens {
                drain: CancellationToken::new(),
                end: CancellationToken::new(),
            },
            signals: Signals::listen()?,
            mode,
            overseen: None,
            give_up_at: None,
            endings: Vec::new(),
        })
    }

    pub(super) fn tokens(&self) -> Tokens {
        self.tokens.clone()
    }

    /// Runs the loop of a service.
    pub(super) fn migrate(
        &mut self,
        service: Service,
        task: impl Future<Output = Ending> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async { Done::Migrator(task.await) });
        let name = format!("the loop of the {service} service");
        self.names.insert(handle.id(), name);
        self.migrators += 1;
    }

    /// Runs what serves the loops until they have ended.
    pub(super) fn help(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async {
            task.await;
            Done::Helper
        });
        self.names.insert(handle.id(), format!("the task '{name}'"));
    }

    /// Takes what signals need.
    pub(super) fn oversee(&mut self, view: Arc<View>, reloader: Reloader) {
        self.overseen = Some((view, reloader));
    }

    /// Runs until every loop has ended, a second signal comes, or something crashes.
    pub(super) async fn run(mut self) -> Result<ExitCode, Failure> {
        loop {
            let give_up_at = self.give_up_at;
            let step = tokio::select! {
                Some(joined) = self.tasks.join_next_with_id() => self.joined(joined)?,
                heard = self.signals.next() => self.heard(heard),
                () = expiry(give_up_at) => self.give_up(),
            };
            if let Step::End(code) = step {
                self.end().await;
                return Ok(code);
            }
        }
    }

    fn joined(&mut self, joined: Result<(Id, Done), JoinError>) -> Result<Step, Failure> {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or_default();
        match joined {
            Err(_) => Err(Failure::Crashed(format!("{name} crashed"))),
            Ok((_, Done::Helper)) => Err(Failure::Crashed(format!("{name} ended by itself"))),
            Ok((_, Done::Migrator(ending))) => {
                if self.mode == Mode::Daemon && self.give_up_at.is_none() {
                    return Err(Failure::Crashed(format!("{name} ended by itself")));
                }
                self.endings.push(ending);
                if self.endings.len() < self.migrators {
                    return Ok(Step::Go);
                }
                Ok(Step::End(self.exit_code()))
            }
        }
    }

    fn heard(&mut self, heard: Heard) -> Step {
        match heard {
            Heard::Reload if self.give_up_at.is_none() => {
                if let Some((_, reloader)) = &self.overseen {
                    reloader.reload();
                }
                Step::Go
            }
            Heard::Reload => Step::Go,
            Heard::Stop(name, _) if self.give_up_at.is_none() => {
                notify::stopping();
                tracing::info!("{name}: no further key is begun, those in flight are waited for");
                self.tokens.drain.cancel();
                self.give_up_at = Some(Instant::now() + DRAIN_TIME);
                Step::Go
            }
            Heard::Stop(name, number) => {
                tracing::warn!("{name} again: ending at once");
                self.log_in_flight();
                self.tasks.abort_all();
                Step::End(ExitCode::from(128 + number))
            }
        }
    }

    fn give_up(&mut self) -> Step {
        let seconds = DRAIN_TIME.as_secs();
        tracing::warn!("ending although something is under way after {seconds} s");
        self.log_in_flight();
        self.tasks.abort_all();
        Step::End(self.exit_code())
    }

    /// What the next start has to find out about.
    fn log_in_flight(&self) {
        let Some((view, _)) = &self.overseen else {
            return;
        };
        for progress in view.snapshot().services {
            let (service, keys) = (progress.service, progress.keys.in_flight);
            if keys > 0 {
                tracing::warn!(
                    "{keys} key(s) of the {service} service are left in flight; the next start \
                     takes them up by the names of their secrets"
                );
            }
        }
    }

    /// The worst of all services. A run that was stopped did not see the end of its rows.
    fn exit_code(&self) -> ExitCode {
        if self.mode == Mode::Daemon {
            return ExitCode::SUCCESS;
        }
        let unfinished = self.endings.len() < self.migrators;
        let codes = self.endings.iter().map(|ending| match ending {
            Ending::NothingLeft => 0,
            Ending::SomethingLeft | Ending::Stopped => 1,
            Ending::Failed => 2,
        });
        ExitCode::from(codes.chain([u8::from(unfinished)]).max().unwrap_or(0))
    }

    async fn end(mut self) {
        self.tokens.end.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What does not end in time is ended with the runtime.
        _ = timeout(END_TIME, all).await;
    }
}

async fn expiry(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The signals that mean something here.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

enum Heard {
    Reload,
    /// The signal's name and number.
    Stop(&'static str, u8),
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.interrupt.recv() => Heard::Stop("SIGINT", 2),
            _ = self.terminate.recv() => Heard::Stop("SIGTERM", 15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Mode = Mode::Once { limit: None };

    fn supervisor(mode: Mode, endings: &[Ending]) -> Supervisor {
        let mut supervisor = Supervisor::new(mode).expect("signals");
        for &ending in endings {
            supervisor.migrate(Service::Volume, async move { ending });
        }
        supervisor
    }

    async fn failure(supervisor: Supervisor) -> String {
        match supervisor.run().await {
            Err(Failure::Crashed(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_loop_of_a_daemon_that_ends_by_itself_fails_the_process() {
        for ending in [Ending::NothingLeft, Ending::Stopped, Ending::Failed] {
            let what = failure(supervisor(Mode::Daemon, &[ending])).await;
            assert_eq!(what, "the loop of the volume service ended by itself");
        }
    }

    #[tokio::test]
    async fn a_task_that_crashes_fails_the_process_although_others_run() {
        let mut supervisor = supervisor(ONCE, &[]);
        supervisor.migrate(Service::Backup, std::future::pending());
        supervisor.help("http", async { panic!("on purpose") });
        assert_eq!(failure(supervisor).await, "the task 'http' crashed");
    }

    #[tokio::test]
    async fn a_helper_that_ends_before_the_loops_fails_the_process() {
        let mut supervisor = supervisor(Mode::Daemon, &[]);
        supervisor.migrate(Service::Backup, std::future::pending());
        supervisor.help("notify", async {});
        assert_eq!(
            failure(supervisor).await,
            "the task 'notify' ended by itself"
        );
    }

    #[tokio::test]
    async fn once_exits_with_the_worst_of_its_services() {
        let nothing = Ending::NothingLeft;
        for (endings, code) in [
            ([nothing, nothing], 0),
            ([nothing, Ending::SomethingLeft], 1),
            ([Ending::Stopped, nothing], 1),
            ([Ending::Failed, Ending::SomethingLeft], 2),
        ] {
            let mut supervisor = supervisor(ONCE, &endings);
            let end = supervisor.tokens().end;
            supervisor.help("http", end.cancelled_owned());
            let ended = supervisor.run().await.expect("no crash");
            assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::from(code)));
        }
    }
}

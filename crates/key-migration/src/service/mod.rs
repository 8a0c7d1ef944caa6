//! The loop of one service: gates, pass, summary, a wait with its reason, and again.

mod aftercare;
mod cycle;
mod readers;
mod recollection;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::aftercare::Aftercare;
use self::readers::ReadersUpkeep;
use self::recollection::Known;
use crate::board::Board;
pub use crate::board::Heartbeat;
use crate::census::CensusKeeper;
use crate::concurrency::Concurrency;
use crate::gates::Gate;
use crate::ids::RowId;
use crate::intents::Intents;
use crate::pass::Interrupt;
use crate::peers::{self, PeerWatch};
use crate::ports::{CinderDatabase, Clock, Holds, KeyManager, Ledger};
use crate::progress::{ServiceProgress, StatedReason};
use crate::reasons::{Fault, Reason, ServiceState};
use crate::settings::Settings;
use crate::summary::Summary;
use crate::walk::Stumbles;

/// A blocked service tries one key this often, or at its interval if that is shorter.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// Walks of `--once` after which a row that none of them met is not waited for any more.
const MOST_PUT_OFF: u32 = 3;

/// The settings of a service and the adapters made from the same configuration.
pub struct Environment<M, D> {
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Barbican.
    pub keys: Arc<M>,
    /// Cinder's database.
    pub rows: Arc<D>,
    /// Rows that the operator holds at zeros.
    pub holds: Arc<dyn Holds>,
}

impl<M, D> Clone for Environment<M, D> {
    fn clone(&self) -> Self {
        Self {
            settings: Arc::clone(&self.settings),
            keys: Arc::clone(&self.keys),
            rows: Arc::clone(&self.rows),
            holds: Arc::clone(&self.holds),
        }
    }
}

/// How long a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to stop.
    Daemon,
    /// Until one full pass is over, and every POST of it has a known outcome.
    Once {
        /// At most this many keys.
        limit: Option<u64>,
    },
}

/// How a service's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It was told to stop.
    Stopped,
    /// One pass is over, and nothing is left at zeros on this host.
    NothingLeft,
    /// One pass is over, and something is left at zeros on this host.
    SomethingLeft,
    /// Something hits every key, or each key failed.
    Failed,
}

/// What a service is connected to.
pub struct Wiring<M, D, C, L> {
    /// Wall-clock time.
    pub clock: C,
    /// Randomness: where a walk begins.
    pub entropy: fn() -> Uuid,
    /// The record of intents and outcomes, shared by all services of the process.
    pub ledger: Arc<L>,
    /// Settings and adapters; a new value ends the pass under way and is used at once.
    pub environment: watch::Receiver<Environment<M, D>>,
    /// The global count, shared by all services of the process.
    pub census: Arc<CensusKeeper<C>>,
    /// Where progress is shown.
    pub progress: watch::Sender<ServiceProgress>,
    /// Shows that the loop is alive.
    pub heartbeat: Arc<Heartbeat>,
    /// Once cancelled, no further key is begun, and the run ends with what is in flight.
    pub stop: CancellationToken,
    /// How long to run.
    pub mode: Mode,
}

/// Migrates the keys of one service of this host.
pub struct KeyMigrator<M, D, C, L> {
    control: Control<M, D>,
    heartbeat: Arc<Heartbeat>,
    board: Board<C>,
    mode: Mode,
    ledger: Arc<L>,
    entropy: fn() -> Uuid,
    /// Where walks begin: several daemons may own the same rows.
    begin_after: RowId,
    intents: Intents,
    known: Known,
    concurrency: Concurrency,
    peers: PeerWatch,
    aftercare: Aftercare,
    readers: ReadersUpkeep,
    stumbles: Stumbles,
    gate: Option<Gate>,
    key_need_said: bool,
    blocked: Option<Fault>,
    summary: Summary<C>,
    passes: u64,
    /// Ends of `--once` put off for a row that is to be looked up and was not met.
    put_off: u32,
}

struct Control<M, D> {
    environment: watch::Receiver<Environment<M, D>>,
    stop: CancellationToken,
}

/// What one cycle found, and so what is shown until the next.
enum Finding {
    Disabled(Gate),
    Paused,
    Interrupted,
    Blocked(Fault),
    Walked { remaining: u64 },
}

impl<M: KeyManager, D: CinderDatabase, C: Clock, L: Ledger> KeyMigrator<M, D, C, L> {
    /// Connects it. Nothing is read or sent before [`KeyMigrator::run`].
    pub fn new(wiring: Wiring<M, D, C, L>) -> Self {
        Self {
            control: Control {
                environment: wiring.environment,
                stop: wiring.stop,
            },
            board: Board::new(wiring.clock, wiring.progress),
            summary: Summary::new(wiring.census),
            heartbeat: wiring.heartbeat,
            mode: wiring.mode,
            ledger: wiring.ledger,
            begin_after: RowId::from((wiring.entropy)().to_string()),
            entropy: wiring.entropy,
            intents: Intents::default(),
            known: Known::default(),
            concurrency: Concurrency::new(1),
            peers: PeerWatch::default(),
            aftercare: Aftercare::default(),
            readers: ReadersUpkeep::default(),
            stumbles: Stumbles::default(),
            gate: None,
            key_need_said: false,
            blocked: None,
            passes: 0,
            put_off: 0,
        }
    }

    /// Runs until the mode is fulfilled or it is told to stop. Nothing that fails outside ends it.
    pub async fn run(mut self) -> Ending {
        let ending = self.cycles().await;
        // What cannot be recorded now is found again by name.
        let _ = self.ledger.flush().await;
        ending
    }

    async fn cycles(&mut self) -> Ending {
        loop {
            if matches!(self.control.environment.has_changed(), Ok(true)) {
                self.aftercare.recheck_soon();
            }
            let environment = self.control.environment.borrow_and_update().clone();
            let heartbeat = Arc::clone(&self.heartbeat);
            let finding = beating(&heartbeat, self.cycle(&environment)).await;
            self.show(&environment.settings, &finding);
            if self.control.stop.is_cancelled() {
                return Ending::Stopped;
            }
            if let Mode::Once { .. } = self.mode
                && let Some(ending) = self.ending(&environment, &finding).await
            {
                return ending;
            }
            if !matches!(finding, Finding::Interrupted) {
                let wait = self.wait_after(&environment.settings, &finding);
                self.wait(wait).await;
            }
            if self.control.stop.is_cancelled() {
                return Ending::Stopped;
            }
        }
    }

    fn show(&mut self, settings: &Settings, finding: &Finding) {
        match finding {
            Finding::Disabled(gate) => {
                let reason = gate.is_configured().then(|| StatedReason {
                    code: Reason::Configuration,
                    message: gate.message(),
                });
                self.board.state(
                    ServiceState::Disabled,
                    reason,
                    gate.remedy().map(Into::into),
                );
            }
            Finding::Paused => self.board.state(ServiceState::Paused, None, None),
            Finding::Interrupted => {}
            Finding::Blocked(fault) => {
                let quiet = self.peers.quiet_in(Instant::now());
                let wait = quiet.unwrap_or_else(|| self.wait_after(settings, finding));
                self.board.blocked(fault, wait);
                self.blocked = Some(fault.clone());
            }
            Finding::Walked { remaining } => {
                self.blocked = None;
                self.board
                    .state(self.state_with(settings, *remaining), None, None);
            }
        }
    }

    fn state_with(&self, settings: &Settings, remaining: u64) -> ServiceState {
        if remaining > 0 {
            return ServiceState::Migrating;
        }
        if self.summary.is_clear_twice(settings.interval) && self.intents.is_at_rest() {
            ServiceState::Complete
        } else {
            ServiceState::Idle
        }
    }

    fn wait_after(&self, settings: &Settings, finding: &Finding) -> Duration {
        match finding {
            Finding::Blocked(fault) if fault.reason == Reason::PeerAtWork => {
                return peers::LOOK_EVERY;
            }
            Finding::Blocked(_) => return settings.interval.min(PROBE_INTERVAL),
            _ => {}
        }
        let wait = settings.interval;
        let look = self
            .intents
            .next_look(Instant::now())
            .map(|at| at.saturating_duration_since(Instant::now()));
        look.map_or(wait, |look| wait.min(look.max(Duration::from_millis(10))))
    }

    async fn wait(&mut self, wait: Duration) {
        let over = Instant::now() + wait;
        while Instant::now() < over {
            self.heartbeat.beat();
            tokio::select! {
                () = self.control.interrupted() => return,
                () = tokio::time::sleep_until(over.min(Instant::now() + Heartbeat::EVERY)) => {}
            }
        }
    }

    /// What `--once` comes to, or `None` where it has to go on.
    async fn ending(
        &mut self,
        environment: &Environment<M, D>,
        finding: &Finding,
    ) -> Option<Ending> {
        let failed = self.board.tally().failed;
        let given_up = self.board.tally().given_up > 0;
        let looks = self.looks_are_to_come();
        match finding {
            // A POST whose outcome is not known is looked up first, if that is still to come.
            Finding::Blocked(_) if self.intents.next_look(Instant::now()).is_some() => None,
            Finding::Blocked(fault) if fault.reason == Reason::PeerAtWork => None,
            Finding::Blocked(_) => Some(Ending::Failed),
            Finding::Interrupted => None,
            Finding::Walked { .. } | Finding::Disabled(Gate::NoRows(_)) if looks => None,
            Finding::Walked { remaining: 0 } => Some(Ending::NothingLeft),
            // What was waited for in vain is stored in the next walk.
            Finding::Walked { .. } if given_up => None,
            Finding::Walked { .. } if failed > 0 && self.board.migrated_so_far() == 0 => {
                Some(Ending::Failed)
            }
            Finding::Walked { .. } => Some(Ending::SomethingLeft),
            Finding::Disabled(_) | Finding::Paused => Some(self.left_behind(environment).await),
        }
    }

    /// Whether a walk is still going to look up what was not answered. A row that left this host
    /// meanwhile is not met by any.
    fn looks_are_to_come(&mut self) -> bool {
        if !self.intents.any_parked() || self.intents.next_look(Instant::now()).is_some() {
            self.put_off = 0;
            return self.intents.any_parked();
        }
        self.put_off += 1;
        self.put_off <= MOST_PUT_OFF
    }

    async fn left_behind(&self, environment: &Environment<M, D>) -> Ending {
        let Some(scope) = &environment.settings.scope else {
            return Ending::NothingLeft;
        };
        match environment.rows.count_zero_rows(scope).await {
            Ok(0) => Ending::NothingLeft,
            Ok(_) => Ending::SomethingLeft,
            Err(_) => Ending::Failed,
        }
    }
}

impl<M, D> Clone for Control<M, D> {
    fn clone(&self) -> Self {
        Self {
            environment: self.environment.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<M: Send + Sync, D: Send + Sync> Interrupt for Control<M, D> {
    async fn interrupted(&mut self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            // A sender that is gone gives no new settings any more.
            Ok(()) = self.environment.changed() => self.environment.mark_changed(),
            else => std::future::pending().await,
        }
    }
}

/// Shows a beating heart during a cycle, however long one request of it takes.
async fn beating<T>(heartbeat: &Heartbeat, step: impl Future<Output = T>) -> T {
    tokio::pin!(step);
    loop {
        heartbeat.beat();
        tokio::select! {
            done = &mut step => return done,
            () = tokio::time::sleep(Heartbeat::EVERY) => {}
        }
    }
}

//! The loop of one service: gates, pass, summary, a wait with its reason, and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::board::Board;
pub use crate::board::Heartbeat;
use crate::census::CensusKeeper;
use crate::fixed_key::FixedKey;
use crate::gates::Gate;
use crate::ids::{RequestId, Service};
use crate::intents::Intents;
use crate::inventory::{self, database_fault};
use crate::messages;
use crate::pass::{Interrupt, Pass, PassEnd};
use crate::ports::{CinderDatabase, Clock, DatabaseError, KeyManager};
use crate::progress::{Counted, ServiceProgress, StatedReason};
use crate::reasons::{Fault, Reason, RowReason, ServiceState};
use crate::rows::Scope;
use crate::settings::Settings;
use crate::settle::{Settled, settle};
use crate::summary::Summary;

/// A blocked service tries one key this often, or at its interval if that is shorter.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// The settings of a service and the adapters made from the same configuration.
pub struct Environment<M, D> {
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Barbican.
    pub keys: Arc<M>,
    /// Cinder's database.
    pub rows: Arc<D>,
}

impl<M, D> Clone for Environment<M, D> {
    fn clone(&self) -> Self {
        Self {
            settings: Arc::clone(&self.settings),
            keys: Arc::clone(&self.keys),
            rows: Arc::clone(&self.rows),
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
pub struct Wiring<M, D, C> {
    /// Wall-clock time.
    pub clock: C,
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
pub struct KeyMigrator<M, D, C> {
    control: Control<M, D>,
    heartbeat: Arc<Heartbeat>,
    board: Board<C>,
    mode: Mode,
    intents: Intents,
    listed_for: Option<Arc<FixedKey>>,
    gate: Option<Gate>,
    key_need_said: bool,
    blocked: Option<Fault>,
    summary: Summary<C>,
    passes: u64,
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

impl<M: KeyManager, D: CinderDatabase, C: Clock> KeyMigrator<M, D, C> {
    /// Connects it. Nothing is read or sent before [`KeyMigrator::run`].
    pub fn new(wiring: Wiring<M, D, C>) -> Self {
        Self {
            control: Control {
                environment: wiring.environment,
                stop: wiring.stop,
            },
            board: Board::new(wiring.clock, wiring.progress),
            summary: Summary::new(wiring.census),
            heartbeat: wiring.heartbeat,
            mode: wiring.mode,
            intents: Intents::default(),
            listed_for: None,
            gate: None,
            key_need_said: false,
            blocked: None,
            passes: 0,
        }
    }

    /// Runs until the mode is fulfilled or it is told to stop. Nothing that fails outside ends it.
    pub async fn run(mut self) -> Ending {
        loop {
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

    async fn cycle(&mut self, environment: &Environment<M, D>) -> Finding {
        let settings = &environment.settings;
        if let Some(gate) = Gate::closed_by(settings) {
            return self.closed(environment, gate).await;
        }
        if settings.paused {
            return Finding::Paused;
        }
        let (Some(scope), Some(fixed_key)) = (&settings.scope, &settings.fixed_key) else {
            return self.closed(environment, Gate::NoBackends).await;
        };
        match self.work(environment, scope, fixed_key).await {
            Ok(finding) => finding,
            Err(fault) => {
                self.say_blocked(settings.service, &fault);
                self.board.count_fault(&fault);
                Finding::Blocked(fault)
            }
        }
    }

    /// A gate is closed: it is said on the first pass and on change.
    async fn closed(&mut self, environment: &Environment<M, D>, gate: Gate) -> Finding {
        let is_news = self.gate.as_ref() != Some(&gate);
        if is_news {
            gate.log();
            self.key_need_said = false;
        }
        if gate == Gate::NoFixedKey && !self.key_need_said {
            self.complain_if_key_is_needed(environment).await;
        }
        if gate.has_summary() {
            // What keeps the count from being made is said by the passes of an open gate.
            let _ = self.summarise(environment, None).await;
        }
        if !gate.is_configured() {
            self.say_going_on(environment.settings.service);
        }
        self.blocked = None;
        self.gate = Some(gate.clone());
        Finding::Disabled(gate)
    }

    async fn summarise(
        &mut self,
        environment: &Environment<M, D>,
        changed: Option<Instant>,
    ) -> Result<(), DatabaseError> {
        self.summary
            .make(&*environment.rows, &environment.settings, changed)
            .await
    }

    async fn complain_if_key_is_needed(&mut self, environment: &Environment<M, D>) {
        let counted = self
            .summary
            .count(&*environment.rows, &environment.settings, None)
            .await;
        if let Ok(Counted { census, .. }) = counted
            && !census.is_clear()
        {
            messages::fixed_key_needed(&census);
            self.key_need_said = true;
        }
    }

    async fn work(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        fixed_key: &Arc<FixedKey>,
    ) -> Result<Finding, Fault> {
        if self.blocked.is_none() {
            self.settle(environment).await?;
        }
        if !environment
            .rows
            .any_row(scope)
            .await
            .map_err(database_fault)?
        {
            self.board.remaining(0);
            return Ok(self
                .closed(environment, Gate::NoRows(environment.settings.service))
                .await);
        }
        self.gate = None;
        let first = environment.rows.zero_rows(scope, None, 1).await;
        self.passes += 1;
        if first.map_err(database_fault)?.is_empty() {
            self.board.remaining(0);
            return self.nothing_left(environment).await;
        }
        let limit = environment.settings.max_concurrency;
        self.board.pass_begins(scope.names(), limit);
        if self.blocked.is_none() {
            messages::starting();
            self.board.state(ServiceState::Migrating, None, None);
        }
        let before = Instant::now();
        let end = self.pass(environment, scope, fixed_key).await;
        self.board.pass_ends(self.intents.superseded());
        self.after_pass(environment, scope, end, before).await
    }

    /// Accounts for what is open for rows that the walk does not meet any more.
    async fn settle(&mut self, environment: &Environment<M, D>) -> Result<(), Fault> {
        let kind = environment.settings.service.kind();
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let settling = settle(keys, rows, kind, &mut self.intents);
        for settled in settling.await? {
            match settled {
                Settled::Migrated => self.board.migrated(),
                Settled::Lost(row, unused) => {
                    self.board.count_failure(RowReason::Raced);
                    for secret in unused {
                        messages::lost(&row, Some(secret));
                    }
                }
            }
        }
        self.board.orphan_secrets(self.intents.superseded());
        Ok(())
    }

    async fn nothing_left(&mut self, environment: &Environment<M, D>) -> Result<Finding, Fault> {
        if self.passes == 1 {
            messages::starting();
        }
        let owned = environment
            .settings
            .scope
            .as_ref()
            .map(Scope::names)
            .unwrap_or_default();
        self.board
            .pass_begins(owned, environment.settings.max_concurrency);
        self.board.pass_ends(self.intents.superseded());
        self.summarise(environment, None)
            .await
            .map_err(database_fault)?;
        self.say_going_on(environment.settings.service);
        Ok(Finding::Walked { remaining: 0 })
    }

    /// Lists what earlier runs stored, then walks. A listing that is refused for lack of a role
    /// does not keep one key from being tried: its refusal says the same to the operator.
    async fn pass(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        fixed_key: &Arc<FixedKey>,
    ) -> PassEnd {
        let mut unlisted = None;
        loop {
            let stop = self.control.stop.clone();
            let count = environment.rows.count_zero_rows(scope);
            let listed = async { tokio::join!(self.list(environment, fixed_key), count) };
            let (listed, counted) = tokio::select! {
                done = listed => done,
                () = stop.cancelled() => return PassEnd::Interrupted,
            };
            match counted {
                Ok(remaining) => self.board.remaining(remaining),
                Err(error) => return self.faulted(environment, database_fault(error)),
            }
            match listed {
                Ok(()) => unlisted = None,
                Err(fault) if fault.reason == Reason::RoleMissing && unlisted.is_none() => {
                    unlisted = Some(fault);
                }
                Err(fault) => return self.faulted(environment, fault),
            }
            let most = match self.mode {
                Mode::Once { limit } => {
                    limit.map(|limit| limit.saturating_sub(self.board.migrated_so_far()))
                }
                Mode::Daemon => None,
            };
            let pass = Pass {
                environment,
                scope,
                fixed_key: Arc::clone(fixed_key),
                intents: &mut self.intents,
                board: &mut self.board,
                census: self.summary.census(),
                interrupt: &mut self.control,
                most,
                probing: &mut self.blocked,
                unlisted: unlisted.clone(),
            };
            match (pass.run().await, &unlisted) {
                (PassEnd::ListAgain, _) => {}
                (PassEnd::Walked, Some(refused)) => {
                    return self.faulted(environment, refused.clone());
                }
                (end, _) => return end,
            }
        }
    }

    fn faulted(&self, environment: &Environment<M, D>, fault: Fault) -> PassEnd {
        self.say_blocked(environment.settings.service, &fault);
        self.board.count_fault(&fault);
        PassEnd::Faulted(fault)
    }

    async fn list(
        &mut self,
        environment: &Environment<M, D>,
        fixed_key: &Arc<FixedKey>,
    ) -> Result<(), Fault> {
        if let Some((row, secret)) = self.intents.mismatch() {
            inventory::compare(&*environment.keys, fixed_key, &row, secret).await?;
            self.intents.clear_mismatch();
        }
        if self
            .listed_for
            .as_ref()
            .is_some_and(|listed| Arc::ptr_eq(listed, fixed_key))
        {
            return match self.blocked {
                Some(_) => environment.keys.probe(RequestId::random()).await,
                None => Ok(()),
            };
        }
        let kind = environment.settings.service.kind();
        let (keys, rows) = (&*environment.keys, &*environment.rows);
        let listing = inventory::take(keys, rows, fixed_key, kind, &mut self.intents);
        listing.await?;
        self.listed_for = Some(Arc::clone(fixed_key));
        Ok(())
    }

    async fn after_pass(
        &mut self,
        environment: &Environment<M, D>,
        scope: &Scope,
        end: PassEnd,
        before: Instant,
    ) -> Result<Finding, Fault> {
        let tally = self.board.tally();
        let changed = if tally.migrated > 0 {
            Some(Instant::now())
        } else {
            let remaining = self.board.remaining_here();
            self.summary
                .misses(environment.settings.service, remaining)
                .then_some(before)
        };
        match end {
            PassEnd::Faulted(fault) => {
                // Where the database is what fails, the fault says so already.
                let _ = self.summarise(environment, changed).await;
                Ok(Finding::Blocked(fault))
            }
            PassEnd::Interrupted | PassEnd::ListAgain => Ok(Finding::Interrupted),
            PassEnd::Walked => {
                let count = environment.rows.count_zero_rows(scope).await;
                let remaining = count.map_err(database_fault)?;
                self.board.remaining(remaining);
                self.summarise(environment, changed)
                    .await
                    .map_err(database_fault)?;
                self.say_going_on(environment.settings.service);
                Ok(Finding::Walked { remaining })
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
                self.board
                    .blocked(fault, self.wait_after(settings, finding));
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
        if self.summary.is_clear_twice(settings.interval) && !self.intents.any_parked() {
            ServiceState::Complete
        } else {
            ServiceState::Idle
        }
    }

    fn wait_after(&self, settings: &Settings, finding: &Finding) -> Duration {
        if let Finding::Blocked(_) = finding {
            return settings.interval.min(PROBE_INTERVAL);
        }
        let wait = settings.interval;
        let look = self
            .intents
            .next_look()
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
    async fn ending(&self, environment: &Environment<M, D>, finding: &Finding) -> Option<Ending> {
        let failed = self.board.tally().failed;
        match finding {
            Finding::Blocked(_) => Some(Ending::Failed),
            Finding::Interrupted => None,
            Finding::Walked { .. } | Finding::Disabled(Gate::NoRows(_))
                if self.intents.any_parked() =>
            {
                None
            }
            Finding::Walked { remaining: 0 } => Some(Ending::NothingLeft),
            Finding::Walked { .. } if failed > 0 && self.board.migrated_so_far() == 0 => {
                Some(Ending::Failed)
            }
            Finding::Walked { .. } => Some(Ending::SomethingLeft),
            Finding::Disabled(_) | Finding::Paused => Some(self.left_behind(environment).await),
        }
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

    fn say_blocked(&self, service: Service, fault: &Fault) {
        let known = self
            .blocked
            .as_ref()
            .map(|known| (known.reason, &known.remedy));
        if known != Some((fault.reason, &fault.remedy)) {
            messages::blocked(service, fault);
            messages::remedy(&fault.remedy);
        }
    }

    fn say_going_on(&mut self, service: Service) {
        if let Some(gone) = self.blocked.take() {
            messages::going_on(service, gone.reason);
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

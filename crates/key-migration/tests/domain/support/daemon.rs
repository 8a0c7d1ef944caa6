//! One service's loop, run against the cloud.

use std::sync::Arc;
use std::time::Duration;

use key_migration::census::CensusKeeper;
use key_migration::fixed_key::FixedKey;
use key_migration::ids::Service;
use key_migration::ports::Clock;
use key_migration::progress::ServiceProgress;
use key_migration::reasons::{Reason, ServiceState};
use key_migration::rows::{Backend, Scope};
use key_migration::service::{Ending, Environment, Heartbeat, KeyMigrator, Mode, Wiring};
use key_migration::settings::{KeyManagerBackend, Settings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::barbican::Barbican;
use super::cinder::Cinder;
use super::cloud::Cloud;
use super::ledger::MemoryLedger;
use super::world::KEY;

/// The settings of a host that has everything it needs.
pub(crate) fn settings(service: Service) -> Settings {
    let scope = match service {
        Service::Volume => Scope::Volumes(vec![Backend {
            host: "host1@lvm".into(),
            cluster: None,
        }]),
        Service::Backup => Scope::Backups(vec!["host1".into()]),
    };
    Settings {
        service,
        backend: KeyManagerBackend::Barbican,
        fixed_key: Some(Arc::new(fixed_key())),
        scope: Some(scope),
        interval: Duration::from_secs(60),
        summary_interval: Duration::from_secs(3600),
        max_concurrency: 32,
        unknown_outcome_wait: Duration::from_secs(120),
        max_rate: None,
        paused: false,
        extra_acl_users: Vec::new(),
        service_down_time: Duration::from_secs(60),
    }
}

fn fixed_key() -> FixedKey {
    FixedKey::from_hex(&hex::encode(KEY)).expect("hexadecimal digits")
}

/// A daemon with one service.
pub(crate) struct Daemon {
    cloud: Cloud,
    environment: watch::Sender<Environment<Barbican, Cinder>>,
    progress: watch::Receiver<ServiceProgress>,
    heartbeat: Arc<Heartbeat>,
    stop: CancellationToken,
    task: JoinHandle<Ending>,
}

impl Daemon {
    pub(crate) fn start(cloud: &Cloud, settings: Settings) -> Self {
        Self::start_in(Mode::Daemon, cloud, settings, Uuid::nil)
    }

    /// A daemon of another host: with a ledger of its own, and beginning where its lot falls.
    pub(crate) fn start_elsewhere(cloud: &Cloud, settings: Settings) -> Self {
        let clock = TestClock(cloud.world().born);
        cloud.world().ledger = MemoryLedger::new(clock);
        let lot = || Uuid::from_u128(fastrand::u128(..));
        Self::start_in(Mode::Daemon, cloud, settings, lot)
    }

    fn start_in(mode: Mode, cloud: &Cloud, settings: Settings, entropy: fn() -> Uuid) -> Self {
        let clock = TestClock(cloud.world().born);
        let ledger = cloud.world().ledger.clone();
        let service = settings.service;
        let (environment, receiver) = watch::channel(environment(cloud, settings));
        let starting = ServiceProgress::starting(service, Vec::new(), clock.now());
        let (sender, progress) = watch::channel(starting);
        let heartbeat = Arc::new(Heartbeat::new());
        let stop = CancellationToken::new();
        let migrator = KeyMigrator::new(Wiring {
            clock,
            entropy,
            ledger: Arc::new(ledger),
            environment: receiver,
            census: Arc::new(CensusKeeper::new(clock)),
            progress: sender,
            heartbeat: Arc::clone(&heartbeat),
            stop: stop.clone(),
            mode,
        });
        Self {
            cloud: cloud.clone(),
            environment,
            progress,
            heartbeat,
            stop,
            task: tokio::spawn(migrator.run()),
        }
    }

    /// Lets this much time pass.
    pub(crate) async fn works_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.cloud.assert_sound();
        assert!(!self.task.is_finished(), "the loop has ended");
    }

    /// Lets this much time pass, and tells how long the heart stood still at most.
    pub(crate) async fn longest_pause_in(&self, time: Duration) -> Duration {
        let end = Instant::now() + time;
        let mut longest = Duration::ZERO;
        while Instant::now() < end {
            self.works_for(Duration::from_millis(500)).await;
            longest = longest.max(self.heartbeat.age());
        }
        longest
    }

    /// The operator changes the configuration and sends SIGHUP.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Settings)) {
        self.environment.send_modify(|environment| {
            let mut settings = Settings::clone(&environment.settings);
            change(&mut settings);
            environment.settings = Arc::new(settings);
        });
    }

    pub(crate) fn progress(&self) -> ServiceProgress {
        self.progress.borrow().clone()
    }

    pub(crate) fn state(&self) -> ServiceState {
        self.progress().state
    }

    /// Why it is blocked or disabled.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.progress().reason.map(|reason| reason.code)
    }

    /// SIGTERM, and what is in flight is waited for.
    pub(crate) async fn stop(self) -> Ending {
        self.stop.cancel();
        let ending = self.task.await.expect("the loop does not panic");
        self.cloud.assert_sound();
        ending
    }

    /// SIGKILL.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let ended = self.task.await;
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "the loop had ended before"
        );
        self.cloud.world().ledger.kill();
        self.cloud.assert_sound();
    }
}

/// `run --once`
pub(crate) async fn once(cloud: &Cloud, settings: Settings, limit: Option<u64>) -> Ending {
    let daemon = Daemon::start_in(Mode::Once { limit }, cloud, settings, Uuid::nil);
    let ending = daemon.task.await.expect("the loop does not panic");
    cloud.assert_sound();
    ending
}

fn environment(cloud: &Cloud, settings: Settings) -> Environment<Barbican, Cinder> {
    let mut world = cloud.world();
    world.daemons += 1;
    world.looked.clear();
    world.unanswered.clear();
    world.listed.clear();
    let daemon = world.daemons;
    drop(world);
    Environment {
        settings: Arc::new(settings),
        keys: Arc::new(Barbican {
            cloud: cloud.clone(),
            daemon,
        }),
        rows: Arc::new(Cinder(cloud.clone())),
        holds: Arc::new(cloud.clone()),
    }
}

/// A wall clock that goes as tokio's paused time does.
#[derive(Clone, Copy)]
pub(crate) struct TestClock(pub(crate) Instant);

impl Clock for TestClock {
    fn now(&self) -> jiff::Timestamp {
        let start: jiff::Timestamp = "2026-11-23T08:00:00Z".parse().expect("a timestamp");
        let elapsed = jiff::SignedDuration::try_from(self.0.elapsed()).expect("a short story");
        start + elapsed
    }
}

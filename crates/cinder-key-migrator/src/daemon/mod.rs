//! The life of the process: what runs in it, what ends it, and what a signal does.

mod environment;
mod evidence;
mod keys;
mod notify;
mod readiness;
mod reload;
mod supervisor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use key_migration::census::CensusKeeper;
use key_migration::ports::Clock as _;
use key_migration::progress::ServiceProgress;
use key_migration::rows::Scope;
use key_migration::service::{Heartbeat, KeyMigrator, Mode, Wiring};
use migration_ledger::MigrationLedger;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::environment::{Plan, ServiceEnvironment};
use self::reload::Reloader;
use self::supervisor::{Supervisor, Tokens};
use crate::cli::Run;
use crate::clock::{SecondsClock, SystemClock};
use crate::exit::Failure;
use crate::http::{self, Known, Listener, Loop, Metrics, RequestDurations, View};
use crate::logging::Logging;
use crate::settings::{Configuration, Faults, Listen};

/// Name look-ups and files.
const MOST_BLOCKING: usize = 4;
/// For what is left when all tasks have ended, such as a name look-up.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs until stopped, or with `--once` until every service is through.
pub(crate) fn run(
    run: Run,
    configuration: Configuration,
    logging: Logging,
) -> Result<ExitCode, Failure> {
    // One thread for all but HTTP: the work is waiting for others, and what is done happens in one
    // order.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(MOST_BLOCKING)
        .enable_all()
        .build()
        .map_err(|error| Failure::Crashed(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let supervisor = start(run, configuration, logging).await?;
        supervisor.run().await
    });
    if let Err(Failure::Crashed(what)) = &ended {
        tracing::error!("{what}");
    }
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}

async fn start(
    run: Run,
    configuration: Configuration,
    logging: Logging,
) -> Result<Supervisor, Failure> {
    let mode = if run.once {
        Mode::Once { limit: run.limit }
    } else {
        Mode::Daemon
    };
    // Signals that come from now on are heard.
    let mut supervisor = Supervisor::new(mode)?;
    let requests = RequestDurations::new();
    let plan = Plan::new(configuration, &requests)?;
    plan.log_what_was_read();
    let listener = bind(&plan.listen, mode).await?;
    say_hello(&plan, listener.as_ref());

    let (host, shown_host) = watch::channel(plan.host.clone());
    let (reached, database_reached) = watch::channel(false);
    let census = Arc::new(CensusKeeper::new(SecondsClock));
    let ledger = Arc::new(MigrationLedger::new(&plan.state_dir, SystemClock));
    let mut environments = Vec::new();
    let mut loops = Vec::new();
    for environment in &plan.services {
        let (sender, receiver) = watch::channel(environment.clone());
        let parts = (receiver, Arc::clone(&census), Arc::clone(&ledger));
        loops.push(start_loop(&mut supervisor, environment, parts, mode));
        environments.push((environment.settings.service, sender));
    }
    let (known, evidence) = watch::channel(Known::default());
    let view = Arc::new(View {
        started_at: SecondsClock.now(),
        host: shown_host,
        loops,
        counted: census.subscribe(),
        evidence,
        database_reached,
    });
    let any = environments[0].1.subscribe();
    let Tokens { end, .. } = supervisor.tokens();
    supervisor.help("readiness", readiness::watch(any, reached, end.clone()));
    let (state_dir, counted) = (plan.state_dir.clone(), census.subscribe());
    let watching = evidence::watch(state_dir, counted, known, end.clone());
    supervisor.help("evidence", watching);
    if let Some(listener) = listener {
        let metrics = Arc::new(Metrics::new(Arc::clone(&view), &requests));
        let router = http::router(Arc::clone(&view), metrics);
        supervisor.help("http", http::serve(listener, router, end.clone())?);
    }
    supervisor.help("notify", notify::tell(Arc::clone(&view), end));
    notify::ready();
    let reloader = Reloader {
        origin: run.origin,
        requests,
        logging,
        listen: plan.listen,
        state_dir: plan.state_dir,
        environments,
        host,
    };
    supervisor.oversee(view, reloader);
    Ok(supervisor)
}

/// A run with `--once` beside a daemon goes without HTTP.
async fn bind(listen: &Listen, mode: Mode) -> Result<Option<Listener>, Failure> {
    match (Listener::bind(listen).await, mode) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), Mode::Once { .. }) => {
            tracing::warn!("{error}; this run goes on without");
            Ok(None)
        }
        (Err(error), Mode::Daemon) => Err(error.into()),
    }
}

fn start_loop(
    supervisor: &mut Supervisor,
    environment: &ServiceEnvironment,
    (receiver, census, ledger): (
        watch::Receiver<ServiceEnvironment>,
        Arc<CensusKeeper<SecondsClock>>,
        Arc<MigrationLedger<SystemClock>>,
    ),
    mode: Mode,
) -> Loop {
    let settings = &environment.settings;
    let service = settings.service;
    let owned = settings
        .scope
        .as_ref()
        .map(Scope::names)
        .unwrap_or_default();
    let starting = ServiceProgress::starting(service, owned, SecondsClock.now());
    let (progress, shown) = watch::channel(starting);
    let heartbeat = Arc::new(Heartbeat::new());
    let migrator = KeyMigrator::new(Wiring {
        clock: SecondsClock,
        entropy: Uuid::new_v4,
        ledger,
        environment: receiver,
        census,
        progress: progress.clone(),
        heartbeat: Arc::clone(&heartbeat),
        stop: supervisor.tokens().drain,
        mode,
    });
    let seen = Loop {
        service,
        progress: shown,
        heartbeat,
        through: CancellationToken::new(),
    };
    supervisor.migrate(service, seen.watch(progress, migrator.run()));
    seen
}

fn say_hello(plan: &Plan, listener: Option<&Listener>) {
    let services = plan.asked_for.iter();
    let services: Vec<_> = services.map(|service| service.as_str()).collect();
    let address = listener.map_or_else(|| "nowhere".to_owned(), Listener::address);
    tracing::info!(
        "{} {} for services {} of {}, HTTP at {address}",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        services.join(", "),
        plan.host,
    );
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Crashed(format!("cannot start: {error}"))
    }
}

/// Logs each fault on a line of its own.
fn log_faults(faults: &Faults) {
    for line in faults.lines() {
        tracing::error!("{line}");
    }
}

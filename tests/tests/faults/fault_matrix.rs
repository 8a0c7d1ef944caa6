//! Each request of a key's life goes wrong in each way, once and again and again: every row must
//! end with a secret of its own, and no secret without a row.
//!
//! The database's cells that answer too late take what the program waits for a transaction, half a
//! minute each time; they begin first and wait beside the others.

use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt as _, stream};
use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Handle, Request, Rule};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Clean, Cloud, Program, RealCloud, RoleWorld, Services,
    Snapshot, User, Volume, clean::Findings,
};
use serde_json::Value;

const REQUESTS: [Request; 4] = [
    Request::Commit,
    Request::Store,
    Request::SetReaders,
    Request::Payload,
];

const FAULTS: [Fault; 6] = [
    Fault::Late,
    Fault::ReplyLost,
    Fault::FailAfter,
    Fault::Truncate,
    Fault::ResetBefore,
    Fault::ResetAfter,
];

/// How often a fault is met before it is healed.
const AGAIN_AND_AGAIN: u64 = 3;

/// Cells at a time. Most of the time of a cell is waiting.
const AT_A_TIME: usize = 8;

/// How long a cell may take on a busy machine: it meets its fault up to three times, at up to half
/// a minute each, and looks twice, ten seconds apart, before it stores anything again.
const PATIENCE: Duration = Duration::from_secs(240);

/// Seconds after which the program gives up on an HTTP request; enough for any that is served.
const CLIENT_TIMEOUT: &str = "3";

#[derive(Clone, Copy, Debug)]
struct Cell {
    request: Request,
    fault: Fault,
    /// How often it happens.
    times: u64,
}

/// What came of a cell.
struct Outcome {
    cell: Cell,
    seen: Seen,
    ended: Result<Findings>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// How often the fault was met.
    met: u64,
    /// From the program's start to its end of work.
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_goes_wrong_once_or_again_and_again_ends_clean() -> Result<()> {
    let services = Services::from_env();
    let databases = Databases::default();
    let started = Instant::now();
    let mut outcomes: Vec<Outcome> = stream::iter(cells())
        .map(|cell| {
            let (services, databases) = (&services, &databases);
            async move { cell.play(services, databases).await }
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    outcomes.sort_by_key(|outcome| outcome.cell.to_string());
    let mut table = format!(
        "faults: {} cells in {:.0} s\n",
        outcomes.len(),
        started.elapsed().as_secs_f32()
    );
    for outcome in &outcomes {
        table.push_str(&outcome.line());
    }
    // Past the test harness, which keeps to itself what a test that passes prints.
    writeln!(std::io::stdout(), "{table}")?;
    let wrong: Vec<String> = outcomes.iter().filter_map(Outcome::wrong).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for times in [AGAIN_AND_AGAIN, 1] {
        for request in REQUESTS {
            for fault in FAULTS {
                cells.push(Cell {
                    request,
                    fault,
                    times,
                });
            }
        }
    }
    cells.retain(Cell::is_wanted);
    // Those that wait longest first.
    cells.sort_by_key(|cell| (cell.request, cell.fault) != (Request::Commit, Fault::Late));
    cells
}

impl Cell {
    async fn play(self, services: &Services, databases: &Databases) -> Outcome {
        let mut seen = Seen::default();
        let ended = async {
            let database = databases.borrow(services).await?;
            let ended = self.end_clean(services, &database, &mut seen).await;
            databases.give_back(database).await?;
            ended
        }
        .await;
        let outcome = Outcome {
            cell: self,
            seen,
            ended,
        };
        // Seen at once with --nocapture, and else when something is wrong.
        eprint!("{}", outcome.line());
        outcome
    }

    async fn end_clean(
        self,
        services: &Services,
        database: &CinderDatabase,
        seen: &mut Seen,
    ) -> Result<Findings> {
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_authorised_cinder_user().await?;
        database.insert(&volumes()).await?;
        database
            .insert(&[0, 1].map(|_| Backup::on("host1").owned_by("owner")))
            .await?;
        let (proxy, conf) = self.proxied(&cloud, &cinder, database).await?;
        let fault = proxy.add(self.rule());
        let started = Instant::now();
        let mut program = Program::start(&conf)?;
        let ended = tokio::time::timeout(PATIENCE, self.ends(&fault, &mut program, database));
        let ended = ended.await.context("not done in time").flatten();
        *seen = Seen {
            met: fault.count(),
            took: started.elapsed(),
        };
        if let Err(error) = ended {
            let wrote = program.lines().join("\n");
            let found = Clean::of(database, &cloud, &cinder).find().await?;
            bail!("{error:#}\n{found}\nthe program wrote:\n{wrote}");
        }
        program.terminate().await?;
        Clean::of(database, &cloud, &cinder).assert().await
    }

    /// Lets the program come to its end, with the fault healed once it has been met often enough.
    async fn ends(
        self,
        fault: &Handle,
        program: &mut Program,
        database: &CinderDatabase,
    ) -> Result<()> {
        let healing = async {
            fault.fired(self.times).await;
            fault.heal();
            Ok(())
        };
        let (status, ()) = tokio::try_join!(done(program), healing)?;
        ensure!(
            status["orphan_secrets"] == 0,
            "the program tells of superseded secrets: {status:#}"
        );
        for table in ["volumes", "snapshots", "backups"] {
            ensure!(
                database.zeros(table).await? == 0,
                "done, with {table} at zeros"
            );
        }
        Ok(())
    }

    fn rule(self) -> Rule {
        match self.times {
            1 => Rule::once(self.request, self.fault),
            _ => Rule::until_healed(self.request, self.fault),
        }
    }

    async fn proxied(
        self,
        cloud: &RealCloud,
        cinder: &User,
        database: &CinderDatabase,
    ) -> Result<(FaultProxy, CinderConf)> {
        let conf = CinderConf::new(cloud, cinder, database)?
            .set("key_migrator", "interval", "1")
            .set("key_migrator", "unknown_outcome_wait", "1");
        let conf = match self.fault {
            Fault::Late => conf.set("keystone_authtoken", "timeout", CLIENT_TIMEOUT),
            _ => conf,
        };
        if self.request == Request::Commit {
            let url = database.connection_url();
            let proxy = FaultProxy::mysql(url).await?;
            let conf = conf.set("database", "connection", &proxy.through(url));
            return Ok((proxy, conf));
        }
        let url = cloud.barbican_endpoint();
        let proxy = FaultProxy::http(&url).await?;
        let conf = conf.set("barbican", "barbican_endpoint", &proxy.through(&url));
        Ok((proxy, conf))
    }

    /// All, unless an environment variable names some, as in `Commit Late`.
    fn is_wanted(&self) -> bool {
        let Ok(wanted) = std::env::var("FAULT_CELLS") else {
            return true;
        };
        wanted
            .split_whitespace()
            .all(|word| self.to_string().contains(word))
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let request = match self.request {
            Request::Store => "POST",
            Request::SetReaders => "PUT",
            Request::Payload => "GET",
            _ => "COMMIT",
        };
        let fault = match self.fault {
            Fault::Late => "later than the client's timeout",
            Fault::ReplyLost => "reply lost",
            Fault::FailAfter => "error after it took effect",
            Fault::Truncate => "truncated",
            Fault::ResetBefore => "reset before",
            _ => "reset after",
        };
        let times = if self.times == 1 {
            "once"
        } else {
            "persistent"
        };
        write!(f, "{request:<7} {fault:<32} {times:<10}")
    }
}

impl Outcome {
    fn line(&self) -> String {
        let ended = match &self.ended {
            Ok(Findings { rows, secrets, .. }) => format!("clean, {rows} rows, {secrets} secrets"),
            Err(error) => format!("WRONG: {}", first_line(&format!("{error:#}"))),
        };
        format!(
            "  {} met {}, {:5.1} s, {ended}\n",
            self.cell,
            self.seen.met,
            self.seen.took.as_secs_f32()
        )
    }

    fn wrong(&self) -> Option<String> {
        let error = self.ended.as_ref().err()?;
        Some(format!("{}: {error:#}", self.cell))
    }
}

/// Databases that are made once and used by one cell after the other: making one takes longer than
/// most cells.
#[derive(Default)]
struct Databases(Mutex<Vec<CinderDatabase>>);

impl Databases {
    /// One without rows.
    async fn borrow(&self, services: &Services) -> Result<CinderDatabase> {
        let idle = self.0.lock().expect("nobody panics with it").pop();
        match idle {
            Some(database) => Ok(database),
            None => CinderDatabase::mariadb(&services.mariadb).await,
        }
    }

    async fn give_back(&self, database: CinderDatabase) -> Result<()> {
        for table in ["snapshots", "backups", "volumes"] {
            database.execute(&format!("DELETE FROM {table}")).await?;
        }
        self.0.lock().expect("nobody panics with it").push(database);
        Ok(())
    }
}

/// Three volumes with two snapshots each, one of these a colleague's.
fn volumes() -> Vec<Volume> {
    let volume = || {
        Volume::on("host1@lvm#lvm")
            .owned_by("owner")
            .with_snapshots(1)
    };
    (0..3)
        .map(|_| {
            let volume = volume();
            let colleagues = Snapshot::of(&volume).owned_by("colleague");
            volume.with_snapshot(colleagues)
        })
        .collect()
}

/// Waits until nothing is left, however long that takes. Not until `complete`: that waits for a
/// second count, which a busy machine puts off for long.
async fn done(program: &mut Program) -> Result<Value> {
    let done = |status: &Value| {
        let services = status["services"].as_array();
        services.is_some_and(|services| {
            let done = |one: &Value| one["state"] == "idle" || one["state"] == "complete";
            !services.is_empty() && services.iter().all(done)
        })
    };
    loop {
        let status = program.status_where(done).await;
        match status {
            // It gives up after a minute; whether that is too long is ours to say.
            Err(error) if error.is::<tokio::time::error::Elapsed>() => {}
            status => return status,
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

//! A long run through bad weather: Keystone, Barbican, the database and the ledger's disk each fail
//! for a fifth of the time, while rows are added all along. Once all is calm the program must come
//! to its end by itself, within a minute, and clean.

mod disk;
mod weather;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use key_migrator_tests::fault_proxy::FaultProxy;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Clean, Cloud, Program, RoleWorld, Services, Snapshot,
    Volume,
};
use serde_json::Value;

use self::disk::Disk;
use self::weather::Weather;

/// How soon after the last fault everything must be done.
const CALM: Duration = Duration::from_secs(60);

/// Rows at zeros are kept at this number while it storms.
const BACKLOG: i64 = 20;

/// Seconds after which the program gives up on an HTTP request: more than any takes that is served
/// on a busy machine, and little enough to be met in a burst.
const TIMEOUT: &str = "6";

/// How often rows are added and the program is asked how it is.
const BEAT: Duration = Duration::from_millis(500);

/// What the program must have waited for at some time, or the faults did not reach it.
const REASONS: &[&str] = &["keystone_", "barbican_", "database_", "ledger_"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_minutes_in_which_each_service_fails_for_a_fifth_end_clean() -> Result<()> {
    soak(Duration::from_secs(3 * 60), 3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn thirty_minutes_in_which_each_service_fails_for_a_fifth_end_clean() -> Result<()> {
    soak(Duration::from_secs(30 * 60), 30).await
}

async fn soak(time: Duration, seed: u64) -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::mariadb(&services.mariadb).await?;
    let disk = Disk::mount()?;
    let endpoint = cloud.barbican_endpoint();
    let keystone = FaultProxy::http(&cloud.auth_url()).await?;
    let barbican = FaultProxy::http(&endpoint).await?;
    let mariadb = FaultProxy::mysql(database.connection_url()).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?
        .user(&keystone.through(&cloud.auth_url()), &cinder)
        .set(
            "barbican",
            "barbican_endpoint",
            &barbican.through(&endpoint),
        )
        .set(
            "database",
            "connection",
            &mariadb.through(database.connection_url()),
        )
        .set("keystone_authtoken", "timeout", TIMEOUT)
        .set("key_migrator", "state_dir", disk.state_dir())
        .set("key_migrator", "unknown_outcome_wait", "2")
        .set("key_migrator", "interval", "1");

    let mut rows = Rows::new(&database, seed);
    rows.fill_up().await?;
    let mut program = Program::start(&conf)?;
    program.status_where(|_| true).await?;
    let mut seen = Reasons::default();
    let weather = Weather::new(time, seed);
    let storms = async {
        tokio::try_join!(
            weather.keystone(&keystone, &barbican),
            weather.barbican(&barbican),
            weather.mariadb(&mariadb),
            weather.disk(&disk, program.pid()),
        )
    };
    let told = tokio::select! {
        told = storms => told?,
        broken = meanwhile(&mut rows, &program, &mut seen) => broken?,
    };
    let calm = Instant::now();
    let ended = tokio::time::timeout(CALM, done(&mut program)).await;
    let took = calm.elapsed();

    let mut figures = format!("soak: seed {seed}, {} rows added\n", rows.added);
    for line in [told.0, told.1, told.2, told.3] {
        figures.push_str(&format!("  {line}\n"));
    }
    figures.push_str(&format!("  the program waited for {}\n", seen.told()));
    figures.push_str(&format!(
        "  done {:.1} s after the last fault\n",
        took.as_secs_f32()
    ));
    // Past the test harness, which keeps to itself what a test that passes prints.
    write!(std::io::stdout(), "{figures}")?;

    let tail = tail(&program);
    let status = ended.context(tail).context("not done in time")??;
    let findings = Clean::of(&database, &cloud, &cinder).assert().await?;
    writeln!(std::io::stdout(), "  {findings}")?;
    ensure!(
        status["orphan_secrets"] == 0,
        "the program tells of superseded secrets: {status:#}"
    );
    for reason in REASONS {
        ensure!(seen.any(reason), "nothing of {reason} reached the program");
    }
    let ended = program.terminate().await?;
    ensure!(ended.code() == Some(0), "it ended with {:?}", ended.status);
    Ok(())
}

/// Adds rows, and looks at the program, as long as it storms.
async fn meanwhile<T>(rows: &mut Rows<'_>, program: &Program, seen: &mut Reasons) -> Result<T> {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        beats.tick().await;
        rows.fill_up().await?;
        let (code, status) = program
            .page("/v1/status")
            .await
            .with_context(|| tail(program))?;
        ensure!(code == 200, "/v1/status answered {code}");
        seen.note(&serde_json::from_str(&status)?);
    }
}

/// Volumes with snapshots, and backups, of two users.
struct Rows<'d> {
    database: &'d CinderDatabase,
    random: fastrand::Rng,
    added: u64,
}

impl<'d> Rows<'d> {
    fn new(database: &'d CinderDatabase, seed: u64) -> Self {
        Self {
            database,
            random: fastrand::Rng::with_seed(seed),
            added: 0,
        }
    }

    async fn fill_up(&mut self) -> Result<()> {
        let mut zeros = self.database.zeros("volumes").await?;
        zeros += self.database.zeros("backups").await?;
        for _ in zeros..BACKLOG {
            let owner = ["owner", "colleague"][self.random.usize(..2)];
            if self.random.u8(..4) == 0 {
                let backup = Backup::on("host1").owned_by(owner);
                self.database.insert(&backup).await?;
            } else {
                let mut volume = Volume::on("host1@lvm#lvm").owned_by(owner);
                for _ in 0..self.random.u8(..3) {
                    let owner = ["owner", "colleague"][self.random.usize(..2)];
                    let snapshot = Snapshot::of(&volume).owned_by(owner);
                    volume = volume.with_snapshot(snapshot);
                }
                self.database.insert(&volume).await?;
            }
            self.added += 1;
        }
        Ok(())
    }
}

/// What the program said that it waited for, and how often that was seen.
#[derive(Default)]
struct Reasons(BTreeMap<String, u32>);

impl Reasons {
    fn note(&mut self, status: &Value) {
        let services = status["services"].as_array();
        for service in services.into_iter().flatten() {
            if let Some(code) = service["reason"]["code"].as_str() {
                *self.0.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    fn any(&self, prefix: &str) -> bool {
        self.0.keys().any(|code| code.starts_with(prefix))
    }

    fn told(&self) -> String {
        let times = self.0.iter();
        let times: Vec<String> = times
            .map(|(code, times)| format!("{code} ({times} times seen)"))
            .collect();
        times.join(", ")
    }
}

/// Waits until nothing is left. Not until `complete`: that waits for a second count, which a busy
/// machine puts off for long.
async fn done(program: &mut Program) -> Result<Value> {
    program
        .status_where(|status| {
            let services = status["services"].as_array();
            services.is_some_and(|services| {
                let done = |one: &Value| one["state"] == "idle" || one["state"] == "complete";
                !services.is_empty() && services.iter().all(done)
            })
        })
        .await
}

/// The last of what the program wrote.
fn tail(program: &Program) -> String {
    let lines = program.lines();
    let from = lines.len().saturating_sub(60);
    format!("the program wrote at last:\n{}", lines[from..].join("\n"))
}

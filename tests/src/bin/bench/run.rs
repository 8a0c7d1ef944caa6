//! One run of the program or of Cinder's own migrator over the same rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::civil::DateTime;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{CinderConf, CinderDatabase, Cloud, Dialect, Program, Services, Volume};

use crate::cpu::Cpu;

/// Both log it once nothing is left on any host.
pub(crate) const DONE: &str = "No volumes are using the ConfKeyManager's encryption_key_id.";

/// No run takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);

/// A database with rows at zeros, and the cinder.conf of the host that owns them.
pub(crate) struct Ground {
    pub(crate) database: CinderDatabase,
    pub(crate) conf: CinderConf,
}

/// How long one run took.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// From the line of the first key to the line that says that nothing is left.
    pub(crate) migrating: Duration,
    /// From the start of the process to that line.
    pub(crate) whole: Duration,
    /// Of the whole.
    pub(crate) cpu: Cpu,
    /// When each key was begun.
    pub(crate) begun: Vec<DateTime>,
}

impl Ground {
    /// A fresh database with volumes of one owner and a snapshot each, and a fresh project at
    /// Barbican.
    pub(crate) async fn new(
        services: &Services,
        cloud: &impl Cloud,
        owner_id: &str,
        volumes: usize,
    ) -> Result<Self> {
        let cinder = cloud.create_authorised_cinder_user().await?;
        let database = CinderDatabase::new(services, Dialect::MariaDb).await?;
        let volume = |_| {
            Volume::on("host1@lvm#lvm")
                .owned_by(owner_id)
                .with_snapshots(1)
        };
        let rows: Vec<Volume> = (0..volumes).map(volume).collect();
        database.insert(&rows).await?;
        database.execute("ANALYZE TABLE volumes, snapshots").await?;
        let conf = CinderConf::new(cloud, &cinder, &database)?;
        Ok(Self { database, conf })
    }

    /// Runs the program, nothing tuned, until nothing is left.
    pub(crate) async fn run_program(&self, services: u32) -> Result<Run> {
        let started = Instant::now();
        let mut program = Program::start_with(&self.conf, ["run", "--service", "volume"])?;
        let pid = program.pid();
        let before = Cpu::now(services, pid)?;
        program.line_within(DONE, PATIENCE).await?;
        let whole = started.elapsed();
        let cpu = Cpu::now(services, pid)?.since(&before);
        let lines = program.terminate().await?.lines;
        self.is_done().await?;
        Run::new(&lines, whole, cpu)
    }

    /// Runs Cinder's own migrator until nothing is left. Python and Cinder take seconds to be
    /// imported, which is in `whole` only.
    pub(crate) async fn run_upstream(&self, services: &Services, process: u32) -> Result<Run> {
        let started = Instant::now();
        let mut upstream = Upstream::start(services, &self.conf).await?;
        let pid = upstream.pid();
        let before = Cpu::now(process, pid)?;
        upstream.migrate(UpstreamService::Volume).await?;
        let whole = started.elapsed();
        let cpu = Cpu::now(process, pid)?.since(&before);
        let lines = upstream.lines();
        upstream.end().await?;
        self.is_done().await?;
        Run::new(&lines, whole, cpu)
    }

    /// What is measured must also be right.
    pub(crate) async fn is_done(&self) -> Result<()> {
        for table in ["volumes", "snapshots"] {
            let zeros = self.database.zeros(table).await?;
            ensure!(zeros == 0, "{zeros} {table} are still at zeros");
        }
        Ok(())
    }
}

impl Run {
    /// The times are those that the log itself gives.
    pub(crate) fn new(lines: &[String], whole: Duration, cpu: Cpu) -> Result<Self> {
        let begun = key_instants(lines)?;
        let done = lines.iter().find(|line| line.contains(DONE));
        let done = instant(done.context("a summary")?)?;
        let first = begun.first().context("a key")?;
        Ok(Self {
            migrating: first.duration_until(done).unsigned_abs(),
            whole,
            cpu,
            begun,
        })
    }
}

/// When each key was begun.
pub(crate) fn key_instants(lines: &[String]) -> Result<Vec<DateTime>> {
    let keys = lines.iter().filter(|line| is_key_line(line));
    keys.map(|line| instant(line)).collect()
}

/// Both log such a line before each key.
pub(crate) fn is_key_line(line: &str) -> bool {
    line.contains(" INFO cinder.keymgr.migration ") && line.contains("] Migrating ")
}

/// When a line was logged: `2026-11-23 08:50:12.105 ...`.
fn instant(line: &str) -> Result<DateTime> {
    let text: String = line.chars().take(23).collect();
    let instant = text.parse();
    instant.with_context(|| format!("no instant begins the line {line}"))
}

//! Figures of real runs: printed, for notes and docs, and only held to what no noise can change.
//!
//! `CINDER_KEY_MIGRATOR` names the binary to measure; a release build is what operators run.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use key_migrator_tests::million;
use key_migrator_tests::relay::{Between, HttpRelay};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Volume,
};

const DONE: &str = "No volumes are using the ConfKeyManager's encryption_key_id.";

/// Rows in the table, and how many of them are at zeros on this host.
const ROWS: u32 = 1_000_000;
const OURS: u32 = 1_000;

/// The most anonymous memory that a run may take, in KiB.
const MOST_MEMORY: u64 = 24 * 1024;

#[tokio::test]
#[ignore = "long"]
async fn keys_a_second_with_one_four_and_sixteen_in_flight() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    for in_flight in ["1", "4", "16"] {
        let cinder = cloud.create_authorised_cinder_user().await?;
        let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
        let volumes: Vec<Volume> = (0..300)
            .map(|_| {
                Volume::on("host1@lvm#lvm")
                    .owned_by("user")
                    .with_snapshots(1)
            })
            .collect();
        database.insert(&volumes[..]).await?;
        let conf = CinderConf::new(&cloud, &cinder, &database)?.set(
            "key_migrator",
            "max_concurrency",
            in_flight,
        );
        let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
        let started = Instant::now();
        program.line(DONE).await?;
        let seconds = started.elapsed().as_secs_f64();
        show(format!(
            "{in_flight} in flight: 300 volumes with a snapshot each in {seconds:.1} s, \
             {:.1} keys/s, from start to summary",
            300.0 / seconds
        ))?;
        program.terminate().await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "long"]
async fn a_million_rows_cost_no_memory_and_no_time_to_the_first_request() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    million::volumes(&database, ROWS, OURS).await?;

    let first = Arc::new(OnceLock::new());
    let seen = Arc::clone(&first);
    let between: Between = Arc::new(move |_, _| {
        seen.get_or_init(Instant::now);
        Box::pin(async {})
    });
    let barbican = HttpRelay::to(&cloud.barbican_endpoint(), between).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set(
        "barbican",
        "barbican_endpoint",
        &barbican.url(),
    );
    let started = Instant::now();
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    let mut peak = 0;
    let finished = async {
        loop {
            peak = peak.max(million::rss_anon(program.pid())?);
            let (_, status) = program.page("/v1/status").await.unwrap_or_default();
            if status.contains("\"state\":\"idle\"") || status.contains("\"state\":\"complete\"") {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), finished).await??;
    let to_first = first
        .get()
        .context("Barbican was asked")?
        .duration_since(started);
    show(format!(
        "{ROWS} rows, {OURS} of them this host's at zeros: first request at Barbican answered \
         after {to_first:.2?}, all done after {:.1?}, peak RssAnon {:.1} MiB",
        started.elapsed(),
        f64::from(u32::try_from(peak)?) / 1024.0
    ))?;
    assert!(peak <= MOST_MEMORY, "{peak} KiB");
    program.line("Migrating volume").await?;
    program.terminate().await?;
    Ok(())
}

/// Prints a figure past the test harness, which keeps to itself what a test that passes prints.
fn show(figure: String) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "figure: {figure}")?)
}

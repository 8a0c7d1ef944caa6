//! Cinder works on the rows, its own migrator starts again and again, and the program gives every
//! row its key all the same (promises 1 to 3, window W20): thousands of racing operations on real
//! Barbican and MariaDB, with the database as a witness.
//!
//! `KEY_MIGRATOR_TEST_SEED` repeats the operations of a run; who is first is not repeated with them.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use key_migrator_tests::mutator::{Audit, BarbicanTables, Cinder, Keys, Storm, Verdict, Writer};
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services,
};
use serde_json::Value;

/// How long the program may take after the storm: a peer keeps it waiting for half a minute, and
/// the machine may be busy.
const CALM: Duration = Duration::from_secs(240);

/// How long what is corrected afterwards may take.
const SETTLED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn ten_thousand_racing_operations_cost_no_key() -> Result<()> {
    race(10_000).await
}

#[tokio::test]
#[ignore = "long"]
async fn a_hundred_thousand_racing_operations_cost_no_key() -> Result<()> {
    race(100_000).await
}

async fn race(operations: usize) -> Result<()> {
    let seed = match std::env::var("KEY_MIGRATOR_TEST_SEED") {
        Ok(seed) => seed.parse().context("KEY_MIGRATOR_TEST_SEED")?,
        Err(_) => fastrand::u64(..),
    };
    show(&format!("seed {seed}"))?;
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let (service, owner) = (
        cloud.create_authorised_cinder_user().await?,
        cloud.create_owner().await?,
    );
    let database = Arc::new(CinderDatabase::new(&services, Dialect::MariaDb).await?);
    let audit = Audit::install(&services.mariadb, &database).await?;
    let keys = Arc::new(Keys::new(&cloud, &service, &owner).await?);
    let conf = |writer| {
        let conf = CinderConf::new(&cloud, &service, &database)?
            .backends(&["lvm", "lvm2"])
            .set("database", "connection", &audit.connection_url(writer))
            .set("key_migrator", "interval", "1");
        anyhow::Ok(conf)
    };
    let cinder = Cinder::new(
        audit.options(Writer::Cinder),
        Arc::clone(&database),
        Arc::clone(&keys),
        Duration::from_millis(50),
    )
    .await?;
    let storm = Storm {
        seed,
        operations,
        workers: 24,
        volumes: 150,
        backups: 30,
    };
    let storm = storm.gather(&cinder).await?;
    let left = storm.progress();

    let mut upstream = Upstream::start(&services, &conf(Writer::Upstream)?).await?;
    let mut program = Program::start(&conf(Writer::Program)?)?;
    program.line("Migrating").await?;
    let started = Instant::now();
    let mut storm = tokio::spawn(storm.rage());
    let mut starts = 0;
    while !storm.is_finished() {
        // The program lets upstream go first once it has noticed it, so before and after it the
        // program and Cinder have the rows to themselves.
        if !(operations * 4 / 10..operations * 7 / 10).contains(&left()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        upstream.migrate(UpstreamService::Backup).await?;
        upstream.migrate(UpstreamService::Volume).await?;
        starts += 2;
    }
    let report = (&mut storm).await??;
    let took = started.elapsed();
    upstream.end().await?;

    let calm = Instant::now();
    let status = finished(&mut program, &database).await?;
    let barbican = BarbicanTables::open(&services, &cloud, &service).await?;
    let verdict = settled(&database, &audit, &barbican, &keys).await?;
    show(&format!(
        "{} operations of Cinder in {took:.1?} ({} more were refused, {} statements repeated), \
         {starts} starts of upstream; finished {:.1?} after the last: {verdict}; orphan_secrets \
         {}; {:?}",
        report.total(),
        report.refused,
        cinder.conflicts(),
        calm.elapsed(),
        status["orphan_secrets"],
        report.done,
    ))?;
    let lines = program.terminate().await?.lines;
    verdict.assert_unbroken(&lines)?;
    assert_eq!(verdict.overwritten_by_program, 0);
    // It was a race.
    assert!(verdict.switched > 100, "{verdict}");
    assert!(verdict.overwritten_by_upstream > 0, "{verdict}");
    // Everything that no row refers to is accounted for.
    let orphans = status["orphan_secrets"]
        .as_u64()
        .context("orphan_secrets")?;
    let unreferred = verdict.superseded_before_switch.len() as u64;
    assert!(
        unreferred <= orphans,
        "{orphans} counted: {verdict}\n{}",
        lines.join("\n")
    );
    Ok(())
}

/// The verdict once nothing is wrong any more, or the last one: readers are corrected by a later
/// pass than the row's.
async fn settled(
    database: &CinderDatabase,
    audit: &Audit,
    barbican: &BarbicanTables,
    keys: &Keys,
) -> Result<Verdict> {
    let began = Instant::now();
    loop {
        let verdict = Verdict::of(database, Some(audit), barbican, Some(keys)).await?;
        if verdict.broken.is_empty() || began.elapsed() > SETTLED {
            return Ok(verdict);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until no row is left and the program says so.
async fn finished(program: &mut Program, database: &CinderDatabase) -> Result<Value> {
    let mut last = Value::Null;
    let finishing = async {
        loop {
            if let Ok((200, text)) = program.page("/v1/status").await {
                last = serde_json::from_str(&text)?;
                let states = last["services"].as_array().context("services")?.iter();
                let at_rest = states
                    .map(|one| &one["state"])
                    .all(|state| state == "idle" || state == "complete");
                if at_rest && left(database).await? == 0 {
                    return anyhow::Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let finished = tokio::time::timeout(CALM, finishing)
        .await
        .context("in time");
    finished.flatten().with_context(|| {
        let lines = program.lines().join("\n");
        format!("the program does not finish; its status: {last:#}; it wrote:\n{lines}")
    })?;
    Ok(last)
}

async fn left(database: &CinderDatabase) -> Result<i64> {
    let mut left = 0;
    for table in ["volumes", "snapshots", "backups"] {
        left += database.zeros(table).await?;
    }
    Ok(left)
}

/// Prints a figure past the test harness, which keeps to itself what a test that passes prints.
fn show(figure: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "figure: {figure}")?)
}

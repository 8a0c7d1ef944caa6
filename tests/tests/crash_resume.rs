//! Going on after a crash costs nothing in proportion to the table.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use key_migrator_tests::crash::{LargeRun, migrated};
use key_migrator_tests::million;
use key_migrator_tests::{Program, Services};
use tokio::time::timeout;

const ROWS: u32 = 1_000_000;

/// How many of them are this host's at zeros.
const OURS: u32 = 1_000;

/// Rows at zeros that are another host's.
const OTHERS: usize = 1;

/// For half of the work, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);

/// The most anonymous memory that a run may take, in KiB.
const MOST_MEMORY: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn after_a_kill_among_a_million_rows_no_secret_is_stored_twice() -> Result<()> {
    let run = LargeRun::new(&Services::from_env()).await?;
    million::volumes(run.database(), ROWS, OURS).await?;
    let ours = usize::try_from(OURS)?;

    let program = run.start()?;
    let half_way = run.watch().posts_have_come(ours / 2);
    let peak_before = peak_until(&program, half_way).await?;
    program.kill().await?;
    run.watch().hung_up().await;

    let stored = run.watch().posts().len();
    let left = run.count_zeros().await? - OTHERS;
    let program = run.start()?;
    let started = Instant::now();
    let mut resumed = Duration::ZERO;
    let to_the_end = async {
        migrated(&program, 1).await;
        resumed = started.elapsed();
        migrated(&program, u64::try_from(left).unwrap_or(u64::MAX)).await;
    };
    let peak = peak_until(&program, to_the_end).await?.max(peak_before);
    writeln!(
        std::io::stdout(),
        "figure: {ROWS} rows, {OURS} of them at zeros; killed after {stored} secrets with {left} \
         rows to go; the first of these was switched {resumed:.2?} after the restart, the last \
         {:.1?}; peak RssAnon {:.1} MiB",
        started.elapsed(),
        f64::from(u32::try_from(peak)?) / 1024.0
    )?;
    program.terminate().await?;
    assert_eq!(run.count_zeros().await?, OTHERS);
    run.assert_each_stored_once(ours)?;
    assert!(peak <= MOST_MEMORY, "{peak} KiB");
    Ok(())
}

/// The most anonymous memory that the program takes meanwhile, in KiB.
async fn peak_until(program: &Program, done: impl Future<Output = ()>) -> Result<u64> {
    let done = timeout(DEADLINE, done);
    let (done, peak) = million::peak_rss_anon(program.pid(), done).await?;
    done.context("no end")?;
    Ok(peak)
}

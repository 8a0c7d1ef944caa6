//! The program is killed at each call that others can see of a small run, and started once more:
//! then every key is where it should be, and nothing is left over.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use key_migrator_tests::crash::{Call, Outcome, SmallRun, Template};

/// Volumes of one run, each with two snapshots.
const VOLUMES: usize = 10;

/// Runs at the same time: more than there are processors, as some wait for seconds.
const AT_ONCE: usize = 12;

/// The environment variable with the numbers of the calls to kill at, if it is not to be all.
const CALLS: &str = "KEY_MIGRATOR_TEST_CALLS";

/// More calls than this in one small run would be a fault of its own.
const MOST_CALLS: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_visible_call_leaves_nothing_behind_after_one_restart() -> Result<()> {
    kill_at_each_call("with its ledger", |_| Ok(())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_visible_call_leaves_nothing_behind_though_the_ledger_is_lost() -> Result<()>
{
    kill_at_each_call("without its ledger", SmallRun::lose_ledger).await
}

/// What all runs together have shown.
#[derive(Debug, Default)]
struct Findings {
    kills: BTreeMap<String, usize>,
    violations: Vec<String>,
    slowest_restart: Duration,
}

async fn kill_at_each_call(how: &str, meanwhile: fn(&SmallRun) -> Result<()>) -> Result<()> {
    let template = Template::new(VOLUMES).await?;
    let started = Instant::now();
    let findings = Mutex::new(Findings::default());
    if let Ok(calls) = std::env::var(CALLS) {
        for nth in calls.split_whitespace() {
            kill_once(&template, nth.parse()?, meanwhile, &findings).await?;
        }
    } else {
        kill_at_all(&template, meanwhile, &findings).await?;
    }
    let findings = findings.into_inner().expect("no run has panicked");
    show(how, &findings, started.elapsed())?;
    ensure!(
        findings.violations.is_empty(),
        "{} violations; the first:\n{}",
        findings.violations.len(),
        findings.violations[0]
    );
    Ok(())
}

async fn kill_at_all(
    template: &Template,
    meanwhile: fn(&SmallRun) -> Result<()>,
    findings: &Mutex<Findings>,
) -> Result<()> {
    let next = AtomicUsize::new(1);
    // Runs differ by a few calls, so each worker goes on until it has seen the end by itself.
    let worker = async || loop {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        ensure!(nth <= MOST_CALLS, "a small run makes no end of calls");
        if !kill_once(template, nth, meanwhile, findings).await? {
            return Ok(());
        }
    };
    try_join_all((0..AT_ONCE).map(|_| worker())).await.map(drop)
}

/// Kills one run at its `nth` call; `false` where there was none any more.
async fn kill_once(
    template: &Template,
    nth: usize,
    meanwhile: fn(&SmallRun) -> Result<()>,
    findings: &Mutex<Findings>,
) -> Result<bool> {
    let run = SmallRun::new(template).await?;
    let calls = match run.kill_at(nth).await? {
        Outcome::Killed(calls) => calls,
        Outcome::Ended(0, _) => return Ok(false),
        Outcome::Ended(code, _) => bail!("an undisturbed run ended with {code}\n{}", run.logs()),
    };
    let stored = run.stored();
    meanwhile(&run)?;
    let (restart, faults) = match run.start_again().await {
        Ok(restart) => (restart, run.faults().await?),
        Err(error) => (Duration::ZERO, vec![format!("{error:#}")]),
    };
    let mut findings = findings.lock().expect("no run has panicked");
    let kills = findings.kills.entry(calls[nth - 1].to_string());
    *kills.or_default() += 1;
    findings.slowest_restart = findings.slowest_restart.max(restart);
    if !faults.is_empty() {
        let before: Vec<_> = calls[nth.saturating_sub(8)..]
            .iter()
            .map(Call::to_string)
            .collect();
        findings.violations.push(format!(
            "killed at call {nth}, the last of: {}; Barbican had {stored}\n{}",
            before.join(", "),
            faults.join("\n")
        ));
    }
    Ok(true)
}

/// Prints past the test harness, which keeps to itself what a test that passes prints.
fn show(how: &str, findings: &Findings, took: Duration) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let kills: usize = findings.kills.values().sum();
    writeln!(
        out,
        "figure: {kills} kills {how} in {took:.0?}, slowest restart {:.1?}, {} violations",
        findings.slowest_restart,
        findings.violations.len()
    )?;
    for (call, times) in &findings.kills {
        writeln!(out, "{times:8}  {call}")?;
    }
    for violation in &findings.violations {
        let lines: Vec<_> = violation.lines().collect();
        let end = lines[1..].len().saturating_sub(3) + 1;
        writeln!(out, "violation: {}", lines[0])?;
        for line in &lines[end..] {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

//! What was answered is on disk, whatever becomes of the process; and few commits do it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use key_migration::ledger::Event;
use key_migration::ports::Ledger;
use migration_ledger::{MigrationLedger, open_intents};
use tokio::task::JoinSet;

use crate::elsewhere::{self, block_on};
use crate::support::{Home, KEEPER, TestClock, entry, intend, open_rows, refused, request, volume};

/// Waits until these rows are open on disk, as another process sees it.
async fn reads_as_open(home: &Home, rows: &[&str]) {
    let look = async {
        loop {
            let open = open_intents(&home.state_dir(), None).await;
            let open = open.expect("readable").into_iter();
            if open
                .map(|open| open.row.id.to_string())
                .eq(rows.iter().copied())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), look).await;
    seen.expect("it is written by itself");
}

#[tokio::test]
async fn nothing_is_made_before_it_is_needed() {
    let home = Home::new();
    let ledger = home.ledger();
    assert_eq!(ledger.flush().await, Ok(()));
    ledger.close().await;
    drop(home.ledger());
    assert!(!home.state_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn intents_that_come_in_together_share_a_commit() {
    let home = Home::new();
    let ledger = Arc::new(home.ledger());
    let mut intents = JoinSet::new();
    for number in 0..400 {
        let ledger = Arc::clone(&ledger);
        intents.spawn(async move { intend(&*ledger, &format!("v{number}")).await });
    }
    intents.join_all().await;
    assert_eq!(open_rows(&*ledger).await.len(), 400);
    let commits = ledger.commits();
    assert!(
        (1..=100).contains(&commits),
        "{commits} commits for 400 intents"
    );
}

#[tokio::test]
async fn each_intent_that_comes_alone_is_committed_alone() {
    let home = Home::new();
    let ledger = home.ledger();
    for number in 1..=5 {
        intend(&ledger, &format!("v{number}")).await;
        assert_eq!(ledger.commits(), number);
        assert_eq!(open_rows(&ledger).await.len() as u64, number);
        assert_eq!(ledger.commits(), number, "a recollection writes nothing");
    }
}

#[tokio::test]
async fn what_is_noted_rides_with_the_next_intent() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.note(KEEPER, entry(&volume("v1"), Event::NotStored));
    intend(&ledger, "v2").await;
    assert_eq!(ledger.commits(), 2);
    assert_eq!(open_rows(&ledger).await, ["v2"]);
}

#[tokio::test]
async fn what_is_noted_is_written_soon_although_nobody_asks() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    intend(&ledger, "v2").await;
    for _ in 0..10 {
        ledger.note(KEEPER, entry(&volume("v1"), Event::NotStored));
    }
    reads_as_open(&home, &["v2"]).await;
    assert_eq!(ledger.commits(), 3);
}

#[tokio::test]
async fn a_flush_waits_for_what_was_noted() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.note(KEEPER, entry(&volume("v1"), Event::NotStored));
    assert_eq!(ledger.flush().await, Ok(()));
    assert_eq!(open_intents(&home.state_dir(), None).await, Ok(vec![]));
}

#[tokio::test]
async fn a_ledger_that_is_dropped_writes_what_was_noted_and_lets_go() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.note(KEEPER, entry(&volume("v1"), Event::NotStored));
    drop(ledger);
    reads_as_open(&home, &[]).await;
    let next = home.ledger();
    while next
        .intend(KEEPER, &volume("v2"), request(1))
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn more_than_fits_into_one_transaction_is_written_by_a_ledger_that_is_closed() {
    let home = Home::new();
    let ledger = home.ledger();
    for number in 0..2500 {
        ledger.note(
            KEEPER,
            entry(&volume(&format!("v{number}")), Event::GivenUp),
        );
    }
    ledger.close().await;
    assert_eq!(ledger.commits(), 3);
    let fault = refused(&ledger).await;
    assert!(fault.message.contains("has stopped"), "{fault:?}");
}

#[test]
fn a_ledger_goes_on_in_another_runtime() {
    let home = Home::new();
    let ledger = home.ledger();
    ledger.note(KEEPER, entry(&volume("v1"), Event::Unanswered));
    for number in 1..=3 {
        let row = format!("v{number}");
        block_on(intend(&ledger, &row));
    }
    assert_eq!(block_on(open_rows(&ledger)), ["v1", "v2", "v3"]);
}

const KILLED: &str = "durability::w1_what_was_intended_outlives_a_kill";

#[test]
fn w1_what_was_intended_outlives_a_kill() {
    const DIRECTORY: &str = "LEDGER_TEST_DIRECTORY";
    if elsewhere::is_inside(KILLED) {
        let directory = std::env::var_os(DIRECTORY).expect("a directory");
        return block_on(intend_until_killed(directory.into()));
    }
    let home = Home::new();
    let mut known: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut child = elsewhere::command(&[], KILLED)
            .env(DIRECTORY, home.state_dir())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut next = || {
            let rows = lines.by_ref().map(|line| line.expect("text"));
            rows.filter_map(|line| line.strip_prefix("intended ").map(str::to_owned))
                .next()
        };
        known.extend((0..20 + 13 * round).map(|_| next().expect("another one")));
        let ledger = home.ledger();
        let refused = block_on(refused(&ledger));
        let by = format!("locked by process {}", child.id());
        assert!(refused.message.contains(&by), "{refused:?}");
        child.kill().expect("killed");
        child.wait().expect("gone");
        known.extend(std::iter::from_fn(next));

        let open = block_on(open_rows(&ledger));
        block_on(ledger.close());
        for row in &known {
            assert!(open.contains(row), "{row} was answered and is lost");
        }
        assert!(
            open.len() <= known.len() + 1 + round,
            "at most one each was not heard of"
        );
    }
}

async fn intend_until_killed(state_dir: PathBuf) {
    let ledger = MigrationLedger::new(state_dir, TestClock::default());
    for number in 0.. {
        let row = format!("{}-{number}", std::process::id());
        intend(&ledger, &row).await;
        writeln!(std::io::stdout(), "intended {row}").expect("heard");
    }
}

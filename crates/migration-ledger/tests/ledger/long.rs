//! A ledger of a large cloud: what needs nothing costs nothing.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use key_migration::ids::ResourceKind;
use key_migration::ledger::Event;
use key_migration::ports::Ledger;
use migration_ledger::MigrationLedger;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::task::JoinSet;

use crate::support::{
    Home, KEEPER, TestClock, entry, intend, ledger_file, open_rows, secret, switched, volume,
};

const ROWS: u128 = 1_000_000;

#[tokio::test]
#[ignore = "long"]
async fn a_million_switched_rows_are_recalled_in_milliseconds() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "a row of its own").await;
    let few = times(&ledger).await;
    ledger.note(
        KEEPER,
        entry(&volume("other"), Event::Superseded(secret(7))),
    );
    ledger.close().await;
    write_rows(&home).await;
    let size = ledger_file(&home.state_dir())
        .metadata()
        .expect("there")
        .len();

    let next_process = home.ledger();
    let started = Instant::now();
    assert_eq!(open_rows(&next_process).await, ["a row of its own"]);
    let resumed = started.elapsed();
    let found = next_process.recall(KEEPER, &[ResourceKind::Volume]).await;
    let found = found.expect("readable");
    assert_eq!(found.superseded, [(volume("other"), secret(7))]);
    let last = (volume(&secret(ROWS).to_string()), secret(ROWS));
    assert_eq!(found.sample, Some(last));
    let known = intend(&next_process, &secret(7).to_string()).await;
    assert_eq!(known, [secret(7)]);
    next_process.note(
        KEEPER,
        entry(&volume(&secret(7).to_string()), Event::NotStored),
    );
    let many = times(&next_process).await;
    show(&format!(
        "ledger of {ROWS} switched rows, {} MB: opened and recalled in {resumed:?}; recall {:?} \
         (empty: {:?}), intend {:?} (empty: {:?})",
        size / 1_000_000,
        many.recall,
        few.recall,
        many.intend,
        few.intend,
    ));
    assert!(many.recall < Duration::from_millis(50), "{:?}", many.recall);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long"]
async fn as_many_keys_as_barbican_stores_share_commits() {
    const KEYS: usize = 5_000;
    for in_flight in [1, 32] {
        let home = Home::new();
        let ledger = Arc::new(home.ledger());
        let started = Instant::now();
        let mut keys = JoinSet::new();
        for lane in 0..in_flight {
            let ledger = Arc::clone(&ledger);
            keys.spawn(async move {
                for number in (lane..KEYS).step_by(in_flight) {
                    let row = volume(&secret(1 + number as u128).to_string());
                    intend(&*ledger, row.id.as_str()).await;
                    ledger.note(KEEPER, entry(&row, Event::Stored(secret(1))));
                    ledger.note(KEEPER, entry(&row, switched(1)));
                }
            });
        }
        keys.join_all().await;
        ledger.flush().await.expect("writable");
        let rate = KEYS as f64 / started.elapsed().as_secs_f64();
        let commits = ledger.commits();
        show(&format!(
            "ledger, {in_flight} in flight: {rate:.0} keys a second, {commits} commits for {KEYS}"
        ));
        assert!(
            commits as usize <= KEYS / in_flight * 4 + 10,
            "{commits} commits"
        );
    }
}

/// Writes what the ledger would have written; telling it row by row takes minutes.
async fn write_rows(home: &Home) {
    let sql = format!(
        "WITH RECURSIVE numbers (number) AS
            (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {ROWS})
        INSERT INTO secrets (keeper, kind, row_id, secret_id, superseded, seq, switched)
        SELECT 1, 'volume', id, id, 0, 1000 + number * 3, 1000 + number * 3
        FROM (SELECT number, printf('00000000-0000-0000-0000-%012x', number) AS id FROM numbers);
        INSERT INTO events (id, at, keeper, kind, row_id, event, secret_id, snapshots, request_id)
        SELECT seq - column1, '2026-11-25T12:00:00.123456Z', keeper, kind, row_id, column2,
            secret_id, 0, 'req-' || secret_id
        FROM secrets JOIN (VALUES (2, 'intended'), (1, 'stored'), (0, 'switched'))
        WHERE switched IS NOT NULL;"
    );
    let options = SqliteConnectOptions::new().filename(ledger_file(&home.state_dir()));
    let mut connection = options.connect().await.expect("it opens");
    let written = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection);
    written.await.expect("written");
    connection.close().await.expect("closed");
}

struct Times {
    recall: Duration,
    intend: Duration,
}

/// Medians of some.
async fn times(ledger: &MigrationLedger<TestClock>) -> Times {
    let (mut recall, mut intents) = (Vec::new(), Vec::new());
    for number in 1..=31 {
        let row = volume(&secret(number * 1000).to_string());
        let started = Instant::now();
        intend(ledger, row.id.as_str()).await;
        intents.push(started.elapsed());
        ledger.note(KEEPER, entry(&row, Event::NotStored));
        ledger.flush().await.expect("writable");
        let started = Instant::now();
        let found = ledger.recall(KEEPER, &[ResourceKind::Volume]).await;
        found.expect("readable");
        recall.push(started.elapsed());
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Times {
        recall: median(recall),
        intend: median(intents),
    }
}

/// Prints past the test harness, which keeps to itself what a test that passes prints.
fn show(figure: &str) {
    writeln!(std::io::stdout(), "figure: {figure}").expect("heard");
}

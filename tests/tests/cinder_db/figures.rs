//! What is asked of a large database, and how long it takes. Printed, for notes and docs; held to
//! nothing, as it depends on the machine.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use key_migration::ids::{ResourceKind, SecretId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::Scope;
use key_migrator_tests::CinderDatabase;

use crate::cases::{host, open, secret};
use crate::fresh;
use crate::other::Other;

/// Volumes, as many snapshots, and backups. They are all migrated, and spread over 20 hosts.
const VOLUMES: u32 = 1_000_000;
const BACKUPS: u32 = 300_000;

/// How a million rows are made up: an ID of its own for each kind and number.
fn id(kind: &str) -> String {
    let digits = format!("MD5(CONCAT('{kind}', seq))");
    let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
        .map(|(from, length)| format!("SUBSTR({digits}, {from}, {length})"));
    format!("CONCAT_WS('-', {})", parts.join(", "))
}

async fn fill(database: &CinderDatabase) -> Result<()> {
    let mut root = Other::at(database).await?;
    // So that they all stay in memory, as a database server is made for them.
    root.does("SET GLOBAL innodb_buffer_pool_size = 2147483648")
        .await?;
    root.does("SET unique_checks = 0; SET foreign_key_checks = 0")
        .await?;
    let same = "created_at, updated_at, deleted, user_id, project_id, status";
    let values = "'2026-01-01', '2026-01-02', 0, MD5(seq % 1000), MD5(seq % 300), 'available'";
    let (volume, key) = (id("volume"), id("key"));
    for (table, columns, own, rows) in [
        (
            "volumes",
            "host, size, attach_status, volume_type_id, use_quota, shared_targets",
            "CONCAT('host', seq % 20, '@lvm#lvm'), 1, 'detached', \
             (SELECT MIN(id) FROM volume_types), 1, 0"
                .to_owned(),
            VOLUMES,
        ),
        (
            "snapshots",
            "volume_id, volume_size, volume_type_id, use_quota",
            format!("{volume}, 1, (SELECT MIN(id) FROM volume_types), 1"),
            VOLUMES,
        ),
        (
            "backups",
            "volume_id, host, size, num_dependent_backups",
            format!("{volume}, CONCAT('host', seq % 20), 1, 0"),
            BACKUPS,
        ),
    ] {
        let own_id = id(table.trim_end_matches('s'));
        // In the order of their IDs, or every row would be a page of its own to be written.
        root.does(format!(
            "INSERT INTO {table} ({same}, id, encryption_key_id, {columns}) \
             SELECT {values}, {own_id} AS own_id, {key}, {own} FROM seq_1_to_{rows} \
             ORDER BY own_id"
        ))
        .await?;
        root.does(format!("ANALYZE TABLE {table}")).await?;
    }
    Ok(())
}

/// Does it twice, as the first time warms the memory, and prints how long the second took.
async fn figure<T, E>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    ask().await?;
    let started = Instant::now();
    let answer = ask().await?;
    let took = started.elapsed().as_secs_f64();
    // Past the test harness, which keeps to itself what a test that passes prints.
    writeln!(std::io::stdout(), "figure: {what}: {took:.2} s").expect("it can be written");
    Ok(answer)
}

#[tokio::test]
#[ignore = "long"]
async fn what_a_million_rows_take() -> Result<()> {
    let database = fresh().await?;
    fill(&database).await?;
    let db = open(&database);
    let scope = Scope::Volumes(vec![host("host1@lvm")]);
    let down_time = Duration::from_secs(60);
    let census = figure("census, nothing left", async || db.census(down_time).await).await?;
    assert!(census.is_clear());
    figure("count of a host's zeros", async || {
        db.count_zero_rows(&scope).await
    })
    .await?;
    for kind in [ResourceKind::Volume, ResourceKind::Snapshot] {
        let page = figure(&format!("a host's zeros: {kind}s"), async || {
            db.zero_rows(&scope, kind, None, 500).await
        })
        .await?;
        assert_eq!(page, []);
    }
    for number in [1, 100, 1000] {
        let asked: Vec<SecretId> = (0..number).map(|_| secret()).collect();
        let found = figure(&format!("who refers to {number} secrets"), async || {
            db.referred(&asked).await
        })
        .await?;
        assert!(found.is_empty());
    }
    let shared = figure("shared volumes of a host, none", async || {
        db.shared_rows(&scope, None, 500).await
    })
    .await?;
    assert_eq!(shared, []);

    let zeros = "UPDATE volumes SET encryption_key_id = '00000000-0000-0000-0000-000000000000'";
    database.execute(zeros).await?;
    let census = figure("census, all volumes left", async || {
        db.census(down_time).await
    })
    .await?;
    assert_eq!(census.unowned_volumes, u64::from(VOLUMES));
    Ok(())
}

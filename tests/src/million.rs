//! Tables with very many rows, and what a process keeps in memory beside them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::database::CinderDatabase;
use crate::rows::{Backup, Volume};

/// Rows that one statement makes: a transaction of some hundred megabytes at most.
const ROWS_AT_A_TIME: u32 = 50_000;

/// How often a process's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Fills `volumes` of a MariaDB database from one row of the real schema: `at_zeros` rows of
/// `host1@lvm#lvm` at zeros, one of `host2@lvm#lvm`, and up to `rows` in all that have keys, half
/// of them on each host.
///
/// # Errors
///
/// When the database refuses.
pub async fn volumes(database: &CinderDatabase, rows: u32, at_zeros: u32) -> Result<()> {
    let pattern = Volume::on("host2@lvm#lvm").owned_by("user");
    database.insert(&pattern).await?;
    let pattern = pattern.id.to_string();
    let hosts = ["host1@lvm#lvm", "host2@lvm#lvm"];
    let ours = format!("'{}'", hosts[0]);
    copy(database, "volumes", &pattern, &[("host", &ours)], at_zeros).await?;
    for host in hosts {
        let host = format!("'{host}'");
        let changed = [("host", &*host), ("encryption_key_id", "UUID()")];
        copy(
            database,
            "volumes",
            &pattern,
            &changed,
            (rows - at_zeros) / 2,
        )
        .await?;
    }
    analysed(database, "volumes").await
}

/// Fills `snapshots` and `backups` with as many rows each that have keys.
///
/// # Errors
///
/// When the database refuses.
pub async fn snapshots_and_backups(database: &CinderDatabase, rows: u32) -> Result<()> {
    let volume = Volume::on("host3@lvm#lvm")
        .owned_by("user")
        .key("11111111-1111-4111-8111-111111111111")
        .with_snapshots(1);
    let backup = Backup::on("host3").owned_by("user");
    database.insert(&volume).await?;
    database.insert(&backup).await?;
    let key = ("encryption_key_id", "UUID()");
    let tables = [
        ("snapshots", volume.snapshot_ids()[0], vec![key]),
        ("backups", backup.id, vec![key, ("volume_id", "UUID()")]),
    ];
    for (table, pattern, changed) in tables {
        copy(database, table, &pattern.to_string(), &changed, rows).await?;
        let pattern =
            format!("UPDATE {table} SET encryption_key_id = UUID() WHERE id = '{pattern}'");
        database.execute(&pattern).await?;
        analysed(database, table).await?;
    }
    Ok(())
}

/// Adds as many copies of one backup.
///
/// # Errors
///
/// When the database refuses.
pub async fn copies_of_backup(database: &CinderDatabase, pattern: &str, rows: u32) -> Result<()> {
    let same = ("display_name", "'copy'");
    copy(database, "backups", pattern, &[same], rows).await?;
    analysed(database, "backups").await
}

/// Copies a row under new IDs, with some columns changed to other expressions.
async fn copy(
    database: &CinderDatabase,
    table: &str,
    pattern: &str,
    changed: &[(&str, &str)],
    rows: u32,
) -> Result<()> {
    let names: Vec<_> = changed.iter().map(|(name, _)| *name).collect();
    let values: Vec<_> = changed.iter().map(|(_, value)| *value).collect();
    let (names, values) = (names.join(", "), values.join(", ").replace('\'', "''"));
    let kept = names.replace(", ", "', '");
    let mut left = rows;
    while left > 0 {
        let some = left.min(ROWS_AT_A_TIME);
        left -= some;
        let sql = format!(
            "SET @kept = (SELECT GROUP_CONCAT('`', column_name, '`') \
             FROM information_schema.columns WHERE table_schema = DATABASE() \
             AND table_name = '{table}' AND column_name NOT IN ('id', '{kept}')); \
             EXECUTE IMMEDIATE CONCAT('INSERT INTO {table} (id, {names}, ', @kept, ') \
             SELECT UUID(), {values}, ', @kept, ' FROM {table} JOIN seq_1_to_{some} \
             WHERE id = ''{pattern}''')"
        );
        database.execute(&sql).await?;
    }
    Ok(())
}

/// As with any table that was not filled a moment ago, the planner knows what is in it.
async fn analysed(database: &CinderDatabase, table: &str) -> Result<()> {
    database.execute(&format!("ANALYZE TABLE {table}")).await?;
    Ok(())
}

/// Waits for something, and tells beside it the most anonymous memory that a process had
/// meanwhile, in KiB.
///
/// # Errors
///
/// When its memory was never seen.
pub async fn peak_rss_anon<T>(pid: u32, something: impl Future<Output = T>) -> Result<(T, u64)> {
    let mut something = std::pin::pin!(something);
    let mut peak = 0;
    loop {
        // It may have ended a moment ago.
        peak = peak.max(rss_anon(pid).unwrap_or_default());
        let is_done = tokio::time::timeout(LOOK_EVERY, &mut something).await;
        if let Ok(done) = is_done {
            ensure!(peak > 0, "the memory of process {pid} was never seen");
            return Ok((done, peak));
        }
    }
}

/// Anonymous memory of a process now, in KiB.
///
/// # Errors
///
/// When there is no such process.
pub fn rss_anon(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.context("RssAnon")?.trim().trim_end_matches(" kB");
    Ok(number.parse()?)
}

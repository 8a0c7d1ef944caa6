//! The tables, and how a file is known to hold them.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::faults::Trouble;
use crate::place;

/// `ckml`, as `PRAGMA application_id` of every ledger.
const APPLICATION: i64 = 0x636b_6d6c;

/// The format of the tables below, as `PRAGMA user_version`.
const VERSION: i64 = 1;

/// How long another program's lock is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// `events` is the record that is kept for good; `audit` shows it to people. The other tables are
/// what follows from it, so that nothing is ever looked for in it. `seq` is the event by which a
/// thing came to be as it is.
const TABLES: &str = "
    CREATE TABLE keepers (
        id INTEGER PRIMARY KEY,
        identity TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        keeper INTEGER NOT NULL,
        kind TEXT NOT NULL,
        row_id TEXT,
        event TEXT NOT NULL,
        secret_id TEXT,
        snapshots INTEGER,
        request_id TEXT
    ) STRICT;
    CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are kept as they are'); END;
    CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'events are kept as they are'); END;
    CREATE VIEW audit AS
        SELECT events.id, at, identity AS keeper, kind, row_id, event, secret_id, snapshots,
            request_id
        FROM events JOIN keepers ON keepers.id = events.keeper;
    CREATE TABLE intents (
        keeper INTEGER NOT NULL,
        kind TEXT NOT NULL,
        row_id TEXT NOT NULL,
        since TEXT NOT NULL,
        seq INTEGER NOT NULL,
        secret_id TEXT,
        request_id TEXT NOT NULL,
        PRIMARY KEY (keeper, kind, row_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secrets (
        keeper INTEGER NOT NULL,
        kind TEXT NOT NULL,
        row_id TEXT NOT NULL,
        secret_id TEXT NOT NULL,
        superseded INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        switched INTEGER,
        UNIQUE (keeper, kind, row_id, secret_id)
    ) STRICT;
    CREATE INDEX superseded_secrets ON secrets (keeper, kind, seq) WHERE superseded;
    CREATE INDEX switched_secrets ON secrets (keeper, kind, switched)
        WHERE switched IS NOT NULL;
    CREATE TABLE second_looks (
        keeper INTEGER NOT NULL,
        kind TEXT NOT NULL,
        row_id TEXT NOT NULL,
        since TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (keeper, kind, row_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE listed (
        keeper INTEGER NOT NULL,
        kind TEXT NOT NULL,
        PRIMARY KEY (keeper, kind)
    ) STRICT, WITHOUT ROWID;
";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Nothing was written to it yet.
    Empty,
    /// A ledger that this version reads and writes.
    Current,
}

/// Opens a connection that changes nothing, whatever the file is.
pub(crate) async fn connect_to_read(state_dir: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(state_dir).read_only(true).connect().await
}

/// What SQLite says where a transaction that a kill has left half done has to be undone first, and
/// the connection may only read (`SQLITE_READONLY_ROLLBACK`).
const READONLY_ROLLBACK: &str = "776";

/// Undoes what a kill has left half done: until the file is a ledger, its transactions have a
/// journal of the kind that only a writer may roll back.
pub(crate) async fn finish_what_was_begun(state_dir: &Path) -> Result<(), sqlx::Error> {
    let mut reader = connect_to_read(state_dir).await?;
    let seen = facts(&mut reader).await;
    let _ = reader.close().await;
    let is_half_done = seen.is_err_and(|error| {
        let code = error.as_database_error().and_then(|error| error.code());
        code.as_deref() == Some(READONLY_ROLLBACK)
    });
    if is_half_done {
        let mut writer = options(state_dir).connect().await?;
        facts(&mut writer).await?;
        writer.close().await?;
    }
    Ok(())
}

/// Opens the file to write to it: a ledger, or one that is empty and becomes one.
pub(crate) async fn connect(state_dir: &Path, is: Format) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options(state_dir).connect().await?;
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .execute(&mut connection)
        .await?;
    if is == Format::Empty {
        make_tables(&mut connection).await?;
    }
    Ok(connection)
}

/// Tells what the file is, and refuses one that is not for this version.
pub(crate) async fn examine(
    connection: &mut SqliteConnection,
    state_dir: &Path,
) -> Result<Format, Trouble> {
    let facts = facts(connection).await;
    let (application, version, tables) =
        facts.map_err(|error| Trouble::of_sqlite(&error, state_dir))?;
    judge(application, version, tables)
}

pub(crate) fn judge(application: i64, version: i64, tables: i64) -> Result<Format, Trouble> {
    match (application, version) {
        (0, 0) if tables == 0 => Ok(Format::Empty),
        (APPLICATION, VERSION) => Ok(Format::Current),
        (APPLICATION, version) if version > VERSION => Err(Trouble::Newer(version)),
        (APPLICATION, version) => Err(Trouble::Corrupted(format!("it has format {version}"))),
        _ => Err(Trouble::NotALedger),
    }
}

async fn facts(connection: &mut SqliteConnection) -> Result<(i64, i64, i64), sqlx::Error> {
    let mut facts = [0; 3];
    let queries = [
        "PRAGMA application_id",
        "PRAGMA user_version",
        "SELECT count(*) FROM sqlite_schema",
    ];
    for (fact, query) in facts.iter_mut().zip(queries) {
        *fact = sqlx::query(query)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
    }
    Ok(facts.into())
}

async fn make_tables(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};");
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

fn options(state_dir: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(place::ledger(state_dir))
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_judged_by_its_marks() {
        for (application, version, tables, judgement) in [
            (0, 0, 0, Ok(Format::Empty)),
            (APPLICATION, VERSION, 12, Ok(Format::Current)),
            (APPLICATION, 2, 12, Err(Trouble::Newer(2))),
            (
                APPLICATION,
                0,
                0,
                Err(Trouble::Corrupted("it has format 0".into())),
            ),
            (0, 0, 1, Err(Trouble::NotALedger)),
            (0, 1, 0, Err(Trouble::NotALedger)),
            (7, 1, 12, Err(Trouble::NotALedger)),
        ] {
            assert_eq!(judge(application, version, tables), judgement);
        }
    }
}

//! SQLite, as all-in-one clouds and the sandbox use it. Text is compared byte for byte.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::Refusal;
use crate::failure::Failure;
use crate::statement::Statement;

/// SQLAlchemy reads `YYYY-MM-DD HH:MM:SS.ffffff` and would take a zone for an aware time, which
/// Cinder cannot compare with its own; SQLite itself counts milliseconds only.
pub(crate) const NOW: &str = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')";

/// Opens the file as it is: it is never created, and its journal mode stays.
pub(crate) async fn connect(path: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
        .connect()
        .await
}

pub(crate) fn seconds_ago(seconds: u64) -> String {
    format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '-{seconds} seconds')")
}

pub(crate) fn seconds_since(column: &str) -> String {
    format!("CAST(strftime('%s', 'now') AS INTEGER) - CAST(strftime('%s', {column}) AS INTEGER)")
}

pub(crate) fn exactly(statement: &mut Statement, column: &str, value: &str) {
    statement.push(column).push(" = ").bind(value);
}

/// `LIKE` folds case here and is served by no index; everything that begins with `name#` sorts
/// from `name#` on and before `name$`.
pub(crate) fn exactly_or_pool_of(statement: &mut Statement, column: &str, name: &str) {
    statement.push("(").push(column).push(" = ").bind(name);
    statement.push(" OR (").push(column).push(" >= ");
    statement.bind(&*format!("{name}#"));
    statement.push(" AND ").push(column).push(" < ");
    statement.bind(&*format!("{name}$"));
    statement.push("))");
}

pub(crate) fn without_pool(column: &str) -> String {
    format!("substr({column}, 1, instr({column} || '#', '#') - 1)")
}

/// Result codes: <https://www.sqlite.org/rescode.html>. The low byte of an extended code is the
/// primary one.
pub(crate) fn failure(error: &sqlx::Error, table: &str) -> Failure {
    let Some(error) = error.as_database_error() else {
        return Failure::of_connection(error);
    };
    let extended: u32 = error.code().and_then(|it| it.parse().ok()).unwrap_or(0);
    let code = format!("SQLite error {extended}");
    match extended & 0xff {
        5 | 6 => Failure::contended(table, &code),
        primary => Failure::refused(
            Cow::Owned(format!("({code}) on table {table}")),
            remedy(primary).to_owned(),
        ),
    }
}

/// SQLite knows no users, and one code for everything that is wrong with a statement: here, where
/// the statements are known to be right, a table or column that does not exist.
pub(crate) fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    const ERROR: &str = "1";
    let code = error.as_database_error()?.code()?;
    (code == ERROR).then_some(Refusal::NotThere)
}

/// What to say of a database file that cannot be opened. Its path is no secret.
pub(crate) fn open_failure(error: &sqlx::Error, path: &Path) -> Failure {
    const CANNOT_OPEN: u32 = 14;
    let cannot_open = error
        .as_database_error()
        .and_then(|error| error.code())
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == CANNOT_OPEN);
    if !cannot_open {
        return failure(error, "sqlite_master");
    }
    let what = if path.exists() {
        "cannot be opened"
    } else {
        "does not exist"
    };
    Failure::refused(
        Cow::Owned(format!(": the file {} {what}", path.display())),
        "check [database] connection and the rights on the file, or run \
         `cinder-manage db sync`"
            .to_owned(),
    )
}

fn remedy(primary: u32) -> &'static str {
    match primary {
        1 => {
            "check that [database] connection names Cinder's own database, and run \
             `cinder-manage db sync`"
        }
        3 | 8 | 14 | 23 => {
            "give the user that this program runs as the right to write the database file and \
             its folder"
        }
        10 | 13 => "look at the file system of the database file: it is full or failing",
        11 | 26 => "the file is no intact SQLite database: check [database] connection",
        _ => "look up the error number at https://www.sqlite.org/rescode.html",
    }
}

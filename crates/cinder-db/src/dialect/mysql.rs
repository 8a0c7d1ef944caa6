//! MariaDB and MySQL.
//!
//! Cinder's tables have a collation that folds case and accents and ignores trailing blanks
//! (`utf8mb3_general_ci`), so a comparison by it finds too much. The collated comparison stays, as
//! it is what the index on `(deleted, host)` serves, and one of the bytes stands beside it. (Only
//! `host = BINARY ?`, which Cinder writes, reads every row of the table on MariaDB 10.11.)

use std::borrow::Cow;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};

use super::Refusal;
use crate::connection::{Charset, MySqlTarget};
use crate::failure::Failure;
use crate::statement::Statement;

use secrecy::ExposeSecret;

pub(crate) const NOW: &str = "UTC_TIMESTAMP()";

/// Plain `SET` statements, which ProxySQL tracks for each client. Where the server has
/// `autocommit = 0`, a read would leave a transaction open, whose lock on the table keeps
/// `cinder-manage db sync` waiting while the connection rests. READ COMMITTED keeps no lock on rows
/// that do not match and takes no gap locks, so Cinder's inserts are not blocked.
const SESSION_SETTINGS: [&str; 3] = [
    "SET autocommit = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 5",
];

/// Reads wait for the cluster's other writes (`wsrep_sync_wait`, a bit mask: 1 is for reads).
pub(crate) const SYNC_WITH_CLUSTER: &str = "SET SESSION wsrep_sync_wait = 1";
/// The server's own setting again.
pub(crate) const READ_AS_IT_IS: &str = "SET SESSION wsrep_sync_wait = DEFAULT";

/// Not the backslash, which string literals would treat on their own.
const LIKE_ESCAPE: char = '|';

/// Opens a connection whose session differs from Cinder's own in nothing that is not needed.
pub(crate) async fn connect(target: &MySqlTarget) -> sqlx::Result<MySqlConnection> {
    let mut connection = options(target).connect().await?;
    for setting in SESSION_SETTINGS {
        sqlx::raw_sql(setting).execute(&mut connection).await?;
    }
    Ok(connection)
}

fn options(target: &MySqlTarget) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .host(&target.host)
        .port(target.port)
        .username(&target.username)
        .database(&target.database)
        .charset(match target.charset {
            Charset::Utf8 => "utf8",
            Charset::Utf8mb4 => "utf8mb4",
        })
        .ssl_mode(target.tls.mode)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging();
    if let Some(password) = &target.password {
        options = options.password(password.expose_secret());
    }
    if let Some(path) = &target.unix_socket {
        options = options.socket(path);
    }
    if let Some(path) = &target.tls.authorities {
        options = options.ssl_ca(path);
    }
    if let Some(client) = &target.tls.client {
        options = options
            .ssl_client_cert(&client.certificate)
            .ssl_client_key(&client.key);
    }
    options
}

pub(crate) fn seconds_ago(seconds: u64) -> String {
    format!("UTC_TIMESTAMP() - INTERVAL {seconds} SECOND")
}

pub(crate) fn seconds_since(column: &str) -> String {
    format!("TIMESTAMPDIFF(SECOND, {column}, UTC_TIMESTAMP())")
}

pub(crate) fn exactly(statement: &mut Statement, column: &str, value: &str) {
    statement.push("(").push(column).push(" = ").bind(value);
    statement.push(" AND ");
    same_bytes(statement, column, value);
    statement.push(")");
}

pub(crate) fn exactly_or_pool_of(statement: &mut Statement, column: &str, name: &str) {
    let pools = format!("{}#%", super::like_literally(name, LIKE_ESCAPE));
    statement.push("((").push(column).push(" = ").bind(name);
    statement
        .push(" OR ")
        .push(column)
        .push(" LIKE ")
        .bind(&*pools);
    statement.push(" ESCAPE '|') AND (");
    same_bytes(statement, column, name);
    statement.push(" OR ").push(&bytes_of(column));
    statement.push(" LIKE CAST(").bind(&*pools);
    statement.push(" AS BINARY) ESCAPE '|'))");
}

pub(crate) fn without_pool(column: &str) -> String {
    format!("SUBSTRING_INDEX({column}, '#', 1)")
}

pub(crate) fn bytes_of(expression: &str) -> String {
    format!("CAST({expression} AS BINARY)")
}

/// By a checksum: MariaDB takes three times as long for a group of text, as for each row it looks
/// the text up in a table that it makes; by a number it takes hardly longer than to count. Names
/// whose checksums agree are told as one, and counted right all the same.
pub(crate) fn grouped_by_text(columns: &[&str]) -> String {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| format!("IFNULL({column}, '|')"))
        .collect();
    format!("CRC32(CONCAT_WS('|', {}))", columns.join(", "))
}

fn same_bytes(statement: &mut Statement, column: &str, value: &str) {
    statement
        .push(&bytes_of(column))
        .push(" = CAST(")
        .bind(value);
    statement.push(" AS BINARY)");
}

/// Error numbers: <https://mariadb.com/kb/en/mariadb-error-codes/>; those from 9001 on are
/// ProxySQL's. The server's own text is left out: it may name users and hosts.
pub(crate) fn failure(error: &sqlx::Error, table: &str) -> Failure {
    let Some(number) = number(error) else {
        return Failure::of_connection(error);
    };
    let code = format!("error {number}");
    match number {
        // Also: no room for further locks, and a table that was altered under the transaction.
        1020 | 1205 | 1206 | 1213 | 1412 => Failure::contended(table, &code),
        // Query interrupted, killed or resting connection, server going down, Galera node not
        // ready, the server's own view of a lost connection; and prepared statements that the
        // server, or another one behind a proxy, does not know any more.
        1047
        | 1053
        | 1079
        | 1158..=1161
        | 1184
        | 1243
        | 1317
        | 1615
        | 1927
        | 2002
        | 2003
        | 2006
        | 2013
        | 3032
        | 4031 => Failure::broken(&code),
        1040 | 1129 | 1203 | 1226 | 9001..=9999 => Failure::Unreachable(crate::failure::fault(
            format!("Cinder's database takes no further connection ({code})"),
            "raise max_connections of the database, or look at the proxy in front of it",
        )),
        _ => Failure::refused(
            Cow::Owned(format!("({code}) on table {table}")),
            remedy(number, table),
        ),
    }
}

/// The server was built without Galera: MySQL, and some builds of MariaDB.
pub(crate) fn is_unknown_variable(error: &sqlx::Error) -> bool {
    const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
    number(error) == Some(UNKNOWN_SYSTEM_VARIABLE)
}

pub(crate) fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    match number(error)? {
        1142 | 1143 => Some(Refusal::NotAllowed),
        1054 | 1146 => Some(Refusal::NotThere),
        _ => None,
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

fn remedy(number: u16, table: &str) -> String {
    match number {
        1045 | 1130 | 1251 | 1524 | 1698 => {
            "check user, password and host in [database] connection; an account that \
             requires a certificate needs ssl_cert and ssl_key there"
                .to_owned()
        }
        1044 | 1049 => "check the database's name in [database] connection, and \
                        that its user may use that database"
            .to_owned(),
        1142 | 1143 => format!(
            "GRANT SELECT, UPDATE (encryption_key_id, updated_at) ON {table} TO the user in \
             [database] connection"
        ),
        1054 | 1146 => "check that [database] connection names Cinder's own database, and run \
                        `cinder-manage db sync`"
            .to_owned(),
        1969 | 3024 => {
            "raise max_statement_time (MySQL: max_execution_time) for the user in [database] \
             connection: counting reads whole tables, which takes seconds where they are large"
                .to_owned()
        }
        1290 | 1792 | 1836 => {
            "the database is read-only: let [database] connection name the writer".to_owned()
        }
        _ => "look up the error number in the documentation of MariaDB or MySQL, and the server's \
              log"
        .to_owned(),
    }
}

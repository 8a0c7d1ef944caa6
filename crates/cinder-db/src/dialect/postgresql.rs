//! PostgreSQL, also behind PgBouncer. `deleted` is a boolean there, and text is compared byte for
//! byte.

use std::borrow::Cow;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row as _};

use super::Refusal;
use crate::connection::PostgresTarget;
use crate::failure::Failure;
use crate::statement::Statement;

/// Nothing of a session survives a transaction where PgBouncer pools them, so each brings its own
/// settings along. In READ COMMITTED a row that was waited for is compared anew.
pub(crate) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'";

/// A statement is prepared, then executed. What comes in between is only kept together by a
/// transaction.
pub(crate) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";

pub(crate) const NOW: &str = "(clock_timestamp() AT TIME ZONE 'UTC')";

/// Not the backslash, which string literals may treat on their own.
const LIKE_ESCAPE: char = '|';

/// The first server that answers, and takes changes where that is asked for.
pub(crate) async fn connect(target: &PostgresTarget) -> sqlx::Result<PgConnection> {
    let mut failed = None;
    for options in options(target) {
        let connected = async {
            let mut connection = options.connect().await?;
            if target.must_write {
                let sql = "SHOW transaction_read_only";
                let row = sqlx::raw_sql(sql).fetch_one(&mut connection).await?;
                if row.try_get::<String, _>(0)? == "on" {
                    return Err(sqlx::Error::Io(
                        std::io::ErrorKind::ReadOnlyFilesystem.into(),
                    ));
                }
            }
            Ok(connection)
        };
        match connected.await {
            Ok(connection) => return Ok(connection),
            Err(error) => failed.get_or_insert(error),
        };
    }
    Err(failed.unwrap_or(sqlx::Error::WorkerCrashed))
}

/// One for each server. PgBouncer refuses a session that asks for `extra_float_digits`.
fn options(target: &PostgresTarget) -> impl Iterator<Item = PgConnectOptions> {
    target.hosts.iter().map(|host| {
        let mut options = PgConnectOptions::new_without_pgpass()
            .database(&target.database)
            .extra_float_digits(None)
            .disable_statement_logging();
        if let Some(name) = &host.name {
            options = options.host(name);
        }
        if let Some(port) = host.port {
            options = options.port(port);
        }
        if let Some(username) = &target.username {
            options = options.username(username);
        }
        if let Some(mode) = target.tls.mode {
            options = options.ssl_mode(mode);
        }
        if let Some(path) = &target.tls.authorities {
            options = options.ssl_root_cert(path);
        }
        if let Some(client) = &target.tls.client {
            options = options
                .ssl_client_cert(&client.certificate)
                .ssl_client_key(&client.key);
        }
        if !target.settings.is_empty() {
            options = options.options(target.settings.iter().map(|(name, value)| (name, value)));
        }
        match &target.password {
            Some(password) => options.password(password.expose_secret()),
            None => options,
        }
    })
}

pub(crate) fn seconds_ago(seconds: u64) -> String {
    format!("({NOW} - INTERVAL '{seconds} seconds')")
}

pub(crate) fn seconds_since(column: &str) -> String {
    format!("CAST(EXTRACT(EPOCH FROM {NOW} - {column}) AS BIGINT)")
}

pub(crate) fn exactly(statement: &mut Statement, column: &str, value: &str) {
    statement.push(column).push(" = ").bind(value);
}

pub(crate) fn exactly_or_pool_of(statement: &mut Statement, column: &str, name: &str) {
    statement.push("(").push(column).push(" = ").bind(name);
    statement.push(" OR ").push(column).push(" LIKE ");
    statement.bind(format!("{}#%", super::like_literally(name, LIKE_ESCAPE)));
    statement.push(" ESCAPE '|')");
}

pub(crate) fn without_pool(column: &str) -> String {
    format!("SPLIT_PART({column}, '#', 1)")
}

/// `SQLSTATE`: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. The server's own
/// text is left out: it may name users and hosts.
pub(crate) fn failure(error: &sqlx::Error, table: &str) -> Failure {
    let state = error.as_database_error().and_then(|error| error.code());
    let Some(state) = state else {
        return Failure::of_connection(error);
    };
    let code = format!("SQLSTATE {state}");
    match &*state {
        // Serialization, deadlock, lock_timeout.
        "40001" | "40P01" | "55P03" => Failure::contended(table, &code),
        // The server goes down or starts, a resting transaction was ended, or what was prepared is
        // not there: the connection behind a pooler is another one.
        "25P03" | "26000" | "42P05" | "57P01" | "57P02" | "57P03" | "57P05" => {
            Failure::broken(&code)
        }
        state if state.starts_with("08") => Failure::broken(&code),
        "53300" | "53400" => Failure::Unreachable(crate::failure::fault(
            format!("Cinder's database takes no further connection ({code})"),
            "raise max_connections of the database, or look at the pooler in front of it",
        )),
        state => Failure::refused(
            Cow::Owned(format!("({code}) on table {table}")),
            remedy(state, table),
        ),
    }
}

pub(crate) fn refusal(error: &sqlx::Error) -> Option<Refusal> {
    match &*error.as_database_error()?.code()? {
        "42501" => Some(Refusal::NotAllowed),
        "42703" | "42P01" => Some(Refusal::NotThere),
        _ => None,
    }
}

fn remedy(state: &str, table: &str) -> String {
    match state {
        "28000" | "28P01" => "check user, password and host in [database] connection, and the \
             server's pg_hba.conf; an account that signs in by certificate needs sslcert and sslkey"
            .to_owned(),
        "3D000" => "check the database's name in [database] connection".to_owned(),
        "42501" => format!(
            "GRANT SELECT, UPDATE (encryption_key_id, updated_at) ON {table} TO the user in \
             [database] connection"
        ),
        "3F000" | "42703" | "42P01" => {
            "check that [database] connection names Cinder's own database, and run \
             `cinder-manage db sync`"
                .to_owned()
        }
        "57014" => "raise statement_timeout for the user in [database] connection: counting reads \
                    whole tables, which takes seconds where they are large"
            .to_owned(),
        "25006" => "the database is read-only: let [database] connection name the primary, or add \
                    target_session_attrs=read-write to it"
            .to_owned(),
        _ => "look up the SQLSTATE in the documentation of PostgreSQL, and the server's log"
            .to_owned(),
    }
}

//! Connections, and a small pool of them.
//!
//! Not sqlx's own pool: that one repeats a refused connection until its deadline and then reports
//! only that time ran out, and logs by itself what goes wrong while a session is set up. Here the
//! cause arrives as it is, and a connection goes back to the pool only when its owner says that
//! nothing is under way on it: one that is dropped, also by a timeout or a cancelled task, is
//! closed, and the server rolls back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::connection::Target;
use crate::dialect::{Dialect, Refusal, mysql, postgresql, sqlite};
use crate::failure::Failure;
use crate::statement::Statement;

/// One database connection answers some sixty times as many keys as a core of Barbican, so few are
/// enough.
const MAX_CONNECTIONS: usize = 8;
/// A connection that rested longer is tried out before it is used.
const TRUSTED_REST: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to one database, made when they are needed.
pub(crate) struct Pool {
    pub(crate) target: Target,
    permits: Semaphore,
    idle: Mutex<Vec<(Session, Instant)>>,
}

/// A connection on loan. Dropping it closes it.
pub(crate) struct Lease<'p> {
    pub(crate) session: Session,
    pool: &'p Pool,
    _permit: SemaphorePermit<'p>,
}

/// One connection.
pub(crate) struct Session {
    connection: Connection,
    /// Whether its next user would find it as it was when it was new.
    clean: bool,
    in_transaction: bool,
}

enum Connection {
    MySql(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// What a database says to a statement that it need not carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It would carry it out.
    Taken,
    /// The user may not.
    NotAllowed,
    /// A table or column of it does not exist.
    NotThere,
}

/// One row of a result.
pub(crate) enum Row {
    MySql(MySqlRow),
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Pool {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            permits: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::default(),
        }
    }

    /// A connection that answers, new if need be.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>, Failure> {
        let permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let session = match self.rested().await {
            Some(session) => session,
            None => self.connect().await?,
        };
        Ok(Lease {
            session,
            pool: self,
            _permit: permit,
        })
    }

    /// The connection that was used last, if it still answers; if not, its elders will not either.
    async fn rested(&self) -> Option<Session> {
        let (mut session, since) = self.idle().pop()?;
        if since.elapsed() < TRUSTED_REST {
            return Some(session);
        }
        if let Ok(true) = timeout(PING_TIMEOUT, session.answers()).await {
            return Some(session);
        }
        self.idle().clear();
        None
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let connection = async {
            match &self.target {
                Target::MySql(target) => mysql::connect(target)
                    .await
                    .map(Connection::MySql)
                    .map_err(|error| mysql::failure(&error, "(none yet)")),
                Target::Postgres(target) => postgresql::connect(target)
                    .await
                    .map(Connection::Postgres)
                    .map_err(|error| postgresql::failure(&error, "(none yet)")),
                Target::Sqlite(path) => sqlite::connect(path)
                    .await
                    .map(Connection::Sqlite)
                    .map_err(|error| sqlite::open_failure(&error, path)),
            }
        };
        match timeout(CONNECT_TIMEOUT, connection).await {
            Ok(Ok(connection)) => Ok(Session::new(connection)),
            Ok(Err(failure)) => Err(failure.while_connecting()),
            Err(_) => Err(Failure::timed_out("signing in", CONNECT_TIMEOUT.as_secs())),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Session, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Ends the loan with what came of it. Others may have the connection unless it broke, or is
    /// still in the middle of something.
    pub(crate) fn settle<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let broken = matches!(done, Err(Failure::Broken(_) | Failure::Unreachable(_)));
        if self.session.clean && !broken {
            self.pool.idle().push((self.session, Instant::now()));
        }
        done
    }
}

/// The same body for each kind of connection, with its own types.
macro_rules! on_each {
    ($session:expr, $connection:ident => $body:expr) => {
        match &mut $session.connection {
            Connection::MySql($connection) => $body,
            Connection::Postgres($connection) => $body,
            Connection::Sqlite($connection) => $body,
        }
    };
}

/// A statement with its values, as sqlx wants it for the database at hand. Behind PgBouncer another
/// client's statement may have the name that ours had, so there none is kept under a name.
macro_rules! query {
    ($statement:expr) => {
        $statement.values().iter().fold(
            sqlx::query(AssertSqlSafe($statement.sql()))
                .persistent($statement.dialect() != Dialect::Postgres),
            |query, value| query.bind(value.as_str()),
        )
    };
}

impl Session {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            clean: true,
            in_transaction: false,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::MySql(_) => Dialect::MySql,
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The rows that a statement finds. It must bound their number itself.
    pub(crate) async fn rows(&mut self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        if self.in_transaction || self.dialect() != Dialect::Postgres {
            return self.found(statement).await;
        }
        self.clean = false;
        self.command(postgresql::BEGIN_READING, statement.table())
            .await?;
        let found = self.found(statement).await;
        let broken = matches!(found, Err(Failure::Broken(_) | Failure::Unreachable(_)));
        if !broken {
            self.roll_back(statement.table()).await?;
        }
        found
    }

    async fn found(&mut self, statement: &Statement) -> Result<Vec<Row>, Failure> {
        let rows = self.fetched(statement).await;
        rows.map_err(|error| self.dialect().failure(&error, statement.table()))
    }

    async fn fetched(&mut self, statement: &Statement) -> sqlx::Result<Vec<Row>> {
        on_each!(self, connection => {
            let rows = query!(statement).fetch_all(connection).await;
            rows.map(|rows| rows.into_iter().map(Row::from).collect())
        })
    }

    /// Whether the database would carry out a statement that reads, or explains what another one
    /// would do; nothing is changed.
    pub(crate) async fn would_take(&mut self, statement: &Statement) -> Result<Verdict, Failure> {
        let pooled = self.dialect() == Dialect::Postgres;
        if pooled {
            self.clean = false;
            self.command(postgresql::BEGIN_READING, statement.table())
                .await?;
        }
        let verdict = match self.fetched(statement).await {
            Ok(_) => Verdict::Taken,
            Err(error) => match self.dialect().refusal(&error) {
                Some(Refusal::NotAllowed) => Verdict::NotAllowed,
                Some(Refusal::NotThere) => Verdict::NotThere,
                None => return Err(self.dialect().failure(&error, statement.table())),
            },
        };
        if pooled {
            self.roll_back(statement.table()).await?;
        }
        Ok(verdict)
    }

    /// How many rows a statement that writes has matched.
    pub(crate) async fn write(&mut self, statement: &Statement) -> Result<u64, Failure> {
        let matched = on_each!(self, connection => {
            let done = query!(statement).execute(connection).await;
            done.map(|done| done.rows_affected())
        });
        matched.map_err(|error| self.dialect().failure(&error, statement.table()))
    }

    /// Begins a transaction that will write to the table.
    pub(crate) async fn begin(&mut self, table: &str) -> Result<(), Failure> {
        self.clean = false;
        self.command(self.dialect().begin(), table).await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Commits. Unless it was refused for others' locks, a failure leaves it open whether the
    /// commit took effect.
    pub(crate) async fn commit(&mut self, table: &str) -> Result<(), Failure> {
        let committed = self.command("COMMIT", table).await;
        committed.map_err(Failure::while_committing)?;
        self.in_transaction = false;
        self.clean = true;
        Ok(())
    }

    /// Takes back what the transaction did, and frees its locks now rather than when the server
    /// notices that the connection is gone.
    pub(crate) async fn roll_back(&mut self, table: &str) -> Result<(), Failure> {
        self.command("ROLLBACK", table).await?;
        self.in_transaction = false;
        self.clean = true;
        Ok(())
    }

    /// Lets the reads up to [`Self::leave_cluster_view`] wait until this node of a Galera cluster
    /// has applied what the others committed before. Elsewhere it does nothing.
    pub(crate) async fn enter_cluster_view(&mut self) -> Result<(), Failure> {
        if self.dialect() == Dialect::MySql {
            self.clean = false;
            self.set_if_known(mysql::SYNC_WITH_CLUSTER).await?;
        }
        Ok(())
    }

    /// Ends what [`Self::enter_cluster_view`] began.
    pub(crate) async fn leave_cluster_view(&mut self) -> Result<(), Failure> {
        if self.dialect() == Dialect::MySql {
            self.clean = false;
            self.set_if_known(mysql::READ_AS_IT_IS).await?;
            self.clean = true;
        }
        Ok(())
    }

    async fn set_if_known(&mut self, setting: &'static str) -> Result<(), Failure> {
        match self.run(setting).await {
            Err(error) if mysql::is_unknown_variable(&error) => Ok(()),
            done => done.map_err(|error| self.dialect().failure(&error, "(none)")),
        }
    }

    async fn command(&mut self, sql: &'static str, table: &str) -> Result<(), Failure> {
        let done = self.run(sql).await;
        done.map_err(|error| self.dialect().failure(&error, table))
    }

    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        on_each!(self, connection => sqlx::raw_sql(sql).execute(connection).await.map(drop))
    }

    async fn answers(&mut self) -> bool {
        on_each!(self, connection => connection.ping().await.is_ok())
    }
}

impl From<MySqlRow> for Row {
    fn from(row: MySqlRow) -> Self {
        Self::MySql(row)
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self::Postgres(row)
    }
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self::Sqlite(row)
    }
}

impl Row {
    /// The text in this column, counted from 0.
    pub(crate) fn text(&self, column: usize) -> Result<Option<String>, Failure> {
        let text = match self {
            Self::MySql(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        };
        text.map_err(|error| Failure::of_connection(&error))
    }

    /// The number in this column, counted from 0, and 0 for a negative one.
    pub(crate) fn count(&self, column: usize) -> Result<u64, Failure> {
        Ok(self.count_if_any(column)?.unwrap_or_default())
    }

    /// As [`Self::count`], or `None` for NULL.
    pub(crate) fn count_if_any(&self, column: usize) -> Result<Option<u64>, Failure> {
        let count: sqlx::Result<Option<i64>> = match self {
            Self::MySql(row) => row.try_get(column),
            // A constant is a shorter number than a count there.
            Self::Postgres(row) => row.try_get(column).or_else(|_| {
                let count: Option<i32> = row.try_get(column)?;
                Ok(count.map(i64::from))
            }),
            Self::Sqlite(row) => row.try_get(column),
        };
        let count = count.map_err(|error| Failure::of_connection(&error))?;
        Ok(count.map(|count| u64::try_from(count).unwrap_or_default()))
    }
}

//! Writes what happened, and what follows from it, in the transaction that is open.

use jiff::Timestamp;
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretId};
use key_migration::ledger::{Entry, Event};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

/// One row of one keeper, and the connection to write about it.
pub(crate) struct Record<'a> {
    pub(crate) connection: &'a mut SqliteConnection,
    pub(crate) keeper: i64,
    pub(crate) row: &'a RowRef,
}

/// The number under which the keeper's entries are kept.
pub(crate) async fn keeper_number(
    connection: &mut SqliteConnection,
    identity: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query("INSERT OR IGNORE INTO keepers (identity) VALUES (?)")
        .bind(identity)
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT id FROM keepers WHERE identity = ?")
        .bind(identity)
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// Every secret of this kind was listed and accounted for.
pub(crate) async fn listed(
    connection: &mut SqliteConnection,
    keeper: i64,
    kind: ResourceKind,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO events (at, keeper, kind, event) VALUES (?, ?, ?, 'listed')")
        .bind(at.to_string())
        .bind(keeper)
        .bind(kind.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT OR IGNORE INTO listed (keeper, kind) VALUES (?, ?)")
        .bind(keeper)
        .bind(kind.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// What was written while another file stood here is not known: no listing holds any more.
pub(crate) async fn distrust(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM listed")
        .execute(connection)
        .await?;
    Ok(())
}

impl Record<'_> {
    /// A secret is about to be stored for the row. An intent that is open already is asked for
    /// anew: what was stored under it is one of those before. Says which secrets were the row's
    /// before, latest first.
    pub(crate) async fn intend(
        &mut self,
        request: RequestId,
        at: Timestamp,
    ) -> Result<Vec<SecretId>, sqlx::Error> {
        let seq = self.event("intended", at, request, None, None).await?;
        let intent = "INSERT INTO intents (keeper, kind, row_id, since, seq, request_id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT DO UPDATE SET since = ?4, seq = ?5, request_id = ?6, secret_id = NULL";
        self.execute(
            self.about(intent)
                .bind(at.to_string())
                .bind(seq)
                .bind(request.to_string()),
        )
        .await?;
        let held = "SELECT secret_id FROM secrets
            WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3 AND NOT superseded ORDER BY seq DESC";
        let held = self.about(held);
        let rows = held.fetch_all(&mut *self.connection).await?;
        rows.iter()
            .map(|row| crate::recall::secret(row, "secret_id"))
            .collect()
    }

    /// Something became of the row, its intent or one of its secrets.
    pub(crate) async fn note(&mut self, entry: &Entry, at: Timestamp) -> Result<(), sqlx::Error> {
        let request = entry.request;
        let (name, secret, snapshots) = parts(&entry.event);
        let seq = self.event(name, at, request, secret, snapshots).await?;
        match entry.event {
            Event::Unanswered => Ok(()),
            Event::Stored(secret) | Event::Found(secret) => {
                self.hold(secret, seq, None).await?;
                let name = "UPDATE intents SET secret_id = coalesce(secret_id, ?4)
                    WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3";
                self.execute(self.about(name).bind(secret.to_string()))
                    .await
            }
            Event::Switched { secret, .. } => {
                self.hold(secret, seq, Some(seq)).await?;
                self.close().await
            }
            Event::NotStored | Event::Lost => self.close().await,
            Event::GivenUp => self.give_up(seq, at).await,
            Event::LookedAgain => {
                let looked = "DELETE FROM second_looks
                    WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3";
                self.execute(self.about(looked)).await
            }
            Event::Deleted(secret) | Event::Gone(secret) => {
                let void = "DELETE FROM secrets
                    WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3 AND secret_id = ?4";
                self.execute(self.about(void).bind(secret.to_string()))
                    .await?;
                self.unname(secret).await
            }
            Event::Superseded(secret) => {
                let supersede = "INSERT INTO secrets
                        (keeper, kind, row_id, secret_id, superseded, seq)
                    VALUES (?1, ?2, ?3, ?4, 1, ?5)
                    ON CONFLICT DO UPDATE SET superseded = 1, seq = ?5, switched = NULL";
                self.execute(self.about(supersede).bind(secret.to_string()).bind(seq))
                    .await?;
                self.unname(secret).await
            }
        }
    }

    /// The row may use this secret, or does since it was switched.
    async fn hold(
        &mut self,
        secret: SecretId,
        seq: i64,
        switched: Option<i64>,
    ) -> Result<(), sqlx::Error> {
        let hold = "INSERT INTO secrets
                (keeper, kind, row_id, secret_id, superseded, seq, switched)
            VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
            ON CONFLICT DO UPDATE SET superseded = 0, seq = ?5,
                switched = coalesce(?6, switched)";
        self.execute(
            self.about(hold)
                .bind(secret.to_string())
                .bind(seq)
                .bind(switched),
        )
        .await
    }

    async fn give_up(&mut self, seq: i64, at: Timestamp) -> Result<(), sqlx::Error> {
        let look = "INSERT INTO second_looks (keeper, kind, row_id, since, seq)
            VALUES (?1, ?2, ?3, coalesce((SELECT since FROM intents
                WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3), ?4), ?5)
            ON CONFLICT DO UPDATE SET since = excluded.since, seq = excluded.seq";
        self.execute(self.about(look).bind(at.to_string()).bind(seq))
            .await?;
        let close = "DELETE FROM intents
            WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3 AND secret_id IS NULL";
        self.execute(self.about(close)).await
    }

    async fn close(&mut self) -> Result<(), sqlx::Error> {
        let close = "DELETE FROM intents WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3";
        self.execute(self.about(close)).await
    }

    /// The open intent does not lead to this secret any more.
    async fn unname(&mut self, secret: SecretId) -> Result<(), sqlx::Error> {
        let unname = "UPDATE intents SET secret_id = NULL
            WHERE keeper = ?1 AND kind = ?2 AND row_id = ?3 AND secret_id = ?4";
        self.execute(self.about(unname).bind(secret.to_string()))
            .await
    }

    /// Adds to the record; says the number of the event.
    async fn event(
        &mut self,
        name: &'static str,
        at: Timestamp,
        request: RequestId,
        secret: Option<SecretId>,
        snapshots: Option<i64>,
    ) -> Result<i64, sqlx::Error> {
        let event = "INSERT INTO events
                (keeper, kind, row_id, at, event, request_id, secret_id, snapshots)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let event = self
            .about(event)
            .bind(at.to_string())
            .bind(name)
            .bind(request.to_string())
            .bind(secret.map(|secret| secret.to_string()))
            .bind(snapshots);
        let added = event.execute(&mut *self.connection).await?;
        Ok(added.last_insert_rowid())
    }

    /// A statement about the row, which is its first three parameters.
    fn about(&self, sql: &'static str) -> Query {
        sqlx::query(sql)
            .bind(self.keeper)
            .bind(self.row.kind.as_str())
            .bind(self.row.id.as_str().to_owned())
    }

    async fn execute(&mut self, query: Query) -> Result<(), sqlx::Error> {
        query.execute(&mut *self.connection).await?;
        Ok(())
    }
}

type Query = sqlx::query::Query<'static, sqlx::Sqlite, SqliteArguments>;

/// What the record says of an event: its name, the secret, the snapshots that moved.
fn parts(event: &Event) -> (&'static str, Option<SecretId>, Option<i64>) {
    match *event {
        Event::Stored(secret) => ("stored", Some(secret), None),
        Event::Unanswered => ("unanswered", None, None),
        Event::Found(secret) => ("found", Some(secret), None),
        Event::NotStored => ("not_stored", None, None),
        Event::GivenUp => ("given_up", None, None),
        Event::LookedAgain => ("looked_again", None, None),
        Event::Switched { secret, snapshots } => {
            let snapshots = i64::try_from(snapshots).unwrap_or(i64::MAX);
            ("switched", Some(secret), Some(snapshots))
        }
        Event::Lost => ("lost", None, None),
        Event::Deleted(secret) => ("deleted", Some(secret), None),
        Event::Gone(secret) => ("gone", Some(secret), None),
        Event::Superseded(secret) => ("superseded", Some(secret), None),
    }
}

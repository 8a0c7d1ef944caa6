//! Reads what is recorded and needs something. What needs nothing is not read.

use jiff::Timestamp;
use key_migration::ids::{ResourceKind, RowRef, SecretId};
use key_migration::ledger::{OpenIntent, Recollection};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

/// What is recorded for rows of these kinds, of one keeper.
pub(crate) async fn recall(
    connection: &mut SqliteConnection,
    keeper: &str,
    kinds: &[ResourceKind],
) -> Result<Recollection, sqlx::Error> {
    let mut found = Recollection::default();
    let Some(keeper) = known_keeper(connection, keeper).await? else {
        return Ok(found);
    };
    let mut open = Vec::new();
    let mut superseded = Vec::new();
    let mut second_looks = Vec::new();
    let mut samples = Vec::new();
    for &kind in kinds {
        let mut about = About {
            connection: &mut *connection,
            keeper,
            kind,
        };
        if !about.read("SELECT kind FROM listed", "").await?.is_empty() {
            found.listed.push(kind);
        }
        open.extend(about.open_intents().await?);
        superseded.extend(about.superseded().await?);
        second_looks.extend(about.second_looks().await?);
        samples.extend(about.sample().await?);
    }
    found.open = in_order(open);
    found.superseded = in_order(superseded);
    found.second_looks = in_order(second_looks);
    found.sample = in_order(samples).pop();
    Ok(found)
}

/// Every open intent, of one keeper or of all, oldest first.
pub(crate) async fn open_intents(
    connection: &mut SqliteConnection,
    keeper: Option<&str>,
) -> Result<Vec<OpenIntent>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT intents.seq, kind, row_id, since, secret_id
         FROM intents JOIN keepers ON keepers.id = intents.keeper
         WHERE ?1 IS NULL OR identity = ?1",
    )
    .bind(keeper)
    .fetch_all(connection)
    .await?;
    let intents = rows
        .iter()
        .map(|row| Ok((row.try_get("seq")?, intent(row, kind(row)?)?)));
    intents.collect::<Result<_, _>>().map(in_order)
}

async fn known_keeper(
    connection: &mut SqliteConnection,
    identity: &str,
) -> Result<Option<i64>, sqlx::Error> {
    let keeper = sqlx::query("SELECT id FROM keepers WHERE identity = ?")
        .bind(identity)
        .fetch_optional(connection)
        .await?;
    keeper.map(|row| row.try_get(0)).transpose()
}

/// Something recorded, with the number of the event by which it is as it is.
type Numbered<T> = (i64, T);

fn in_order<T>(mut found: Vec<Numbered<T>>) -> Vec<T> {
    found.sort_by_key(|(seq, _)| *seq);
    found.into_iter().map(|(_, thing)| thing).collect()
}

/// One keeper's rows of one kind.
struct About<'a> {
    connection: &'a mut SqliteConnection,
    keeper: i64,
    kind: ResourceKind,
}

impl About<'_> {
    async fn open_intents(&mut self) -> Result<Vec<Numbered<OpenIntent>>, sqlx::Error> {
        let all = "SELECT seq, row_id, since, secret_id FROM intents";
        let rows = self.read(all, "").await?;
        let intents = rows
            .iter()
            .map(|row| Ok((row.try_get("seq")?, intent(row, self.kind)?)));
        intents.collect()
    }

    async fn superseded(&mut self) -> Result<Vec<Numbered<(RowRef, SecretId)>>, sqlx::Error> {
        let all = "SELECT seq, row_id, secret_id FROM secrets";
        let rows = self.read(all, "AND superseded").await?;
        rows.iter().map(|row| self.held(row)).collect()
    }

    async fn second_looks(&mut self) -> Result<Vec<Numbered<(RowRef, Timestamp)>>, sqlx::Error> {
        let rows = self
            .read("SELECT seq, row_id, since FROM second_looks", "")
            .await?;
        let looks = rows.iter().map(|row| {
            let look = (row_of(row, self.kind)?, since(row)?);
            Ok((row.try_get("seq")?, look))
        });
        looks.collect()
    }

    /// The secret that was switched to last, unless something was recorded of it since.
    async fn sample(&mut self) -> Result<Vec<Numbered<(RowRef, SecretId)>>, sqlx::Error> {
        let last = "SELECT switched AS seq, row_id, secret_id FROM secrets";
        let last_first = "AND switched IS NOT NULL ORDER BY switched DESC LIMIT 1";
        let rows = self.read(last, last_first).await?;
        rows.iter().map(|row| self.held(row)).collect()
    }

    async fn read(
        &mut self,
        select: &'static str,
        further: &'static str,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let sql = format!("{select} WHERE keeper = ?1 AND kind = ?2 {further}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(self.keeper)
            .bind(self.kind.as_str())
            .fetch_all(&mut *self.connection)
            .await
    }

    fn held(&self, row: &SqliteRow) -> Result<Numbered<(RowRef, SecretId)>, sqlx::Error> {
        let held = (row_of(row, self.kind)?, secret(row, "secret_id")?);
        Ok((row.try_get("seq")?, held))
    }
}

fn intent(row: &SqliteRow, kind: ResourceKind) -> Result<OpenIntent, sqlx::Error> {
    let known: Option<&str> = row.try_get("secret_id")?;
    Ok(OpenIntent {
        row: row_of(row, kind)?,
        since: since(row)?,
        secret: known.map(|_| secret(row, "secret_id")).transpose()?,
    })
}

fn row_of(row: &SqliteRow, kind: ResourceKind) -> Result<RowRef, sqlx::Error> {
    let id: String = row.try_get("row_id")?;
    let id = id.into();
    Ok(RowRef { kind, id })
}

fn since(row: &SqliteRow) -> Result<Timestamp, sqlx::Error> {
    parse(row, "since", |text| text.parse().ok())
}

fn kind(row: &SqliteRow) -> Result<ResourceKind, sqlx::Error> {
    let kinds = [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ];
    parse(row, "kind", |text| {
        kinds.into_iter().find(|kind| kind.as_str() == text)
    })
}

/// The secret in this column.
pub(crate) fn secret(row: &SqliteRow, column: &'static str) -> Result<SecretId, sqlx::Error> {
    parse(row, column, |text| text.parse().ok())
}

/// Reads a column that this program wrote.
fn parse<T>(
    row: &SqliteRow,
    column: &'static str,
    meaning: impl FnOnce(&str) -> Option<T>,
) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    meaning(text).ok_or_else(|| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: "not as it was written".into(),
    })
}

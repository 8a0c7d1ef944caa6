//! The open ledger: the lock, the file, and one transaction at a time. The file system may take its
//! time to answer: nothing else happens on this thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use key_migration::ids::{RowRef, SecretId};
use key_migration::ledger::Recollection;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::faults::Trouble;
use crate::lock::Lock;
use crate::place::{self, Change, Files};
use crate::queue::{Order, Task};
use crate::record::{self, Record};
use crate::{recall, schema};

/// What a transaction says to one order of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Done,
    Secrets(Vec<SecretId>),
    Recollection(Recollection),
}

/// The ledger of one state directory, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Store {
    state_dir: PathBuf,
    lock: Option<Lock>,
    open: Option<Open>,
    /// Whether a file that others put here would be taken for the one that was lost.
    lost: bool,
    warned: bool,
}

#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    files: Files,
    /// Their numbers. A transaction that fails takes the connection, and so these, with it.
    keepers: HashMap<String, i64>,
}

impl Store {
    pub(crate) fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            lock: None,
            open: None,
            lost: false,
            warned: false,
        }
    }

    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Does all of this in one transaction; what is written is on disk then. After a failure
    /// nothing of it is done, except that a commit that failed may have taken effect.
    pub(crate) async fn transact(&mut self, batch: &[Order]) -> Result<Vec<Answer>, Trouble> {
        let result = match self.opened().await {
            Ok(open) => open.transact(batch).await,
            Err(trouble) => return Err(trouble),
        };
        if result.is_err() {
            // A connection on which something failed is not relied on any more.
            self.close_file().await;
        }
        result.map_err(|error| match &error {
            sqlx::Error::ColumnDecode { .. } => Trouble::Corrupted(error.to_string()),
            _ => Trouble::of_sqlite(&error, &self.state_dir),
        })
    }

    /// Writes what SQLite has still in its log to the file, and lets go of both and of the lock.
    pub(crate) async fn close(&mut self) {
        self.close_file().await;
        self.lock = None;
    }

    async fn close_file(&mut self) {
        if let Some(open) = self.open.take() {
            // What is committed is on disk already.
            let _ = open.connection.close().await;
        }
    }

    /// The file, which is the one at its path and no other process's.
    async fn opened(&mut self) -> Result<&mut Open, Trouble> {
        self.let_go_of_what_is_gone().await;
        if self.lock.is_none() {
            self.lock = Some(take_lock(&self.state_dir)?);
        }
        if self.open.is_none() {
            let open = self.open_file().await?;
            self.warn_if_volatile();
            self.lost = false;
            self.open = Some(open);
        }
        self.open.as_mut().ok_or(Trouble::Stopped)
    }

    /// Deleting a ledger, or the directory, is allowed at any time: another one is begun.
    async fn let_go_of_what_is_gone(&mut self) {
        let now = Files::of(&self.state_dir);
        let change = match &self.open {
            Some(open) => open.files.change_to(now),
            None => Change::None,
        };
        if change != Change::None {
            self.close_file().await;
        }
        if change == Change::Lost {
            self.lost = true;
            tracing::warn!(
                "The ledger in {} was taken away; another one is begun.",
                self.state_dir.display()
            );
        }
        let lock_stands = match &self.lock {
            Some(lock) => lock.is_in_force(&self.state_dir),
            None => true,
        };
        if !lock_stands {
            self.close().await;
        }
    }

    async fn open_file(&self) -> Result<Open, Trouble> {
        place::make_ledger(&self.state_dir)?;
        let failed = |error| Trouble::of_sqlite(&error, &self.state_dir);
        schema::finish_what_was_begun(&self.state_dir)
            .await
            .map_err(failed)?;
        let mut reader = schema::connect_to_read(&self.state_dir)
            .await
            .map_err(failed)?;
        let format = schema::examine(&mut reader, &self.state_dir).await;
        let _ = reader.close().await;
        let mut connection = schema::connect(&self.state_dir, format?)
            .await
            .map_err(failed)?;
        if self.lost {
            record::distrust(&mut connection).await.map_err(failed)?;
        }
        Ok(Open {
            connection,
            files: Files::of(&self.state_dir),
            keepers: HashMap::new(),
        })
    }

    fn warn_if_volatile(&mut self) {
        if !self.warned {
            self.warned = true;
            if let Some(warning) = place::volatility(&self.state_dir) {
                tracing::warn!("{warning}");
            }
        }
    }
}

fn take_lock(state_dir: &Path) -> Result<Lock, Trouble> {
    place::make_directory(state_dir)?;
    Lock::take(state_dir)
}

impl Open {
    async fn transact(&mut self, batch: &[Order]) -> Result<Vec<Answer>, sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut self.connection)
            .await?;
        let mut answers = Vec::with_capacity(batch.len());
        for order in batch {
            answers.push(self.carry_out(order).await?);
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(answers)
    }

    async fn carry_out(&mut self, order: &Order) -> Result<Answer, sqlx::Error> {
        let at = order.at;
        match &order.task {
            Task::Intend(row, request, _) => {
                let mut record = self.record(&order.keeper, row).await?;
                Ok(Answer::Secrets(record.intend(*request, at).await?))
            }
            Task::Note(entry) => {
                let mut record = self.record(&order.keeper, &entry.row).await?;
                record.note(entry, at).await?;
                Ok(Answer::Done)
            }
            Task::Listed(kind, _) => {
                let keeper = self.keeper_number(&order.keeper).await?;
                record::listed(&mut self.connection, keeper, *kind, at).await?;
                Ok(Answer::Done)
            }
            Task::Recall(kinds, _) => {
                let found = recall::recall(&mut self.connection, &order.keeper, kinds).await?;
                Ok(Answer::Recollection(found))
            }
            Task::Flush(_) => Ok(Answer::Done),
        }
    }

    async fn record<'a>(
        &'a mut self,
        keeper: &str,
        row: &'a RowRef,
    ) -> Result<Record<'a>, sqlx::Error> {
        Ok(Record {
            keeper: self.keeper_number(keeper).await?,
            connection: &mut self.connection,
            row,
        })
    }

    async fn keeper_number(&mut self, keeper: &str) -> Result<i64, sqlx::Error> {
        if let Some(number) = self.keepers.get(keeper) {
            return Ok(*number);
        }
        let number = record::keeper_number(&mut self.connection, keeper).await?;
        self.keepers.insert(keeper.to_owned(), number);
        Ok(number)
    }
}

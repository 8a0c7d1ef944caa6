//! `orphans list` and `orphans purge`: secrets that were stored for a row and that no row refers
//! to. What they are and which may go is the domain's matter; here it is asked for and printed.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use cinder_db::CinderDb;
use key_migration::ids::{RequestId, SecretId};
use key_migration::orphans::{self, Kept, OpenIntents, Orphan, PurgeError, Purged, UnderWay};
use key_migration::reasons::Fault;
use openstack_client::BarbicanKeyManager;

use self::report::{Entry, Outcome};
use super::{BESIDE, block_on, start_logging};
use crate::cli::{self, Purge};
use crate::exit::{FAILED, Failure};
use crate::settings::{self, Faults, Stores};

/// Does what the command line says.
pub(crate) fn run(command: cli::Orphans) -> Result<ExitCode, Failure> {
    let stores = settings::read_stores(&command.origin)?;
    let _logging = start_logging(&stores.records)?;
    block_on(async {
        let keeper = Keeper::new(stores)?;
        match command.purge {
            None => keeper.list(command.format).await,
            Some(purge) => keeper.purge(&purge, command.format).await,
        }
    })
}

/// Barbican and the database, side by side.
struct Keeper {
    keys: BarbicanKeyManager,
    rows: CinderDb,
    under_way: Ledger,
}

/// The ledger of this host's daemon, whoever has it open.
struct Ledger(PathBuf);

impl UnderWay for Ledger {
    async fn open(&self) -> Result<OpenIntents, Fault> {
        // Of all keepers: where secrets were kept before, something may be under way still.
        let mut open = migration_ledger::open_intents(&self.0, None).await?;
        // `migrate` keeps one of its own while a daemon has the other.
        let beside = self.0.join(BESIDE);
        open.extend(migration_ledger::open_intents(&beside, None).await?);
        Ok(open.into_iter().collect())
    }
}

impl Keeper {
    fn new(stores: Stores) -> Result<Self, Faults> {
        let config = stores.key_manager;
        let keys = BarbicanKeyManager::new(config.keystone, config.barbican, Arc::new(()));
        Ok(Self {
            keys: keys.map_err(Faults::one)?,
            rows: CinderDb::new(stores.records.connection),
            under_way: Ledger(stores.records.state_dir),
        })
    }

    async fn list(&self, format: cli::Format) -> Result<ExitCode, Failure> {
        let found = self.find_all().await?;
        report::print_list(&found, format);
        Ok(ExitCode::SUCCESS)
    }

    async fn find_all(&self) -> Result<Vec<Orphan>, Fault> {
        let open = self.under_way.open().await?;
        orphans::find_all(&self.keys, &self.rows, &open, RequestId::random()).await
    }

    /// What is to be purged, and what of it is refused already.
    async fn find(
        &self,
        named: &[SecretId],
    ) -> Result<Vec<(SecretId, Result<Orphan, Kept>)>, Fault> {
        if named.is_empty() {
            let found = self.find_all().await?.into_iter();
            return Ok(found.map(|orphan| (orphan.secret, Ok(orphan))).collect());
        }
        let open = self.under_way.open().await?;
        let request = RequestId::random();
        orphans::find_named(&self.keys, &self.rows, named, &open, request).await
    }

    async fn purge(&self, purge: &Purge, format: cli::Format) -> Result<ExitCode, Failure> {
        let mut entries = Vec::new();
        let mut ended = Ok(());
        for (secret, found) in self.find(&purge.named).await? {
            let outcome = match &found {
                Err(kept) => Outcome::Kept(*kept),
                Ok(_) if ended.is_err() => Outcome::NotTried,
                Ok(orphan) => self.purge_one(orphan, purge).await.unwrap_or_else(|fault| {
                    ended = Err(fault);
                    Outcome::NotTried
                }),
            };
            entries.push(Entry {
                secret,
                orphan: found.ok(),
                outcome,
            });
        }
        report::print_purge(&entries, purge.execute, format);
        ended?;
        Ok(exit_code(&entries, !purge.named.is_empty()))
    }

    async fn purge_one(&self, orphan: &Orphan, purge: &Purge) -> Result<Outcome, Fault> {
        let by_name = !purge.named.is_empty();
        if let Some(kept) = orphan.kept(by_name) {
            return Ok(Outcome::Kept(kept));
        }
        if !purge.execute {
            return Ok(Outcome::WouldBeDeleted);
        }
        let request = RequestId::random();
        let (keys, rows) = (&self.keys, &self.rows);
        let purged = orphans::purge(keys, rows, &self.under_way, orphan, by_name, request);
        match purged.await {
            Ok(Purged::Deleted) => Ok(Outcome::Deleted),
            Ok(Purged::Kept(kept)) => Ok(Outcome::Kept(kept)),
            Err(PurgeError::This(why)) => Ok(Outcome::Failed(why)),
            Err(PurgeError::Everything(fault)) => Err(fault),
        }
    }
}

/// What was not named need not be deleted.
fn exit_code(entries: &[Entry], named: bool) -> ExitCode {
    let any = |wanted: fn(&Outcome) -> bool| entries.iter().any(|entry| wanted(&entry.outcome));
    if any(|outcome| matches!(outcome, Outcome::Failed(_))) {
        return ExitCode::from(FAILED);
    }
    if named && any(|outcome| matches!(outcome, Outcome::Kept(_))) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! `fixed-key audit`: looks at everything, keeps what it saw, and prints the answer. What the
//! answer follows from is the domain's matter.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cinder_db::CinderDb;
use key_audit::ephemeral_disks::Cell;
use key_audit::evidence::{EvidenceError, EvidenceStore};
use key_audit::stores::Stores;
use key_audit::{ephemeral_disks, images, old_backups, trees, volume_image_metadata};
use key_migration::fixed_key::FixedKey;
use key_migration::inventory_fault;
use key_migration::ports::Clock as _;
use key_migration::reasons::{Fault, Reason};
use key_migration::verdict::{Attestation, Evidence, EvidenceBook, FixedKeyVerdict, Item, Verdict};
use openstack_client::{ConfigError, Glance, KeystoneSession};

use super::super::progress::Progress;
use super::super::verdict::evaluate;
use super::super::{block_on, start_logging};
use crate::cli::Audit;
use crate::clock::SecondsClock;
use crate::exit::Failure;
use crate::settings::{self, AuditConfig, Faults};

/// Does what the command line says.
pub(crate) fn run(command: Audit) -> Result<ExitCode, Failure> {
    let config = settings::read_audit(&command.origin, &command.nova_config_files)?;
    let _logging = start_logging(&config.records)?;
    for option in &config.options {
        tracing::debug!("{option}");
    }
    block_on(async {
        let auditor = Auditor::new(config)?;
        auditor.attest(&command)?;
        auditor.look_through(&command.trees)?;
        auditor.look().await?;
        let (verdict, book) = auditor.conclude().await?;
        report::print(&verdict, &book, command.format);
        Ok(match verdict.verdict {
            Verdict::Yes => ExitCode::SUCCESS,
            Verdict::No | Verdict::Unknown => ExitCode::FAILURE,
        })
    })
}

/// Everything that is looked at, and where what was seen is kept.
struct Auditor {
    rows: CinderDb,
    glance: Glance,
    stores: Stores,
    cells: Vec<Cell>,
    /// Where this host has it no more, trees are compared with each other.
    fixed_key: Option<Arc<FixedKey>>,
    kept: EvidenceStore,
    state_dir: PathBuf,
    service_down_time: Duration,
}

impl Auditor {
    fn new(config: AuditConfig) -> Result<Self, Faults> {
        let wrong = |error: ConfigError| Faults::one(error);
        let session = KeystoneSession::new(config.keystone, Arc::new(()));
        let session = Arc::new(session.map_err(wrong)?);
        let glance = Glance::new(Arc::clone(&session), config.glance, Arc::new(()));
        let stores = Stores::new(config.backups, session);
        let records = config.records;
        Ok(Self {
            rows: CinderDb::new(records.connection),
            glance: glance.map_err(wrong)?,
            stores: stores.map_err(wrong)?,
            cells: config.cells,
            fixed_key: config.fixed_key,
            kept: EvidenceStore::new(&records.state_dir),
            state_dir: records.state_dir,
            service_down_time: records.service_down_time,
        })
    }

    fn attest(&self, command: &Audit) -> Result<(), Fault> {
        let at = SecondsClock.now();
        for item in &command.attest {
            let Some(by) = command.attested_by.clone() else {
                return Err(Fault::new(
                    Reason::Configuration,
                    format!("nobody is known who answers for {}", item.as_str()),
                    "add --attested-by NAME",
                ));
            };
            let attestation = Attestation { by, at };
            let kept = self.kept.attest(*item, &attestation);
            kept.map_err(|error| not_kept(&error, &self.state_dir))?;
        }
        Ok(())
    }

    /// Without a tree, what was seen of trees before stays.
    fn look_through(&self, trees: &[PathBuf]) -> Result<(), Fault> {
        if trees.is_empty() {
            return Ok(());
        }
        let looked_at = SecondsClock.now();
        let seen = trees::look(trees, self.fixed_key.as_deref());
        self.keep(Item::Configuration, seen.evidence(looked_at))
    }

    /// Each item is kept as soon as it was looked at.
    async fn look(&self) -> Result<(), Fault> {
        let looked_at = SecondsClock.now();
        let mut progress = Progress::of("backups without a key in the row");
        let at = |done, all| progress.at(done, Some(all));
        let seen = old_backups::look(&self.rows, &self.stores, looked_at, at).await;
        self.keep(Item::OldBackups, seen.map_err(inventory_fault)?)?;
        let seen = volume_image_metadata::look(&self.rows, looked_at).await;
        self.keep(Item::VolumeImageMetadata, seen.map_err(inventory_fault)?)?;
        let mut progress = Progress::of("images");
        let at = |done| progress.at(done, None);
        let seen = images::look(&self.glance, looked_at, at).await;
        self.keep(Item::Images, seen)?;
        if !self.cells.is_empty() {
            let seen = ephemeral_disks::look(&self.cells, looked_at).await;
            self.keep(Item::EphemeralDisks, seen)?;
        }
        Ok(())
    }

    fn keep(&self, item: Item, seen: Evidence) -> Result<(), Fault> {
        let kept = self.kept.keep(item, &seen);
        kept.map_err(|error| not_kept(&error, &self.state_dir))
    }

    /// Counts the rows last of all, and weighs everything that is kept.
    async fn conclude(&self) -> Result<(FixedKeyVerdict, EvidenceBook), Fault> {
        let (rows, state_dir) = (&self.rows, &self.state_dir);
        let verdict = evaluate(rows, self.service_down_time, state_dir, &SecondsClock).await?;
        let book = self.kept.read();
        Ok((verdict, book.map_err(|error| not_kept(&error, state_dir))?))
    }
}

fn not_kept(error: &EvidenceError, state_dir: &Path) -> Fault {
    let remedy = format!(
        "let the user that this runs as write {} ([key_migrator] state_dir), as the daemon's does",
        state_dir.display()
    );
    Fault::new(Reason::LedgerUnavailable, error.to_string(), remedy)
}

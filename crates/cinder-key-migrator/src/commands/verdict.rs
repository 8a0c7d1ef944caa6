//! Whether the fixed key may go, as of now: the rows are counted anew, the rest is what commands
//! have kept.

use std::path::Path;
use std::time::Duration;

use cinder_db::CinderDb;
use key_audit::evidence::EvidenceStore;
use key_migration::inventory_fault;
use key_migration::ports::{CinderDatabase as _, Clock};
use key_migration::progress::Counted;
use key_migration::reasons::{Fault, Reason};
use key_migration::verdict::{FixedKeyVerdict, Rows};

/// Counts, reads and weighs.
pub(super) async fn evaluate(
    rows: &CinderDb,
    service_down_time: Duration,
    state_dir: &Path,
    clock: &impl Clock,
) -> Result<FixedKeyVerdict, Fault> {
    let counted = Counted {
        counted_at: clock.now(),
        census: rows
            .census(service_down_time)
            .await
            .map_err(inventory_fault)?,
    };
    let switched = migration_ledger::last_switch(state_dir).await?;
    let at_zeros = (!counted.census.is_clear()).then_some(counted.counted_at);
    let book = EvidenceStore::new(state_dir).read().map_err(|error| {
        let remedy = format!(
            "make {} readable, or look again with `fixed-key audit` and `verify`",
            state_dir.display()
        );
        Fault::new(Reason::Configuration, error.to_string(), remedy)
    })?;
    let rows = Rows {
        counted: Some(counted),
        last_change: switched.max(at_zeros),
    };
    Ok(FixedKeyVerdict::of(rows, &book, clock.now()))
}

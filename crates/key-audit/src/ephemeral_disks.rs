//! Nova's ephemeral disks: under Nova's own ConfKeyManager their key is all zeros, too, and no
//! migration ever moves it.

use std::path::PathBuf;

use cinder_db::audit::NovaCell;
use jiff::Timestamp;
use key_migration::ports::DatabaseError;
use key_migration::verdict::{Evidence, Finding};

use crate::told::counted;

/// A `nova.conf`, and the cell's database that it leads to.
pub struct Cell {
    /// The file.
    pub file: PathBuf,
    /// The database.
    pub database: NovaCell,
}

/// Looks into all of these cells. One that cannot be asked makes the answer unknown, unless
/// another has such disks.
pub async fn look(cells: &[Cell], looked_at: Timestamp) -> Evidence {
    let (mut at_zeros, mut problems) = (0, Vec::new());
    for cell in cells {
        match cell.database.instances_at_zeros().await {
            Ok(count) => at_zeros += count,
            Err(error) => problems.push(format!("{}: {}", cell.file.display(), words(&error))),
        }
    }
    let (finding, message) = match (at_zeros, problems.is_empty()) {
        (0, true) => (
            Finding::Clear,
            format!(
                "no instance of {} has an ephemeral disk on the fixed key",
                counted(cells.len() as u64, "cell", "cells")
            ),
        ),
        (0, false) => (Finding::Unknown, problems.join("; ")),
        (count, _) => (
            Finding::Blocking(count),
            format!(
                "{} an ephemeral disk on the fixed key, which Nova cannot open again without it: \
                 rebuild or delete them (table instances, ephemeral_key_uuid)",
                counted(count, "instance has", "instances have")
            ),
        ),
    };
    Evidence {
        finding,
        looked_at,
        message,
    }
}

fn words(error: &DatabaseError) -> String {
    match error {
        DatabaseError::Contended(what) => what.clone(),
        DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault) => {
            format!("{}; {}", fault.message, fault.remedy)
        }
    }
}

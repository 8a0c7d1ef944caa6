//! What the commands print on standard output.

use key_migration::ids::SecretId;
use key_migration::orphans::{Class, Kept, Orphan};
use serde::Serialize;

use super::super::output::{print, print_json, span, table};
use crate::cli::Format;

/// One secret of `orphans purge`.
pub(super) struct Entry {
    pub(super) secret: SecretId,
    /// What it is, where it is an orphan.
    pub(super) orphan: Option<Orphan>,
    pub(super) outcome: Outcome,
}

/// What became of a secret, or would.
pub(super) enum Outcome {
    /// In a dry run.
    WouldBeDeleted,
    Deleted,
    Kept(Kept),
    /// It may be deleted all the same.
    Failed(String),
    /// Something that hits every secret ended the command before.
    NotTried,
}

/// The table or JSON of `orphans list`.
pub(super) fn print_list(orphans: &[Orphan], format: Format) {
    match format {
        Format::Json => print_json(&orphans.iter().map(Listed::new).collect::<Vec<_>>()),
        Format::Table => {
            let mut table = table(["secret", "class", "row", "age", "purgeable"]);
            for orphan in orphans {
                let purgeable = match orphan.kept(false) {
                    None => "yes".to_owned(),
                    Some(kept) => format!("no: {kept}"),
                };
                table.add_row(cells(orphan.secret, Some(orphan), purgeable));
            }
            print(&table.to_string());
        }
    }
}

/// The table or JSON of `orphans purge`.
pub(super) fn print_purge(entries: &[Entry], execute: bool, format: Format) {
    match format {
        Format::Json => print_json(&entries.iter().map(Treated::new).collect::<Vec<_>>()),
        Format::Table => {
            let mut table = table(["secret", "class", "row", "age", "outcome"]);
            for entry in entries {
                let outcome = match entry.outcome.reason() {
                    None => entry.outcome.words().to_owned(),
                    Some(reason) => format!("{}: {reason}", entry.outcome.words()),
                };
                table.add_row(cells(entry.secret, entry.orphan.as_ref(), outcome));
            }
            print(&table.to_string());
            if !execute {
                print("Nothing was deleted. With --execute it would be.");
            }
        }
    }
}

impl Outcome {
    fn words(&self) -> &'static str {
        match self {
            Self::WouldBeDeleted => "would be deleted",
            Self::Deleted => "deleted",
            Self::Kept(_) => "kept",
            Self::Failed(_) => "failed",
            Self::NotTried => "not tried",
        }
    }

    fn reason(&self) -> Option<String> {
        match self {
            Self::Kept(kept) => Some(kept.to_string()),
            Self::Failed(why) => Some(why.clone()),
            Self::WouldBeDeleted | Self::Deleted | Self::NotTried => None,
        }
    }
}

/// A secret in JSON.
#[derive(Serialize)]
struct Shown {
    secret_id: String,
    class: Option<Class>,
    resource: Option<&'static str>,
    resource_id: Option<String>,
    age_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    shown: Shown,
    purgeable: bool,
    kept_because: Option<String>,
}

#[derive(Serialize)]
struct Treated {
    #[serde(flatten)]
    shown: Shown,
    outcome: String,
    reason: Option<String>,
}

impl Shown {
    fn new(secret: SecretId, orphan: Option<&Orphan>) -> Self {
        Self {
            secret_id: secret.to_string(),
            class: orphan.map(|orphan| orphan.class),
            resource: orphan.map(|orphan| orphan.row.kind.as_str()),
            resource_id: orphan.map(|orphan| orphan.row.id.to_string()),
            age_seconds: orphan.map(|orphan| orphan.age.as_secs()),
        }
    }
}

impl Listed {
    fn new(orphan: &Orphan) -> Self {
        let kept = orphan.kept(false);
        Self {
            shown: Shown::new(orphan.secret, Some(orphan)),
            purgeable: kept.is_none(),
            kept_because: kept.map(|kept| kept.to_string()),
        }
    }
}

impl Treated {
    fn new(entry: &Entry) -> Self {
        Self {
            shown: Shown::new(entry.secret, entry.orphan.as_ref()),
            outcome: entry.outcome.words().replace(' ', "_"),
            reason: entry.outcome.reason(),
        }
    }
}

fn cells(secret: SecretId, orphan: Option<&Orphan>, last: String) -> [String; 5] {
    let shown = |show: fn(&Orphan) -> String| orphan.map_or_else(|| "-".to_owned(), show);
    [
        secret.to_string(),
        shown(|orphan| orphan.class.to_string()),
        shown(|orphan| orphan.row.to_string()),
        shown(|orphan| span(orphan.age)),
        last,
    ]
}

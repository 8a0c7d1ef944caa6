//! Whether the fixed key may leave the configuration files.
//!
//! The answer is put together from evidence of a closed list of items, each clear, blocking,
//! unknown or attested. What nobody has looked at is unknown by name, never silently fine; what was
//! found in the way is in the way whatever anybody attests. `yes` means "may leave the
//! configuration files", never "may be destroyed".

#[cfg(test)]
mod tests;

mod item;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::item::Item;
use crate::progress::Counted;

/// Evidence older than this is a memory, not evidence.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// What looking at an item came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing stands in the way.
    Clear,
    /// So many things do.
    Blocking(u64),
    /// It was looked at, and cannot be told.
    Unknown,
}

/// What was seen when an item was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it came to.
    pub finding: Finding,
    /// When looking began: what changed after that was not seen.
    pub looked_at: Timestamp,
    /// What was found, in words for the operator, with what to do about it.
    pub message: String,
}

/// A person answers for an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// All that was ever looked at and attested, the latest of each item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvidenceBook {
    /// What was seen.
    pub seen: BTreeMap<Item, Evidence>,
    /// What people answer for.
    pub attested: BTreeMap<Item, Attestation>,
}

/// The closed list of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The key may leave the configuration files.
    Yes,
    /// Something still needs it.
    No,
    /// Not everything was looked at.
    Unknown,
}

impl Verdict {
    /// Every answer, for metrics that show one series each.
    pub const ALL: [Self; 3] = [Self::Yes, Self::No, Self::Unknown];

    /// The name in status and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer and what stands behind it. Its serialised form is `fixed_key` in `/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FixedKeyVerdict {
    /// May it go?
    pub verdict: Verdict,
    /// When the rows were counted that it rests on.
    pub evaluated_at: Option<Timestamp>,
    /// Why it is not `yes`; what blocks first, then what is unknown.
    pub blockers: Vec<Blocker>,
    /// What people answer for, with their names.
    pub attested: Vec<Attested>,
}

/// One reason why the answer is not `yes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// Of a closed list.
    pub code: &'static str,
    /// How many; `None` where nobody has counted.
    pub count: Option<u64>,
    /// In words, with what to do about it.
    pub message: String,
    /// What it is about.
    #[serde(skip)]
    pub item: Item,
}

impl Blocker {
    /// Whether something was found, rather than not looked at.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.code == self.item.blocking()
    }
}

/// An item that a person answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attested {
    /// Which.
    pub item: Item,
    /// Who said so, and when.
    #[serde(flatten)]
    pub attestation: Attestation,
    /// What it says.
    pub statement: &'static str,
}

/// What the rows themselves say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The last count over all hosts.
    pub counted: Option<Counted>,
    /// When a row was last seen at zeros, or switched, as far as is known: what was verified before
    /// that is not all there is.
    pub last_change: Option<Timestamp>,
}

impl FixedKeyVerdict {
    /// Weighs everything, as of `now`.
    #[must_use]
    pub fn of(rows: Rows, book: &EvidenceBook, now: Timestamp) -> Self {
        let mut blockers = row_blockers(rows.counted.as_ref());
        let mut attested = Vec::new();
        for item in Item::ALL.into_iter().skip(4) {
            let attestation = book.attested.get(&item);
            let attestation = attestation.filter(|_| item.may_be_attested());
            match (weigh(item, &rows, book, now), attestation) {
                (Ok(()), _) => {}
                (Err(unknown), Some(attestation)) if !unknown.is_found() => {
                    attested.push(Attested {
                        item,
                        attestation: attestation.clone(),
                        statement: item.statement(),
                    });
                }
                (Err(blocker), _) => blockers.push(blocker),
            }
        }
        blockers.sort_by_key(|blocker| !blocker.is_found());
        Self {
            verdict: match blockers.first() {
                None => Verdict::Yes,
                Some(first) if first.is_found() => Verdict::No,
                Some(_) => Verdict::Unknown,
            },
            evaluated_at: rows.counted.map(|counted| counted.counted_at),
            blockers,
            attested,
        }
    }
}

fn row_blockers(counted: Option<&Counted>) -> Vec<Blocker> {
    let Some(Counted { census, .. }) = counted else {
        return vec![unknown(Item::Volumes, Item::Volumes.not_looked_at().into())];
    };
    let unowned = census.unowned_volumes + census.unowned_backups;
    let on_all_hosts = |what| format!("{what} on all hosts still use the fixed key");
    [
        (Item::Volumes, census.volumes, on_all_hosts("volume(s)")),
        (
            Item::Snapshots,
            census.snapshots,
            on_all_hosts("snapshot(s)"),
        ),
        (Item::Backups, census.backups, on_all_hosts("backup(s)")),
        (
            Item::UnownedRows,
            unowned,
            "of these rows belong to no service that is up (`rows --state unowned`)".to_owned(),
        ),
    ]
    .into_iter()
    .filter(|(_, count, _)| *count > 0)
    .map(|(item, count, what)| found(item, count, format!("{count} {what}")))
    .collect()
}

/// Whether what was seen of an item is enough.
fn weigh(item: Item, rows: &Rows, book: &EvidenceBook, now: Timestamp) -> Result<(), Blocker> {
    let Some(seen) = book.seen.get(&item) else {
        return Err(unknown(item, item.not_looked_at().into()));
    };
    match seen.finding {
        // Old or not, this was in the way, and nobody has seen it gone.
        Finding::Blocking(count) => return Err(found(item, count, seen.message.clone())),
        Finding::Unknown => return Err(unknown(item, seen.message.clone())),
        Finding::Clear => {}
    }
    if now.duration_since(seen.looked_at) > MAX_AGE {
        let message = format!("looked at on {}, more than 24 hours ago", seen.looked_at);
        return Err(unknown(item, message));
    }
    match rows.last_change.filter(|_| item == Item::Payloads) {
        Some(changed) if changed >= seen.looked_at => Err(unknown(
            item,
            format!(
                "verified at {}, and rows were migrated after that",
                seen.looked_at
            ),
        )),
        _ => Ok(()),
    }
}

fn found(item: Item, count: u64, message: String) -> Blocker {
    Blocker {
        code: item.blocking(),
        count: Some(count),
        message,
        item,
    }
}

fn unknown(item: Item, message: String) -> Blocker {
    Blocker {
        code: item.unknown(),
        count: None,
        message,
        item,
    }
}

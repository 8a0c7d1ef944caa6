//! Secrets that were stored for a row and are not going to be its key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::ids::{RowRef, SecretId};

/// They are found by either side, as a storm can leave very many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Superseded {
    rows: BTreeMap<SecretId, RowRef>,
    secrets: BTreeMap<RowRef, BTreeSet<SecretId>>,
}

impl Superseded {
    /// Says whether it is new.
    pub(super) fn insert(&mut self, secret: SecretId, row: RowRef) -> bool {
        let before = self.remove(secret);
        self.secrets.entry(row.clone()).or_default().insert(secret);
        self.rows.insert(secret, row);
        before.is_none()
    }

    /// Says which row it was stored for.
    pub(super) fn remove(&mut self, secret: SecretId) -> Option<RowRef> {
        let row = self.rows.remove(&secret)?;
        if let Some(of_row) = self.secrets.get_mut(&row) {
            of_row.remove(&secret);
            if of_row.is_empty() {
                self.secrets.remove(&row);
            }
        }
        Some(row)
    }

    pub(super) fn contains(&self, secret: SecretId) -> bool {
        self.rows.contains_key(&secret)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn of(&self, row: &RowRef) -> BTreeSet<SecretId> {
        self.secrets.get(row).cloned().unwrap_or_default()
    }

    /// The next ones behind this one, in their own order.
    pub(super) fn after(
        &self,
        after: Option<SecretId>,
    ) -> impl Iterator<Item = (SecretId, &RowRef)> {
        let from = after.map_or(Unbounded, Excluded);
        let behind = self.rows.range((from, Unbounded));
        behind.map(|(secret, row)| (*secret, row))
    }
}

//! What is made of what was found out about a secret; nothing is asked here.

use std::time::Duration;

use super::{Class, Kept, Orphan};
use crate::ids::RowRef;
use crate::ports::StoredSecret;
use crate::rows::{Holder, RowKey};

/// Nothing younger is deleted: neither a secret nor the row that it was stored for.
const QUARANTINE: Duration = Duration::from_secs(24 * 60 * 60);

/// What was found out about a secret that no row, other than deleted ones, refers to.
pub(super) struct Evidence<'a> {
    pub(super) stored: &'a StoredSecret,
    /// The row that its name says.
    pub(super) row: RowRef,
    /// That row, if it is in this database.
    pub(super) holder: Option<&'a Holder>,
    /// Whether a deleted row refers to it.
    pub(super) by_deleted: bool,
    /// Whether an intent is open for the row or the secret.
    pub(super) open: bool,
}

impl Evidence<'_> {
    pub(super) fn judge(self) -> Orphan {
        let class = self.class();
        Orphan {
            secret: self.stored.id,
            age: self.stored.age,
            class,
            obstacle: self.obstacle(class),
            row: self.row,
        }
    }

    fn class(&self) -> Class {
        if !self.stored.is_ours() {
            return Class::Foreign;
        }
        if self.open {
            return Class::Pending;
        }
        match self.holder {
            None => Class::UnknownRow,
            Some(holder) if is_live(holder) && holder.key == RowKey::AllZeros => Class::Pending,
            Some(_) if self.by_deleted => Class::ReferredByDeleted,
            Some(holder) if is_live(holder) => Class::Superseded,
            Some(_) => Class::RowDeleted,
        }
    }

    /// What naming it lifts comes last.
    fn obstacle(&self, class: Class) -> Option<Kept> {
        match class {
            Class::Foreign => return Some(Kept::Foreign),
            Class::Pending => return Some(Kept::Pending),
            _ => {}
        }
        if self
            .holder
            .is_some_and(|holder| is_live(holder) && holder.key == RowKey::Null)
        {
            return Some(Kept::RowWithoutKey);
        }
        if self.stored.age <= QUARANTINE {
            return Some(Kept::Young);
        }
        let deleted_for = self.holder.and_then(|holder| holder.deleted_for);
        if deleted_for.is_some_and(|deleted_for| deleted_for <= QUARANTINE) {
            return Some(Kept::RowJustDeleted);
        }
        matches!(class, Class::UnknownRow | Class::ReferredByDeleted).then_some(Kept::Unnamed)
    }
}

fn is_live(holder: &Holder) -> bool {
    holder.deleted_for.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ResourceKind, SecretId};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const LONG: Duration = Duration::from_secs(24 * 60 * 60 + 1);

    fn row() -> RowRef {
        RowRef {
            kind: ResourceKind::Volume,
            id: "7b".into(),
        }
    }

    fn stored() -> StoredSecret {
        StoredSecret {
            id: secret(1),
            name: "cinder-key-migrator:v1:volume:7b".into(),
            age: LONG,
            created_by_us: true,
            active: true,
        }
    }

    fn secret(number: u128) -> SecretId {
        SecretId::new(uuid::Uuid::from_u128(number)).expect("not nil")
    }

    fn live(key: RowKey) -> Option<Holder> {
        Some(Holder {
            key,
            deleted_for: None,
        })
    }

    fn deleted(deleted_for: Duration) -> Option<Holder> {
        Some(Holder {
            key: RowKey::AllZeros,
            deleted_for: Some(deleted_for),
        })
    }

    fn another_key() -> RowKey {
        RowKey::Other(secret(2).to_string())
    }

    fn judged(
        stored: &StoredSecret,
        holder: Option<Holder>,
        by_deleted: bool,
        open: bool,
    ) -> Orphan {
        let evidence = Evidence {
            stored,
            row: row(),
            holder: holder.as_ref(),
            by_deleted,
            open,
        };
        evidence.judge()
    }

    #[test]
    fn a_secret_is_classed_by_its_row_and_by_who_refers_to_it() {
        for (holder, by_deleted, class, unnamed, named) in [
            (live(another_key()), false, Class::Superseded, None, None),
            (
                live(RowKey::Other("not a UUID".into())),
                false,
                Class::Superseded,
                None,
                None,
            ),
            (deleted(LONG), false, Class::RowDeleted, None, None),
            (
                live(RowKey::AllZeros),
                false,
                Class::Pending,
                Some(Kept::Pending),
                Some(Kept::Pending),
            ),
            (
                live(RowKey::AllZeros),
                true,
                Class::Pending,
                Some(Kept::Pending),
                Some(Kept::Pending),
            ),
            (
                live(another_key()),
                true,
                Class::ReferredByDeleted,
                Some(Kept::Unnamed),
                None,
            ),
            (
                deleted(LONG),
                true,
                Class::ReferredByDeleted,
                Some(Kept::Unnamed),
                None,
            ),
            (None, false, Class::UnknownRow, Some(Kept::Unnamed), None),
            (None, true, Class::UnknownRow, Some(Kept::Unnamed), None),
        ] {
            let orphan = judged(&stored(), holder.clone(), by_deleted, false);
            assert_eq!(
                (orphan.class, orphan.kept(false), orphan.kept(true)),
                (class, unnamed, named),
                "{holder:?} {by_deleted}"
            );
        }
    }

    #[test]
    fn a_row_that_lost_its_key_keeps_its_secret() {
        let orphan = judged(&stored(), live(RowKey::Null), false, false);
        assert_eq!(orphan.class, Class::Superseded);
        assert_eq!(orphan.kept(true), Some(Kept::RowWithoutKey));
    }

    #[test]
    fn what_is_under_way_is_pending_whatever_its_row_is() {
        for holder in [None, live(another_key()), deleted(LONG)] {
            let orphan = judged(&stored(), holder, false, true);
            assert_eq!(orphan.class, Class::Pending);
            assert_eq!(orphan.kept(true), Some(Kept::Pending));
        }
    }

    #[test]
    fn naming_a_secret_lifts_nothing_but_that_it_was_not_named() {
        for holder in [None, live(another_key()), deleted(LONG)] {
            let young = StoredSecret {
                age: DAY,
                ..stored()
            };
            let orphan = judged(&young, holder.clone(), true, false);
            assert_eq!(orphan.kept(true), Some(Kept::Young), "{holder:?}");
            for not_ours in [
                StoredSecret {
                    created_by_us: false,
                    ..stored()
                },
                StoredSecret {
                    active: false,
                    ..stored()
                },
            ] {
                let orphan = judged(&not_ours, holder.clone(), false, true);
                assert_eq!(orphan.class, Class::Foreign);
                assert_eq!(orphan.kept(true), Some(Kept::Foreign));
            }
        }
        for by_deleted in [false, true] {
            let orphan = judged(&stored(), deleted(DAY), by_deleted, false);
            assert_eq!(orphan.kept(true), Some(Kept::RowJustDeleted));
        }
    }
}

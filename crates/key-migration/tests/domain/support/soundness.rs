//! What must hold at every moment, judged by the cloud itself at each request.

use std::time::Duration;

use key_migration::ids::{RowRef, SecretId};
use key_migration::rows::Swap;

use super::cloud::Cloud;
use super::world::{KEY, World};

/// A secret may be deleted at once while it is younger than this.
const DELETABLE: Duration = Duration::from_secs(30 * 60);

/// A secret may be purged once it is older than this.
const PURGEABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most time between reading a payload and the swap.
const READBACK: Duration = Duration::from_secs(5 * 60);

/// The least time between a request that was not answered and the first look for its secret.
const UNKNOWN_OUTCOME: Duration = Duration::from_secs(120);

/// The least time between two looks that find nothing.
const SECOND_LOOK: Duration = Duration::from_secs(10);

impl Cloud {
    /// Nothing was done so far that must never be done.
    pub(crate) fn assert_sound(&self) {
        let world = self.world();
        assert!(
            world.violations.is_empty(),
            "{:#?}\ncalls:\n{}",
            world.violations,
            world.story()
        );
    }
}

impl World {
    /// What was asked, line by line.
    pub(crate) fn story(&self) -> String {
        let last = self.calls.len().saturating_sub(300);
        let lines = self.calls[last..].iter().map(|call| call.to_string());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn violated(&mut self, what: String) {
        self.violations.push(what);
    }

    /// I2: the payload was read back equal a short while ago, and the ACL covers every user.
    pub(crate) fn judge_switch(&mut self, swap: &Swap, snapshots: &[RowRef]) {
        let row = &swap.row;
        let secret = self.secret(swap.secret).clone();
        if secret.deleted {
            self.violated(format!("{row} was switched to a deleted secret"));
        }
        if secret.payload != KEY {
            self.violated(format!(
                "{row} was switched to a secret with another payload"
            ));
        }
        let fresh = |at: &tokio::time::Instant| at.elapsed() <= READBACK;
        if !secret.read_equal_at.as_ref().is_some_and(fresh) {
            self.violated(format!("{row} was switched without reading back"));
        }
        let moved: Vec<&RowRef> = snapshots.iter().chain([row]).collect();
        if let Some(other) = self.other_holder(swap, &moved) {
            self.violated(format!(
                "{row} was switched to the secret that {other} refers to"
            ));
        }
        for id in moved {
            let Some(user) = self.rows[id].user_id.clone() else {
                continue;
            };
            let readers = secret.readers.as_ref();
            if !readers.is_some_and(|readers| readers.contains(&user.as_str().into())) {
                self.violated(format!("{id} was switched, but {user} cannot read its key"));
            }
        }
    }

    /// A row that refers to the secret already, and that this swap does not let share it.
    fn other_holder(&self, swap: &Swap, moved: &[&RowRef]) -> Option<RowRef> {
        // A snapshot takes what its volume has, whoever else has that, too.
        if swap.shared_with.is_some() {
            return None;
        }
        let key = swap.secret.to_string();
        let mut live = self.rows.iter().filter(|(_, row)| !row.deleted);
        live.find(|(id, row)| row.key.as_deref() == Some(&key) && !moved.contains(id))
            .map(|(id, _)| id.clone())
    }

    /// I4: nothing refers to what is deleted, and nobody else can have adopted it: this run stored
    /// it a short while ago, or it is purged, old, while its row is held locked.
    pub(crate) fn judge_delete(&mut self, id: SecretId, daemon: u64) {
        if self.is_referred_to(id) {
            self.violated(format!("secret {id} was deleted while a row refers to it"));
        }
        let secret = self.secret(id).clone();
        if !self.unneeded.contains(&id) {
            self.violated(format!("secret {id} was deleted without a look at its row"));
        }
        if secret.ours && secret.row().is_some() && secret.age() >= PURGEABLE {
            return;
        }
        if secret.told_to != Some(daemon) {
            self.violated(format!("secret {id}, deleted, was not stored by this run"));
        }
        if secret.age() > DELETABLE {
            self.violated(format!(
                "secret {id} was deleted at an age of {:?}",
                secret.age()
            ));
        }
    }

    /// I5: no second secret for a row whose first one this daemon knows of, or could have seen.
    pub(crate) fn judge_post(&mut self, row: &RowRef, daemon: u64) {
        let left_zeros = self.rows[row].left_zeros;
        let looks = self
            .looked
            .get(row.id.as_str())
            .cloned()
            .unwrap_or_default();
        let seen = looks.last().max(self.listed.get(&row.kind)).copied();
        let duplicates: Vec<String> = self
            .secrets
            .iter()
            .filter(|secret| !secret.deleted && secret.ours && secret.active)
            .filter(|secret| secret.row().as_ref() == Some(row))
            .filter(|secret| left_zeros.is_none_or(|left| left < secret.stored_at))
            .filter(|secret| !self.is_referred_to(secret.id))
            .filter(|secret| {
                secret.told_to == Some(daemon) || seen.is_some_and(|seen| secret.stored_at < seen)
            })
            .map(|secret| secret.id.to_string())
            .collect();
        if !duplicates.is_empty() {
            self.violated(format!("{row} got a second secret beside {duplicates:?}"));
        }
        let unanswered = self.unanswered.remove(row.id.as_str());
        let Some(since) = unanswered.filter(|since| left_zeros.is_none_or(|left| left < *since))
        else {
            return;
        };
        let late = looks
            .iter()
            .filter(|look| **look >= since + UNKNOWN_OUTCOME);
        let late: Vec<_> = late.collect();
        let apart = late.first().zip(late.last());
        if apart.is_none_or(|(first, last)| **last - **first < SECOND_LOOK) {
            self.violated(format!("{row} was stored again without two looks for it"));
        }
    }
}

//! A snapshot at zeros whose volume has a key (W11): where that is a secret which we can read and
//! which holds the fixed key, whoever stored it, the snapshot takes it too; else it gets a secret
//! of its own.

use tokio::time::Instant;

use super::{At, Candidate, KeyMachine, Turn};
use crate::reasons::RowReason;
use crate::rows::RowKey;

impl KeyMachine {
    pub(super) fn snapshot_read(&mut self, now: Instant) -> Result<At, Turn> {
        let volume = self.fresh.as_ref().and_then(|(row, _)| row.volume.as_ref());
        let Some(volume) = volume else {
            let message = format!("{}: its volume is deleted or gone", self.row);
            return Err(self.given_back(RowReason::InvalidRow, message));
        };
        let key = volume.key.clone();
        if key == RowKey::AllZeros {
            self.forget_volume_secret();
            let message = "its volume is at zeros again, and takes it along";
            return Err(self.deferred(RowReason::Raced, message.into()));
        }
        let has_its_own = self.candidate.is_some() && !self.shared;
        if !has_its_own && !self.own {
            let before = self.candidate.map(|candidate| candidate.secret);
            if key.secret() != before {
                self.forget_volume_secret();
            }
            self.shared = key.secret().is_some();
            self.candidate = key.secret().map(Candidate::found);
        }
        Ok(self.with_fresh_row(now))
    }

    /// The volume's secret is not one that the snapshot could use.
    pub(super) fn leave_volume_secret(&mut self) -> At {
        self.forget_volume_secret();
        self.own = true;
        if self.intended { At::Store } else { At::Intend }
    }

    fn forget_volume_secret(&mut self) {
        if self.shared {
            self.shared = false;
            self.candidate = None;
            self.read_equal_at = None;
            self.readers = None;
        }
    }
}

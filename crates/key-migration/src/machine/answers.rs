//! What a swap's outcome, and each kind of failure, means for the key.

use tokio::time::Instant;

use super::{Answer, At, KeyEnd, KeyMachine, MOST_CHANGES, MOST_REPEATS, Turn};
use crate::ports::{DatabaseError, SecretError, StoreError};
use crate::reasons::RowReason;
use crate::rows::SwapOutcome;

impl KeyMachine {
    pub(super) fn swapped(&mut self, outcome: SwapOutcome) -> Result<At, Turn> {
        match outcome {
            SwapOutcome::Switched { snapshots } => Err(Turn::End(self.migrated(snapshots))),
            SwapOutcome::AlreadyHolds => Err(Turn::End(self.migrated(0))),
            SwapOutcome::Transitional(message) => {
                Err(self.deferred(RowReason::Transitional, message))
            }
            // Who has it, or what it has become, is seen by reading it.
            SwapOutcome::Lost
            | SwapOutcome::Gone
            | SwapOutcome::ReadersChanged
            | SwapOutcome::VolumeChanged => {
                self.changes += 1;
                if self.changes >= MOST_CHANGES {
                    let message =
                        format!("{}: it kept changing while its key was stored", self.row);
                    return Err(self.given_back(RowReason::Raced, message));
                }
                Ok(At::ReadRow)
            }
        }
    }

    pub(super) fn failed(&mut self, at: At, answer: Answer, now: Instant) -> Result<At, Turn> {
        match (at, answer) {
            // The row is somebody else's: what cannot be told, or done, now is accounted for later.
            (At::CheckUnused | At::Delete, _) => Err(Turn::End(self.not_ours(false))),
            (_, Answer::Fault(fault)) => {
                let kept = self.kept();
                Err(Turn::End(KeyEnd::Fault { fault, kept }))
            }
            (At::Store, Answer::NotStored(StoreError::NotStored(fault))) => {
                Err(Turn::End(KeyEnd::Fault { fault, kept: None }))
            }
            (At::Store, Answer::NotStored(StoreError::OutcomeUnknown(message))) => {
                Err(Turn::End(KeyEnd::Unknown { message }))
            }
            (at, Answer::Database(error)) => self.database_failed(at, error),
            (_, Answer::Secret(error)) => self.secret_failed(error, now),
            (at, _) => {
                let message = format!("{}: {at:?} was answered with something else", self.row);
                let kept = self.kept();
                Err(Turn::End(KeyEnd::Trouble { message, kept }))
            }
        }
    }

    /// A swap whose reply was lost is asked for again, unless the row shows that it had happened, or
    /// another row refers to the secret by then.
    fn database_failed(&mut self, at: At, error: DatabaseError) -> Result<At, Turn> {
        let unreachable = matches!(error, DatabaseError::Unreachable(_));
        if let Some(candidate) = &mut self.candidate
            && unreachable
        {
            candidate.swap_in_doubt |= at == At::Swap;
            self.unused &= !candidate.swap_in_doubt;
            if candidate.swap_in_doubt && self.doubts < MOST_REPEATS {
                self.repeats = self.doubts;
                self.doubts += 1;
                return Err(Turn::Repeat);
            }
        }
        match error {
            DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault) => {
                let kept = self.kept();
                Err(Turn::End(KeyEnd::Fault { fault, kept }))
            }
            DatabaseError::Contended(message) => Err(self.given_back(RowReason::Raced, message)),
        }
    }

    fn secret_failed(&mut self, error: SecretError, now: Instant) -> Result<At, Turn> {
        use SecretError::{Failed, Fault, Forbidden, NotFound, Refused};
        if self.shared && matches!(error, Forbidden(_) | NotFound(_) | Refused(_)) {
            return Ok(self.leave_volume_secret());
        }
        // A 404 just after a 201 may be a stale read.
        if matches!(error, Failed(_) | NotFound(_)) && self.repeats < MOST_REPEATS {
            return Err(Turn::Repeat);
        }
        let kept = self.kept();
        match error {
            Fault(fault) | Forbidden(fault) => Err(Turn::End(KeyEnd::Fault { fault, kept })),
            Refused(message) => Err(self.given_back(RowReason::Refused, message)),
            error @ (Failed(_) | NotFound(_)) => {
                let message = error.to_string();
                match kept {
                    Some(candidate) if matches!(error, NotFound(_)) && !candidate.is_fresh(now) => {
                        Err(Turn::End(KeyEnd::NotAdoptable(candidate)))
                    }
                    kept => Err(Turn::End(KeyEnd::Trouble { message, kept })),
                }
            }
        }
    }
}

//! The sandbox's wall clock. Tests move it, because "older than an hour" and
//! "the token has expired" cannot be waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// A wall clock shared by every service of one cloud.
///
/// Clones show the same time. It runs with the machine's clock, shifted by
/// what [`Clock::advance`] was given.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift: Arc<Mutex<Duration>>,
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        let shift = *self.shift.lock().unwrap_or_else(PoisonError::into_inner);
        machine_time() + SignedDuration::try_from(shift).unwrap_or(SignedDuration::ZERO)
    }

    /// Moves the clock forward for everything that reads it: token lifetimes,
    /// token caches, the `created` of later secrets, the `Date` header.
    pub fn advance(&self, by: Duration) {
        *self.shift.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox's one home of wall time; it stands for other machines, not for the program"
)]
fn machine_time() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

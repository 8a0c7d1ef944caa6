//! The sandbox's wall clock. Tests move it, because "older than an hour" and
//! "the token has expired" cannot be waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

/// A wall clock shared by every service of one cloud.
///
/// Clones show the same time. It runs with the machine's clock, shifted by
/// what [`Clock::advance`] and [`Clock::set_back`] were given.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    shift: Arc<Mutex<SignedDuration>>,
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Timestamp {
        machine_time() + *self.shift()
    }

    /// Moves the clock forward for everything that reads it: token lifetimes,
    /// token caches, the `created` of later secrets, the `Date` header.
    pub fn advance(&self, by: Duration) {
        *self.shift() += SignedDuration::try_from(by).unwrap_or(SignedDuration::ZERO);
    }

    /// Moves the clock back for everything that reads it.
    pub fn set_back(&self, by: Duration) {
        *self.shift() -= SignedDuration::try_from(by).unwrap_or(SignedDuration::ZERO);
    }

    fn shift(&self) -> MutexGuard<'_, SignedDuration> {
        self.shift.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox's one home of wall time; it stands for other machines, not for the program"
)]
fn machine_time() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

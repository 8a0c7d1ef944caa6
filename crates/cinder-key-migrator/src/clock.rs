//! The one place that asks the system for the time of day.

use jiff::Timestamp;
use key_migration::ports::Clock;

/// The system's wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of the wall clock; all others are handed a Clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

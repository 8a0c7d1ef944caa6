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

/// The system's wall clock as status shows it: whole seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecondsClock;

impl Clock for SecondsClock {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }
}

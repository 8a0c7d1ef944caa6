//! A cloud in memory behind the domain's ports, and words to tell stories about it.

mod barbican;
mod cinder;
mod cloud;
mod daemon;
mod faults;
mod log;
mod soundness;

pub(crate) use cloud::{ALICE, BOB, Cloud, Op, Trouble, World, backup, snapshot, volume};
pub(crate) use daemon::{Daemon, once, settings};
pub(crate) use faults::*;
pub(crate) use log::Log;

use std::time::Duration;

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// An empty cloud, and what is logged from now on.
pub(crate) fn scene() -> (Cloud, Log) {
    (Cloud::new(), Log::capture())
}

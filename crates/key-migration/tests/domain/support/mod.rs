//! A cloud in memory behind the domain's ports, and words to tell stories about it.

mod barbican;
mod cinder;
mod cloud;
mod daemon;
mod faults;
mod ledger;
mod log;
mod soundness;
mod tables;
mod world;

pub(crate) use cloud::{Cloud, Op, Trouble};
pub(crate) use daemon::{Daemon, once, settings};
pub(crate) use faults::*;
pub(crate) use log::Log;
pub(crate) use world::{ALICE, BOB, World, backup, snapshot, volume};

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

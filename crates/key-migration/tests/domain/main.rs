//! The domain, run whole against a cloud in memory under paused time.

mod support;

mod chaos;
mod complete;
mod endurance;
mod gates;
mod holds;
mod leftovers;
mod lookups;
mod races;
mod readers;
mod refusals;
mod requests;
mod summaries;
mod walks;
mod windows;

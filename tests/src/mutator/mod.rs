//! Cinder at work on its rows, as far as the program can tell: the statements that its API nodes,
//! volume managers and backup managers send, in their order, with objects that they loaded a while
//! ago, many at a time.
//!
//! [`Storm`] does it by the thousand from a seed. [`Audit`] has the database itself write down who
//! changed which key from what to what. [`Verdict`] says what is wrong once all is calm again.

mod audit;
mod backups;
mod cinder;
mod keys;
mod migrations;
mod secrets;
mod snapshots;
mod storm;
mod verdict;
mod volumes;

pub use audit::{Audit, Change, Writer};
pub use cinder::Cinder;
pub use keys::Keys;
pub use secrets::{BarbicanTables, Secret};
pub use storm::{Report, Storm};
pub use verdict::Verdict;

//! Kills the program where it hurts: at each call by which it changes something outside of itself.
//!
//! `strace` can kill at the Nth call of a kind, but counts for each thread by itself, and cannot
//! tell a file from the log; so the program is traced here.

mod call;
mod large_run;
mod small_run;
mod traced;
mod watch;

pub use call::Call;
pub use large_run::{LargeRun, migrated};
pub use small_run::{SmallRun, Template};
pub use traced::{Outcome, Waiting};
pub use watch::{Post, Watch};

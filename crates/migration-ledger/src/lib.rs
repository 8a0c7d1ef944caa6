#![doc = include_str!("../README.md")]

mod faults;
mod ledger;
mod lock;
mod place;
mod preflight;
mod queue;
mod reader;
mod recall;
mod record;
mod schema;
mod store;
mod writer;

pub use self::ledger::MigrationLedger;
pub use self::lock::is_in_use;
pub use self::preflight::{Place, examine};
pub use self::reader::{last_switch, open_intents, recorded};

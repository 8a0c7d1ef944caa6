//! Ledgers in real directories, with real faults; and the ledger in memory that the domain's tests
//! run on, held to the same.

mod beside;
mod cases;
mod deletion;
mod durability;
mod elsewhere;
mod faults;
mod long;
#[path = "../../../key-migration/tests/domain/support/ledger.rs"]
mod memory;
mod model;
mod support;

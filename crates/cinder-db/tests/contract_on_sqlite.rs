//! The contract of the adapter, on SQLite. The end-to-end tests run the same cases, and more, on
//! MariaDB.

#[macro_use]
#[path = "../../../tests/tests/cinder_db/cases/mod.rs"]
mod cases;

use key_migrator_tests::CinderDatabase;

contract!(CinderDatabase::sqlite);

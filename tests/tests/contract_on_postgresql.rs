//! The contract of the database adapter, on PostgreSQL with Cinder's own tables there.

#[macro_use]
#[path = "cinder_db/cases/mod.rs"]
mod cases;

use anyhow::Result;
use key_migrator_tests::{CinderDatabase, Dialect, Services};

async fn fresh() -> Result<CinderDatabase> {
    CinderDatabase::new(&Services::from_env(), Dialect::Postgres).await
}

contract!(fresh);

//! The contract of the database adapter, on PostgreSQL with Cinder's own tables there.

use anyhow::Result;
use key_migrator_tests::{CinderDatabase, Dialect, Services};

async fn fresh() -> Result<CinderDatabase> {
    CinderDatabase::new(&Services::from_env(), Dialect::Postgres).await
}

contract!(fresh);

//! The contract of the database adapter through PgBouncer, which hands the same six connections of
//! the server from one session to the other with every transaction; and a whole run.

use anyhow::Result;
use key_migrator_tests::database::Through;
use key_migrator_tests::pgbouncer::PgBouncer;
use key_migrator_tests::{CinderDatabase, Dialect, Services};

async fn fresh() -> Result<Through<PgBouncer>> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::Postgres).await?;
    let bouncer = PgBouncer::before(&services.postgresql).await?;
    let port = bouncer.port();
    Ok(Through::new(
        database,
        services.postgresql.port,
        port,
        bouncer,
    ))
}

contract!(fresh);

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_share_its_connections_and_each_row_moves_once() -> Result<()> {
    let database = fresh().await?;
    crate::two_programs::each_row_moves_once(&database).await
}

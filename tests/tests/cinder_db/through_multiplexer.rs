//! The contract of the database adapter through what hands MariaDB's connections from one session
//! to the other with every statement; and a whole run.

use std::collections::BTreeSet;

use anyhow::Result;
use key_migrator_tests::database::Through;
use key_migrator_tests::multiplexer::Multiplexer;
use key_migrator_tests::{CinderDatabase, Dialect, Services};
use sqlx::Connection as _;
use sqlx::mysql::MySqlConnection;

async fn fresh() -> Result<Through<Multiplexer>> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let multiplexer = Multiplexer::before(services.mariadb.port).await?;
    let port = multiplexer.port();
    Ok(Through::new(
        database,
        services.mariadb.port,
        port,
        multiplexer,
    ))
}

contract!(fresh);

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_share_its_connections_and_each_row_moves_once() -> Result<()> {
    let database = fresh().await?;
    crate::two_programs::each_row_moves_once(&database).await
}

/// What stands in between does what it is there for.
#[tokio::test]
async fn statements_of_one_session_go_to_several_connections_with_its_settings() -> Result<()> {
    let database = fresh().await?;
    let url = database.connection_url().replace("mysql+pymysql", "mysql");
    let (mut one, mut other) = (
        MySqlConnection::connect(&url).await?,
        MySqlConnection::connect(&url).await?,
    );
    sqlx::raw_sql("SET SESSION innodb_lock_wait_timeout = 7")
        .execute(&mut one)
        .await?;
    let mut connections = BTreeSet::new();
    for _ in 0..6 {
        let sql = "SELECT CONNECTION_ID(), @@innodb_lock_wait_timeout";
        let (connection, timeout): (u64, u64) = sqlx::query_as(sql).fetch_one(&mut one).await?;
        assert_eq!(timeout, 7);
        connections.insert(connection);
        let (_, timeout): (u64, u64) = sqlx::query_as(sql).fetch_one(&mut other).await?;
        assert_ne!(timeout, 7);
    }
    assert!(connections.len() > 1, "{connections:?}");
    let mut transaction = one.begin().await?;
    let mut connections = BTreeSet::new();
    for _ in 0..6 {
        let sql = "SELECT CONNECTION_ID()";
        let connection: u64 = sqlx::query_scalar(sql).fetch_one(&mut *transaction).await?;
        connections.insert(connection);
        sqlx::query_scalar::<_, u64>(sql)
            .fetch_one(&mut other)
            .await?;
    }
    assert_eq!(connections.len(), 1, "a transaction stays where it began");
    Ok(())
}

//! A server on which nothing is committed unless it is asked for (`autocommit = 0`), as some sites
//! configure it. On such a one a mere read opens a transaction, which would keep its lock on the
//! table for as long as the connection rests.

use anyhow::{Context as _, Result};
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::Scope;
use secrecy::SecretString;

use crate::mariadb::Server;

#[tokio::test]
async fn a_resting_connection_keeps_no_schema_change_waiting() -> Result<()> {
    let server = Server::without_autocommit()?;
    let url = SecretString::from(server.url("", ""));
    let (config, _) = ConnectionConfig::parse(&url)?;
    let db = CinderDb::new(config);
    let scope = Scope::Backups(vec!["h".into()]);
    assert_eq!(db.count_zero_rows(&scope).await?, 1);
    let mut other = server.root().await?;
    // NOWAIT: it is refused where it would have to wait for the reader above.
    sqlx::raw_sql("ALTER TABLE cinder.backups NOWAIT ADD COLUMN size INT, ALGORITHM = COPY")
        .execute(&mut other)
        .await
        .context("a schema change beside a connection that rests")?;
    assert_eq!(db.count_zero_rows(&scope).await?, 1);
    Ok(())
}

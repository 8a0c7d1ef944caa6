//! The schema file that the sandbox and the SQLite tests replay is Cinder's own.

use anyhow::Result;
use key_migrator_tests::Services;

#[tokio::test]
async fn the_schema_file_is_what_a_fresh_db_sync_makes() -> Result<()> {
    let committed = include_str!("../../crates/sandbox-cloud/schema/cinder-29.0.0.sqlite.sql");
    let fresh = Services::from_env()
        .python()
        .run("cinder_schema.py", "")
        .await?;
    let differing = committed
        .lines()
        .zip(fresh.lines())
        .find(|(ours, theirs)| ours != theirs);
    assert_eq!(differing, None);
    assert_eq!(committed, fresh);
    Ok(())
}

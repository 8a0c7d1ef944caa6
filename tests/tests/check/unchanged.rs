//! Without `--probe` nothing at all is changed, and with it nothing stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use key_migrator_tests::{Dialect, RoleWorld, Services};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};

use crate::stage::Stage;

/// Every file below a folder with its bytes and its mode.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    use std::os::unix::fs::MetadataExt as _;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = path.metadata()?.mode();
        if path.is_dir() {
            files.extend(self::files(&path)?);
            files.insert(path, (mode, Vec::new()));
        } else {
            let bytes = std::fs::read(&path)?;
            files.insert(path, (mode, bytes));
        }
    }
    Ok(files)
}

/// Every row of every table of a database on the private MariaDB, summed up by the server.
async fn tables(name: &str) -> Result<BTreeMap<String, Option<i64>>> {
    let options = Services::from_env().mariadb.options().database(name);
    let mut connection = MySqlConnection::connect_with(&options).await?;
    let names = "SELECT CONCAT('CHECKSUM TABLE `', table_name, '`') FROM \
                 information_schema.tables WHERE table_schema = DATABASE()";
    let mut sums = BTreeMap::new();
    for row in sqlx::raw_sql(names).fetch_all(&mut connection).await? {
        let sql: String = row.try_get(0)?;
        let sum = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await?;
        sums.insert(sum.try_get(0)?, sum.try_get(1)?);
    }
    Ok(sums)
}

/// What Barbican has of a project, deleted or not, and when it was last changed.
async fn secrets(project_id: &str) -> Result<Vec<(String, String)>> {
    let options = Services::from_env().mariadb.options();
    let options = options.database("barbican_as_shipped");
    let mut connection = MySqlConnection::connect_with(&options).await?;
    let sql = format!(
        "SELECT CAST(secrets.id AS CHAR), CAST(CONCAT_WS(' ', secrets.updated_at, \
         secrets.deleted, secrets.status, secret_acls.updated_at) AS CHAR) FROM secrets \
         JOIN projects ON projects.id = secrets.project_id \
         LEFT JOIN secret_acls ON secret_acls.secret_id = secrets.id \
         WHERE projects.external_id = '{project_id}' ORDER BY 1, 2"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(&mut connection)
        .await?;
    let read = |row: &sqlx::mysql::MySqlRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn without_a_probe_database_barbican_and_disk_stay_as_they_are() -> Result<()> {
    let stage = Stage::set_on(Dialect::MariaDb, RoleWorld::AsShipped).await?;
    // Some secrets and a ledger are there.
    let arguments = ["run", "--once", "--service", "backup"];
    let folder = std::sync::Arc::clone(&stage.folder);
    let ended = key_migrator_tests::Program::start_in(folder, &stage.conf, arguments)?;
    assert_eq!(ended.ended().await?.code(), Some(0));
    let logs = stage.path("logs");
    let conf = stage.conf.clone();
    let conf = conf.set("DEFAULT", "log_dir", logs.to_str().expect("UTF-8"));
    conf.write_to(stage.folder.path())?;
    let url = stage.database.connection_url();
    let name = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split(':').next());
    let name = name.expect("a user");
    let look = async || {
        let disk = files(stage.folder.path())?;
        anyhow::Ok((
            disk,
            tables(name).await?,
            secrets(&stage.cinder.project_id).await?,
        ))
    };
    let before = look().await?;
    assert!(before.0.keys().any(|path| path.ends_with("ledger.sqlite")));
    assert!(before.1.len() > 30, "{:?}", before.1);
    assert_eq!(before.2.len(), 1, "{:?}", before.2);
    stage.check_as(&conf).await?.is_all_success();
    let after = look().await?;
    assert_eq!(before.0, after.0);
    assert_eq!(before.1, after.1);
    assert_eq!(before.2, after.2);

    let said = stage.check_with(&conf, &["--probe"]).await?;
    said.is_all_success();
    let probed = look().await?;
    assert_eq!((&before.0, &before.1), (&probed.0, &probed.1));
    let kept: Vec<_> = before
        .2
        .iter()
        .filter(|row| probed.2.contains(row))
        .collect();
    assert_eq!(kept.len(), before.2.len());
    Ok(())
}

#[tokio::test]
async fn an_sqlite_database_stays_byte_for_byte() -> Result<()> {
    let stage = Stage::set().await?;
    let path = PathBuf::from(
        stage
            .database
            .connection_url()
            .replacen("sqlite:///", "", 1),
    );
    let folder = path.parent().expect("a folder");
    let before = files(folder)?;
    stage.check().await?.is_all_success();
    assert_eq!(before, files(folder)?);
    Ok(())
}

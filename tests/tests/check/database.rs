//! Cinder's database: reachable, whole, writable, and what is in it.

use anyhow::Result;
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::{Backup, CinderDatabase, Dialect, RoleWorld, Services, Snapshot, Volume};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};

use crate::stage::Stage;

/// What its administrator does.
async fn administer(database: &CinderDatabase, sql: &str) -> Result<()> {
    let services = Services::from_env();
    let name = name(database);
    let sql = AssertSqlSafe(sql.to_owned());
    if database.dialect() == Dialect::Postgres {
        let options = services.postgresql.options().database(&name);
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        return Ok(connection.close().await?);
    }
    let options = services.mariadb.options().database(&name);
    let mut connection = MySqlConnection::connect_with(&options).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// The database's, and its user's.
fn name(database: &CinderDatabase) -> String {
    let url = database.connection_url();
    let name = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split(':').next());
    name.expect("a user").to_owned()
}

#[tokio::test]
async fn the_database_must_answer_and_let_us_in() -> Result<()> {
    let stage = Stage::set_on(Dialect::MariaDb, RoleWorld::AsShipped).await?;
    stage.check().await?.is_all_success();
    let url = stage.database.connection_url();
    let at = url.rfind("@127.0.0.1:").expect("an address");
    let away = format!("{}@127.0.0.1:{}/cinder", &url[..at], free_port()?);
    let conf = stage.conf.clone().set("database", "connection", &away);
    let said = stage.check_as(&conf).await?;
    said.fails("Database", "cannot be reached", "connection leads to it");
    let name = name(&stage.database);
    let wrong = url.replacen(&format!("://{name}:"), &format!("://{name}:not"), 1);
    let conf = stage.conf.clone().set("database", "connection", &wrong);
    let said = stage.check_as(&conf).await?;
    said.fails("Database", "refuses", "check user, password and host");
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named() -> Result<()> {
    for dialect in Dialect::ALL {
        let stage = Stage::set_on(dialect, RoleWorld::AsShipped).await?;
        let remedy = "cinder-manage db sync";
        // Another connection of the rig's own pool would not see SQLite's column renamed.
        if dialect != Dialect::Sqlite {
            for (from, to) in [("volume_id", "elsewhere"), ("elsewhere", "volume_id")] {
                let sql = format!("ALTER TABLE backups RENAME COLUMN {from} TO {to}");
                stage.database.execute(&sql).await?;
                let said = stage.check().await?;
                match to {
                    "elsewhere" => {
                        let details = "It has no backups.volume_id.";
                        said.fails("Database schema", details, remedy);
                    }
                    _ => said.is_all_success(),
                }
            }
        }
        stage
            .database
            .execute("ALTER TABLE services RENAME TO elsewhere")
            .await?;
        let said = stage.check().await?;
        said.fails("Database schema", "It has no services.", remedy);
        stage
            .database
            .execute("ALTER TABLE elsewhere RENAME TO services")
            .await?;
        stage.check().await?.is_all_success();
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_may_only_read_is_told_the_grants_which_then_suffice() -> Result<()> {
    for dialect in [Dialect::MariaDb, Dialect::Postgres] {
        let stage = Stage::set_on(dialect, RoleWorld::AsShipped).await?;
        let said = stage.check().await?;
        said.is_all_success();
        let more = said.details("Database grants");
        assert!(more.contains("and more"), "{more}");
        let name = name(&stage.database);
        let only_read = match dialect {
            Dialect::Postgres => format!(
                "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}; \
                 GRANT SELECT ON volumes, snapshots, backups, services TO {name}"
            ),
            _ => format!(
                "REVOKE ALL ON {name}.* FROM {name}@'%'; GRANT SELECT ON {name}.* TO {name}@'%'"
            ),
        };
        administer(&stage.database, &only_read).await?;
        let said = stage.check().await?;
        let grant = "GRANT UPDATE (encryption_key_id, updated_at) ON ";
        said.fails("Database grants", "may not be changed", grant);
        administer(&stage.database, said.remedy("Database grants")).await?;
        let said = stage.check().await?;
        said.is_all_success();
        assert_eq!(
            said.details("Database grants"),
            "What is needed and no more."
        );

        let not_even = match dialect {
            Dialect::Postgres => format!("REVOKE SELECT ON backups FROM {name}"),
            _ => format!(
                "REVOKE SELECT ON {name}.* FROM {name}@'%'; \
                 GRANT SELECT ON {name}.volumes TO {name}@'%'; \
                 GRANT SELECT ON {name}.snapshots TO {name}@'%'; \
                 GRANT SELECT ON {name}.services TO {name}@'%'"
            ),
        };
        administer(&stage.database, &not_even).await?;
        let said = stage.check().await?;
        assert_eq!(said.code, Some(2));
        assert!(
            said.remedy("Database grants").contains("GRANT SELECT"),
            "{said:#?}"
        );
        administer(&stage.database, said.remedy("Database grants")).await?;
        stage.check().await?.is_all_success();
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_nobody_may_change_is_told() -> Result<()> {
    let stage = Stage::set_on(Dialect::Postgres, RoleWorld::AsShipped).await?;
    let name = name(&stage.database);
    let closed = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    administer(&stage.database, &closed).await?;
    let said = stage.check().await?;
    let remedy = "name the server that takes changes";
    said.fails("Database grants", "The database is read-only", remedy);
    let open = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    administer(
        &stage.database,
        &format!("SET transaction_read_only = off; {open}"),
    )
    .await?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn who_may_not_see_when_rows_changed_does_not_see_cinders_own_migrator() -> Result<()> {
    let stage = Stage::set_on(Dialect::Postgres, RoleWorld::AsShipped).await?;
    let name = name(&stage.database);
    let columns = "id, user_id, host, status, encryption_key_id, deleted, deleted_at";
    let only_these = format!(
        "REVOKE SELECT ON volumes, backups FROM {name}; \
         GRANT SELECT ({columns}, cluster_name, migration_status) ON volumes TO {name}; \
         GRANT SELECT ({columns}, volume_id) ON backups TO {name}"
    );
    administer(&stage.database, &only_these).await?;
    let said = stage.check().await?;
    let remedy = "GRANT SELECT (updated_at) ON volumes and backups";
    said.warns("Cinder's own migrator", "Not looked at: ", remedy);
    let granted = format!(
        "GRANT SELECT (updated_at) ON volumes TO {name}; \
         GRANT SELECT (updated_at) ON backups TO {name}"
    );
    administer(&stage.database, &granted).await?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn a_host_without_any_row_may_have_another_name() -> Result<()> {
    let stage = Stage::set().await?;
    let other = stage.conf.clone().host("host1.example");
    let said = stage.check_as(&other).await?;
    said.warns(
        "Rows of this host",
        "host1.example@lvm: no row at all",
        "[DEFAULT] host",
    );
    let none = stage.conf.clone().backends(&[]);
    let said = stage.check_as(&none).await?;
    said.warns(
        "Rows of this host",
        "no backend is enabled",
        "enabled_backends",
    );
    let said = stage.check_with(&none, &["--service", "backup"]).await?;
    said.is_all_success();
    let said = stage.check().await?;
    let details = "volume, host1@lvm: 1 at zeros; backup, host1: 1 at zeros.";
    assert_eq!(said.details("Rows of this host"), details);
    Ok(())
}

#[tokio::test]
async fn rows_that_no_live_service_owns_are_counted() -> Result<()> {
    let stage = Stage::set().await?;
    stage.database.insert(&Volume::on("gone@lvm#lvm")).await?;
    stage.database.insert(&Backup::without_host()).await?;
    let said = stage.check().await?;
    let details = "2 volumes, 2 snapshots, 2 backups; of these 1 volumes and 1 backups";
    said.warns(
        "Rows that no live service owns",
        details,
        "extra_hosts = HOST@BACKEND",
    );
    for table in ["volumes", "backups"] {
        let sql = format!("DELETE FROM {table} WHERE host IS NULL OR host LIKE 'gone%'");
        stage.database.execute(&sql).await?;
    }
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn users_of_others_volumes_are_counted_and_named() -> Result<()> {
    for dialect in Dialect::ALL {
        let stage = Stage::set_on(dialect, RoleWorld::AsShipped).await?;
        const LINE: &str = "Users of others' volumes";
        for snapshot in 0..3 {
            let of = Snapshot::of(&stage.volume);
            let of = match snapshot {
                0 => of.owned_by("operator"),
                _ => of.owned_by("nightly"),
            };
            stage.database.insert(&of).await?;
        }
        let backup = Backup::on("host1").of(&stage.volume).owned_by("nightly");
        stage.database.insert(&backup).await?;
        let said = stage.check().await?;
        let details = "2 users have 3 snapshots and 1 backups of others' volumes";
        said.warns(LINE, details, "extra_acl_users = nightly,operator;");
        let conf = stage.conf.clone();
        let conf = conf.set("key_migrator", "extra_acl_users", "nightly,operator");
        stage.check_as(&conf).await?.is_all_success();
    }
    Ok(())
}

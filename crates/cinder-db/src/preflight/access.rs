//! What the tables have and what may be done with them. The database itself is asked, by statements
//! that it only explains: so roles, patterns and proxies count as they do later on.

use rustix::fs::{Access as Right, access};

use crate::connection::Target;
use crate::dialect::Dialect;
use crate::failure::Failure;
use crate::session::{Session, Verdict};
use crate::statement::Statement;

/// The tables and columns that this program reads; the rest it only writes.
const READ: [(&str, &[&str]); 4] = [
    (
        "volumes",
        &[
            "id",
            "user_id",
            "host",
            "cluster_name",
            "status",
            "migration_status",
            "encryption_key_id",
            "deleted",
            "deleted_at",
        ],
    ),
    (
        "snapshots",
        &[
            "id",
            "volume_id",
            "user_id",
            "status",
            "encryption_key_id",
            "deleted",
            "deleted_at",
        ],
    ),
    (
        "backups",
        &[
            "id",
            "volume_id",
            "user_id",
            "host",
            "status",
            "encryption_key_id",
            "deleted",
            "deleted_at",
        ],
    ),
    (
        "services",
        &["binary", "host", "cluster_name", "updated_at", "deleted"],
    ),
];

/// Those of which it changes `encryption_key_id` and `updated_at`.
const WRITTEN: [&str; 3] = ["volumes", "snapshots", "backups"];

/// What the database has and lets us do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Columns that do not exist, as in `volumes.cluster_name`; a table alone where it is the whole
    /// table.
    pub missing: Vec<String>,
    /// What has to be allowed, as statements for an administrator of the database; for SQLite, for
    /// a shell.
    pub grants: Vec<String>,
    /// Whether nobody at all may change anything in it now.
    pub read_only: bool,
    /// Whether the user may do more than is needed.
    pub more_than_needed: bool,
}

pub(super) async fn look(session: &mut Session, target: &Target) -> Result<Access, Failure> {
    let mut found = Access::default();
    let mut unreadable = Vec::new();
    for (table, columns) in READ {
        let all = columns.iter().map(|column| format!("{table}.{column}"));
        let all: Vec<_> = all.collect();
        match would_read(session, table, &all.join(", ")).await? {
            Verdict::Taken => {}
            Verdict::NotAllowed => unreadable.push(table),
            Verdict::NotThere => {
                found.missing.extend(absent(session, table, all).await?);
            }
        }
    }
    if !found.missing.is_empty() {
        return Ok(found);
    }
    let mut unwritable = Vec::new();
    for table in WRITTEN {
        match would_change(session, table).await? {
            Verdict::Taken => {}
            Verdict::NotAllowed => unwritable.push(table),
            Verdict::NotThere => found.missing.push(format!("{table}.updated_at")),
        }
    }
    found.grants = match target {
        Target::Sqlite(path) => sqlite_rights(path),
        _ => grants(session, &unreadable, &unwritable).await?,
    };
    found.read_only = is_read_only(session).await?;
    found.more_than_needed = more_than_needed(session).await?;
    Ok(found)
}

async fn would_read(
    session: &mut Session,
    table: &'static str,
    columns: &str,
) -> Result<Verdict, Failure> {
    let sql = format!("SELECT {columns} FROM {table} WHERE 1 = 0");
    let statement = Statement::on(session.dialect(), table, &sql);
    session.would_take(&statement).await
}

/// Which of these columns do not exist, or the table if none does.
async fn absent(
    session: &mut Session,
    table: &'static str,
    columns: Vec<String>,
) -> Result<Vec<String>, Failure> {
    let mut absent = Vec::new();
    let all = columns.len();
    for column in columns {
        if would_read(session, table, &column).await? == Verdict::NotThere {
            absent.push(column);
        }
    }
    if absent.len() == all {
        return Ok(vec![table.to_owned()]);
    }
    Ok(absent)
}

async fn would_change(session: &mut Session, table: &'static str) -> Result<Verdict, Failure> {
    let now = session.dialect().now();
    let sql = format!(
        "EXPLAIN UPDATE {table} SET encryption_key_id = encryption_key_id, updated_at = {now} \
         WHERE id = ''"
    );
    let statement = Statement::on(session.dialect(), table, &sql);
    session.would_take(&statement).await
}

/// Whether it may do what this program never does. Files know no such difference.
async fn more_than_needed(session: &mut Session) -> Result<bool, Failure> {
    if session.dialect() == Dialect::Sqlite {
        return Ok(false);
    }
    let sql = "EXPLAIN DELETE FROM volumes WHERE id = ''";
    let statement = Statement::on(session.dialect(), "volumes", sql);
    Ok(session.would_take(&statement).await? == Verdict::Taken)
}

async fn is_read_only(session: &mut Session) -> Result<bool, Failure> {
    let sql = match session.dialect() {
        // Who has the right SUPER may write all the same, but Cinder's user has no reason to.
        Dialect::MySql => "SELECT CAST(@@GLOBAL.read_only AS SIGNED)",
        // A standby, or a primary that was closed for writing.
        Dialect::Postgres => {
            "SELECT CAST(CAST(pg_is_in_recovery() OR \
             current_setting('default_transaction_read_only') = 'on' AS INTEGER) AS BIGINT)"
        }
        Dialect::Sqlite => return Ok(false),
    };
    let statement = Statement::on(session.dialect(), "(none)", sql);
    let rows = session.rows(&statement).await?;
    Ok(rows.first().map_or(Ok(0), |row| row.count(0))? != 0)
}

/// What an administrator types.
async fn grants(
    session: &mut Session,
    unreadable: &[&'static str],
    unwritable: &[&'static str],
) -> Result<Vec<String>, Failure> {
    if unreadable.is_empty() && unwritable.is_empty() {
        return Ok(Vec::new());
    }
    let (database, user) = who_and_where(session).await?;
    let mut grants = Vec::new();
    for (table, _) in READ {
        let mut rights = Vec::new();
        if unreadable.contains(&table) {
            rights.push("SELECT");
        }
        if unwritable.contains(&table) {
            rights.push("UPDATE (encryption_key_id, updated_at)");
        }
        if !rights.is_empty() {
            let rights = rights.join(", ");
            grants.push(format!("GRANT {rights} ON {database}{table} TO {user};"));
        }
    }
    Ok(grants)
}

/// The database, as it stands before a table's name, and the user, both quoted.
async fn who_and_where(session: &mut Session) -> Result<(String, String), Failure> {
    let dialect = session.dialect();
    let sql = match dialect {
        Dialect::MySql => "SELECT DATABASE(), CURRENT_USER()",
        Dialect::Postgres | Dialect::Sqlite => {
            "SELECT CAST(current_schema() AS TEXT), CAST(current_user AS TEXT)"
        }
    };
    let rows = session.rows(&Statement::on(dialect, "(none)", sql)).await?;
    let Some(row) = rows.first() else {
        return Ok((String::new(), "the user in [database] connection".into()));
    };
    let text = |column| Ok(row.text(column)?.unwrap_or_default());
    let (database, user) = (text(0)?, text(1)?);
    Ok(match dialect {
        Dialect::MySql => {
            let (name, host) = user.rsplit_once('@').unwrap_or((&user, "%"));
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let database = format!("`{}`.", database.replace('`', "``"));
            (database, format!("{}@{}", quoted(name), quoted(host)))
        }
        _ => {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            (format!("{}.", quoted(&database)), quoted(&user))
        }
    })
}

/// SQLite writes its journal beside the file, so both must be writable.
fn sqlite_rights(path: &std::path::Path) -> Vec<String> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut rights = Vec::new();
    for path in [Some(path), folder].into_iter().flatten() {
        let refused = access(path, Right::READ_OK | Right::WRITE_OK).is_err();
        if refused {
            rights.push(format!(
                "setfacl -m u:{}:rwX {}",
                rustix::process::geteuid().as_raw(),
                path.display()
            ));
        }
    }
    rights
}

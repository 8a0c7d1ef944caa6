//! Who works on volumes of others: service accounts that make backups, mostly.

use key_migration::ids::{ResourceKind, UserId};
use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::rows::table;
use crate::session::Session;
use crate::statement::Statement;

/// More users than this are not told apart.
const MOST_USERS: u32 = 1000;

/// A user, and what they have of others' volumes that are at zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherUsers {
    /// The user.
    pub user: UserId,
    /// Their snapshots of others' volumes.
    pub snapshots: u64,
    /// Their backups of others' volumes.
    pub backups: u64,
}

pub(super) async fn look(session: &mut Session) -> Result<Vec<OtherUsers>, Failure> {
    let mut users: BTreeMap<UserId, OtherUsers> = BTreeMap::new();
    for kind in [ResourceKind::Snapshot, ResourceKind::Backup] {
        let statement = of_others(session, kind);
        for row in session.rows(&statement).await? {
            let (Some(user), count) = (row.text(0)?.map(UserId::from), row.count(1)?) else {
                continue;
            };
            let known = users.entry(user.clone()).or_insert(OtherUsers {
                user,
                snapshots: 0,
                backups: 0,
            });
            match kind {
                ResourceKind::Backup => known.backups += count,
                _ => known.snapshots += count,
            }
        }
    }
    let mut users: Vec<_> = users.into_values().collect();
    users.sort_by_key(|user| std::cmp::Reverse(user.snapshots + user.backups));
    Ok(users)
}

fn of_others(session: &Session, kind: ResourceKind) -> Statement {
    let dialect = session.dialect();
    let table = table(kind);
    let user = dialect.bytes_of(&format!("{table}.user_id"));
    let owner = dialect.bytes_of("volumes.user_id");
    let join = dialect.join_in_this_order();
    let sql = format!(
        "SELECT MIN({table}.user_id), COUNT(*) FROM {table} {join} volumes \
         ON volumes.id = {table}.volume_id WHERE "
    );
    let mut statement = Statement::on(dialect, table, &sql);
    statement
        .not_deleted_in_whole_table()
        .push(" AND ")
        .not_deleted_of("volumes");
    statement.push(" AND volumes.encryption_key_id = '");
    statement.push(key_migration::ids::ALL_ZEROS).push("'");
    statement.push(&format!(
        " AND {user} <> {owner} GROUP BY {user} ORDER BY COUNT(*) DESC LIMIT {MOST_USERS}"
    ));
    statement
}

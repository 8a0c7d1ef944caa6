//! The one change to Cinder's tables: rows leave all zeros for a secret, by compare-and-swap.

use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId, UserId};
use key_migration::rows::{
    RowKey, SETTLED_MIGRATION, Swap, SwapOutcome, TRANSITIONAL_BACKUP, TRANSITIONAL_VOLUME,
};

use crate::failure::Failure;
use crate::rows::{migration_status, select, status, table, volume_id};
use crate::session::Session;
use crate::statement::Statement;

/// Switches the row and, with a volume, its zero snapshots, in one transaction.
pub(crate) async fn switch(session: &mut Session, swap: &Swap) -> Result<SwapOutcome, Failure> {
    let table = table(swap.row.kind);
    session.begin(table).await?;
    let tried = compare_and_swap(session, swap).await;
    if let Ok(Tried::Switched { .. }) = tried {
        session.commit(table).await?;
    } else if !matches!(tried, Err(Failure::Broken(_))) {
        session.roll_back(table).await?;
    }
    match tried? {
        Tried::Switched { snapshots } => Ok(SwapOutcome::Switched { snapshots }),
        Tried::ReadersChanged => Ok(SwapOutcome::ReadersChanged),
        Tried::NothingMatched => why_not(session, swap).await,
    }
}

/// What the statements of a swap found.
enum Tried {
    Switched { snapshots: u64 },
    ReadersChanged,
    NothingMatched,
}

async fn compare_and_swap(session: &mut Session, swap: &Swap) -> Result<Tried, Failure> {
    // As everywhere, the volume is locked before its snapshots.
    if let Some(volume) = &swap.shared_with
        && !refers_to(session, volume, swap.secret, Lock::WithOthers).await?
    {
        return Ok(Tried::NothingMatched);
    }
    if session.write(&swap_of_row(session, swap)).await? != 1 {
        return Ok(Tried::NothingMatched);
    }
    if swap.row.kind != ResourceKind::Volume {
        return Ok(Tried::Switched { snapshots: 0 });
    }
    let snapshots = session.write(&swap_of_snapshots(session, swap)).await?;
    if any_zero_snapshot(session, &swap.row).await? {
        return Ok(Tried::ReadersChanged);
    }
    Ok(Tried::Switched { snapshots })
}

enum Lock {
    WithOthers,
    None,
}

/// Whether the volume is not deleted and refers to the secret. Locked, it goes on doing so until
/// the transaction ends.
async fn refers_to(
    session: &mut Session,
    volume: &RowId,
    secret: SecretId,
    lock: Lock,
) -> Result<bool, Failure> {
    let mut statement = select(session, "encryption_key_id", ResourceKind::Volume);
    statement.not_deleted().push(" AND ");
    statement.exactly("id", volume.as_str());
    if let Lock::WithOthers = lock {
        statement.push(session.dialect().locking_with_others());
    }
    let found = session.rows(&statement).await?;
    let Some(row) = found.first() else {
        return Ok(false);
    };
    Ok(RowKey::from_column(row.text(0)?).is(secret))
}

/// The row, if everything that the secret was made for is still so.
fn swap_of_row(session: &Session, swap: &Swap) -> Statement {
    let mut statement = update(session, swap, swap.row.kind);
    statement.push(" AND ").exactly("id", swap.row.id.as_str());
    match &swap.user_id {
        Some(user) => statement.push(" AND ").exactly("user_id", user.as_str()),
        None => statement.push(" AND user_id IS NULL"),
    };
    if let Some(volume) = &swap.shared_with {
        statement
            .push(" AND ")
            .exactly("volume_id", volume.as_str());
    }
    match swap.row.kind {
        ResourceKind::Volume => {
            not_in(&mut statement, TRANSITIONAL_VOLUME);
            statement.push(" AND (migration_status IS NULL OR migration_status IN (");
            statement
                .bind_all(SETTLED_MIGRATION.iter().copied())
                .push("))");
        }
        ResourceKind::Backup => not_in(&mut statement, TRANSITIONAL_BACKUP),
        ResourceKind::Snapshot => {}
    }
    statement
}

fn not_in(statement: &mut Statement, transitional: &[&str]) {
    statement.push(" AND (status IS NULL OR status NOT IN (");
    statement.bind_all(transitional.iter().copied()).push("))");
}

/// The volume's snapshots at zeros whose users may read the secret. A volume's lock does not keep
/// new snapshots away, so the condition on the user is in the very statement that switches them.
fn swap_of_snapshots(session: &Session, swap: &Swap) -> Statement {
    let user_id = session.dialect().bytes_of("user_id");
    let mut statement = update(session, swap, ResourceKind::Snapshot);
    statement
        .push(" AND ")
        .exactly("volume_id", swap.row.id.as_str());
    statement.push(" AND (user_id IS NULL");
    if !swap.readers.is_empty() {
        statement.push(&format!(" OR {user_id} IN ("));
        statement
            .bind_all(swap.readers.iter().map(UserId::as_str))
            .push(")");
    }
    statement.push(")");
    statement
}

/// `UPDATE ... SET ... WHERE` at zeros and not deleted.
fn update(session: &Session, swap: &Swap, kind: ResourceKind) -> Statement {
    let table = table(kind);
    let mut statement = Statement::on(session.dialect(), table, "UPDATE ");
    statement.push(table).push(" SET encryption_key_id = ");
    statement.bind(swap.secret.to_string());
    statement
        .push(", updated_at = ")
        .push(session.dialect().now());
    statement
        .push(" WHERE ")
        .not_deleted()
        .push(" AND ")
        .at_zeros();
    statement
}

/// Whether a snapshot of the volume is left at zeros: one whose user may not read the secret.
async fn any_zero_snapshot(session: &mut Session, volume: &RowRef) -> Result<bool, Failure> {
    let mut statement = select(session, "1", ResourceKind::Snapshot);
    statement
        .not_deleted()
        .push(" AND ")
        .at_zeros()
        .push(" AND ");
    statement.exactly("volume_id", volume.id.as_str());
    statement.push(" LIMIT 1");
    Ok(!session.rows(&statement).await?.is_empty())
}

/// Nothing matched: what has changed? Asked in the view of the whole cluster, as this may be the
/// repetition of a swap whose commit another node took.
async fn why_not(session: &mut Session, swap: &Swap) -> Result<SwapOutcome, Failure> {
    session.enter_cluster_view().await?;
    let outcome = outcome_now(session, swap).await?;
    session.leave_cluster_view().await?;
    // Where nothing has changed, it was only between the two statements, or elsewhere.
    outcome.ok_or_else(|| Failure::Contended(format!("{} keeps changing", swap.row)))
}

async fn outcome_now(session: &mut Session, swap: &Swap) -> Result<Option<SwapOutcome>, Failure> {
    let RowRef { kind, id } = &swap.row;
    let columns = format!(
        "encryption_key_id, user_id, status, {}, {}",
        migration_status(*kind),
        volume_id(*kind)
    );
    let mut statement = select(session, &columns, *kind);
    statement.not_deleted().push(" AND ");
    statement.exactly("id", id.as_str());
    let found = session.rows(&statement).await?;
    let Some(row) = found.first() else {
        return Ok(Some(SwapOutcome::Gone));
    };
    let key = RowKey::from_column(row.text(0)?);
    if key.is(swap.secret) {
        return Ok(Some(SwapOutcome::AlreadyHolds));
    }
    if key != RowKey::AllZeros {
        return Ok(Some(SwapOutcome::Lost));
    }
    if let Some(busy) = status(row, 2)?.transitional(*kind) {
        return Ok(Some(SwapOutcome::Transitional(busy)));
    }
    if let Some(volume) = &swap.shared_with
        && (row.text(4)?.as_deref() != Some(volume.as_str())
            || !refers_to(session, volume, swap.secret, Lock::None).await?)
    {
        return Ok(Some(SwapOutcome::VolumeChanged));
    }
    if row.text(1)?.map(UserId::from) != swap.user_id {
        return Ok(Some(SwapOutcome::ReadersChanged));
    }
    Ok(None)
}

//! Whether the database has answered once. The loops do not always ask it: a closed gate may keep
//! them from it.

use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef};
use key_migration::ports::CinderDatabase as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::environment::ServiceEnvironment;

const AGAIN: Duration = Duration::from_secs(5);

/// Asks for a row that does not exist, by its primary key, until the database has an answer. What
/// keeps it from answering is said by the loops.
pub(super) async fn watch(
    environment: watch::Receiver<ServiceEnvironment>,
    reached: watch::Sender<bool>,
    end: CancellationToken,
) {
    tokio::select! {
        () = until_reached(environment) => { reached.send_replace(true); }
        () = end.cancelled() => {}
    }
    end.cancelled().await;
}

async fn until_reached(mut environment: watch::Receiver<ServiceEnvironment>) {
    let nobody = RowRef {
        kind: ResourceKind::Volume,
        id: ALL_ZEROS.into(),
    };
    loop {
        let rows = std::sync::Arc::clone(&environment.borrow_and_update().rows);
        if rows.row(&nobody).await.is_ok() {
            return;
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            Ok(()) = environment.changed() => {}
        }
    }
}

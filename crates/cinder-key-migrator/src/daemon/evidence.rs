//! Keeps what the verdict on the fixed key rests on: the files that commands leave in `state_dir`,
//! and when rows were last seen to change.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use key_audit::evidence::EvidenceStore;
use key_migration::progress::Counted;
use key_migration::verdict::EvidenceBook;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::http::Known;

/// How soon a command's evidence shows.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads it again and again until cancelled.
pub(super) async fn watch(
    state_dir: impl AsRef<Path>,
    mut counted: watch::Receiver<Option<Counted>>,
    known: watch::Sender<Known>,
    end: CancellationToken,
) {
    let store = EvidenceStore::new(state_dir.as_ref());
    let mut complaint = None;
    let mut seen_at_zeros = None;
    loop {
        let count = counted.borrow_and_update().clone();
        if let Some(Counted { counted_at, census }) = count
            && !census.is_clear()
        {
            seen_at_zeros = Some(counted_at);
        }
        let book = read(store.clone(), &mut complaint).await;
        // A ledger that cannot be read is the loops' matter: they block on it.
        let switched = migration_ledger::last_switch(state_dir.as_ref()).await;
        let last_change = latest(seen_at_zeros, switched.ok().flatten());
        known.send_if_modified(|known| {
            let news = Known { book, last_change };
            let is_news = *known != news;
            *known = news;
            is_news
        });
        tokio::select! {
            () = end.cancelled() => return,
            Ok(()) = counted.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What cannot be read is no evidence; that is said once.
async fn read(store: EvidenceStore, complaint: &mut Option<String>) -> EvidenceBook {
    let read = tokio::task::spawn_blocking(move || store.read()).await;
    match read.map_err(|error| error.to_string()) {
        Ok(Ok(book)) => {
            *complaint = None;
            book
        }
        Ok(Err(error)) => complain(error.to_string(), complaint),
        Err(error) => complain(error, complaint),
    }
}

fn complain(error: String, complaint: &mut Option<String>) -> EvidenceBook {
    if complaint.as_ref() != Some(&error) {
        tracing::warn!("The evidence for the removal of fixed_key is not used: {error}");
        *complaint = Some(error);
    }
    EvidenceBook::default()
}

fn latest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.max(other)
}

#[cfg(test)]
mod tests {
    use key_migration::rows::Census;
    use key_migration::verdict::{Evidence, Finding, Item};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_command_keeps_shows_soon_and_rows_at_zeros_are_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        let (count, counted) = watch::channel(None);
        let (known, mut shown) = watch::channel(Known::default());
        let end = CancellationToken::new();
        let task = tokio::spawn(watch(dir.path().to_owned(), counted, known, end.clone()));
        let at = |second| Timestamp::from_second(second).expect("a time");
        let census = |volumes| Census {
            volumes,
            ..Census::default()
        };
        let counted = |second, volumes| {
            Some(Counted {
                counted_at: at(second),
                census: census(volumes),
            })
        };
        count.send_replace(counted(10, 1));
        let seen = shown.wait_for(|known| known.last_change == Some(at(10)));
        assert_eq!(seen.await.expect("seen").book, EvidenceBook::default());
        count.send_replace(counted(20, 0));
        let evidence = Evidence {
            finding: Finding::Clear,
            looked_at: at(15),
            message: "0 images".into(),
        };
        let store = EvidenceStore::new(dir.path());
        store.keep(Item::Images, &evidence).expect("kept");
        let seen = shown.wait_for(|known| !known.book.seen.is_empty()).await;
        let seen = seen.expect("seen").clone();
        assert_eq!(seen.book.seen[&Item::Images], evidence);
        assert_eq!(seen.last_change, Some(at(10)));
        end.cancel();
        task.await.expect("no crash");
    }
}

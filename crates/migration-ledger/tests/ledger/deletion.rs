//! The ledger may be deleted at any moment, also under a running process.

use std::fs;
use std::path::Path;

use key_migration::ids::ResourceKind;
use key_migration::ledger::Recollection;
use key_migration::ports::Ledger;

use crate::support::{Home, KEEPER, intend, ledger_file, open_rows};

async fn listed(ledger: &impl Ledger) -> Vec<ResourceKind> {
    let found = ledger.recall(KEEPER, &[ResourceKind::Volume]).await;
    found.expect("readable").listed
}

/// A ledger in which a listing and a row are recorded loses its files so, and another one begins.
async fn begins_anew_after(delete: impl FnOnce(&Path)) {
    let home = Home::new();
    let ledger = home.ledger();
    let claim = ledger.listed(KEEPER, ResourceKind::Volume).await;
    claim.expect("writable");
    intend(&ledger, "lost").await;
    delete(&home.state_dir());
    intend(&ledger, "v1").await;
    assert_eq!(open_rows(&ledger).await, ["v1"]);
    assert_eq!(listed(&ledger).await, []);
    ledger.close().await;
    let next_process = home.ledger();
    assert_eq!(open_rows(&next_process).await, ["v1"]);
    assert_eq!(listed(&next_process).await, []);
}

#[tokio::test]
async fn another_ledger_is_begun_when_the_file_is_deleted() {
    begins_anew_after(|dir| fs::remove_file(ledger_file(dir)).expect("deleted")).await;
}

#[tokio::test]
async fn another_ledger_is_begun_when_all_its_files_are_deleted() {
    begins_anew_after(|dir| {
        for file in [
            "ledger.sqlite",
            "ledger.sqlite-wal",
            "ledger.sqlite-shm",
            "lock",
        ] {
            fs::remove_file(dir.join(file)).expect("deleted");
        }
    })
    .await;
}

#[tokio::test]
async fn another_ledger_is_begun_when_the_directory_is_deleted() {
    begins_anew_after(|dir| fs::remove_dir_all(dir).expect("deleted")).await;
}

#[tokio::test]
async fn another_ledger_is_begun_when_the_directory_is_moved_away() {
    begins_anew_after(|dir| fs::rename(dir, dir.with_extension("old")).expect("moved")).await;
}

#[tokio::test]
async fn a_recollection_after_a_deletion_is_empty() {
    let home = Home::new();
    let ledger = home.ledger();
    let claim = ledger.listed(KEEPER, ResourceKind::Volume).await;
    claim.expect("writable");
    intend(&ledger, "lost").await;
    fs::remove_dir_all(home.state_dir()).expect("deleted");
    let found = ledger.recall(KEEPER, &[ResourceKind::Volume]).await;
    assert_eq!(found, Ok(Recollection::default()));
}

#[tokio::test]
async fn an_older_copy_that_is_put_in_its_place_claims_no_listing() {
    let home = Home::new();
    let ledger = home.ledger();
    let claim = ledger.listed(KEEPER, ResourceKind::Volume).await;
    claim.expect("writable");
    intend(&ledger, "old").await;
    ledger.close().await;
    let file = ledger_file(&home.state_dir());
    let copy = home.state_dir().join("copy");
    fs::copy(&file, &copy).expect("copied");

    let ledger = home.ledger();
    assert_eq!(listed(&ledger).await, [ResourceKind::Volume]);
    intend(&ledger, "lost").await;
    fs::rename(&copy, &file).expect("replaced");
    for log in ["ledger.sqlite-wal", "ledger.sqlite-shm"] {
        fs::remove_file(home.state_dir().join(log)).expect("deleted");
    }
    intend(&ledger, "new").await;
    assert_eq!(open_rows(&ledger).await, ["old", "new"]);
    assert_eq!(listed(&ledger).await, []);
}

#[tokio::test]
async fn nothing_is_lost_with_the_write_ahead_log_of_a_running_process() {
    let home = Home::new();
    let ledger = home.ledger();
    let claim = ledger.listed(KEEPER, ResourceKind::Volume).await;
    claim.expect("writable");
    intend(&ledger, "v1").await;
    fs::remove_file(home.state_dir().join("ledger.sqlite-wal")).expect("deleted");
    intend(&ledger, "v2").await;
    ledger.close().await;
    let next_process = home.ledger();
    assert_eq!(open_rows(&next_process).await, ["v1", "v2"]);
    assert_eq!(listed(&next_process).await, [ResourceKind::Volume]);
}

//! Who may read a secret follows the users of what depends on its volume.

use key_migration::ids::Service;

use crate::support::*;

fn may_read(cloud: &Cloud, user: &str) -> bool {
    let secret = cloud.secret_of(&volume("v1"));
    let readers = secret.and_then(|secret| secret.readers);
    readers.is_some_and(|readers| readers.contains(&user.into()))
}

/// A daemon that has migrated Alice's volume.
async fn migrated(cloud: &Cloud) -> Daemon {
    let daemon = Daemon::start(cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    assert!(may_read(cloud, ALICE) && !may_read(cloud, BOB));
    daemon
}

/// Bob takes a snapshot, which gets the volume's key.
fn bob_takes_a_snapshot(cloud: &Cloud) {
    let mut world = cloud.world();
    let key = world.row(&volume("v1")).key.clone();
    world.add_snapshot("s1", "v1", BOB);
    world.row(&snapshot("s1")).key = key;
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_snapshot_later_may_read_its_key_until_it_is_deleted() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = migrated(&cloud).await;
    bob_takes_a_snapshot(&cloud);
    daemon.works_for(minutes(2)).await;
    assert!(may_read(&cloud, ALICE) && may_read(&cloud, BOB));
    let requests = cloud.calls(Op::SetReaders).len();
    daemon.works_for(minutes(20)).await;
    assert_eq!(cloud.calls(Op::SetReaders).len(), requests);
    assert_eq!(log.take_with("Corrected who may read").len(), 1);
    cloud.world().delete(&snapshot("s1"));
    daemon.works_for(minutes(2)).await;
    assert!(may_read(&cloud, ALICE) && !may_read(&cloud, BOB));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_ours_keeps_its_readers() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = migrated(&cloud).await;
    let theirs = cloud.world().insert_secret("");
    cloud.world().rekey(&volume("v1"), &theirs.to_string());
    bob_takes_a_snapshot(&cloud);
    daemon.works_for(minutes(5)).await;
    assert!(cloud.world().secret(theirs).readers.is_none());
}

#[tokio::test(start_paused = true)]
async fn readers_that_cannot_be_set_now_are_set_later_and_hold_nothing_up() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = migrated(&cloud).await;
    cloud.always(Op::SetReaders, role_missing());
    bob_takes_a_snapshot(&cloud);
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.reason(), None);
    cloud.heal();
    daemon.works_for(minutes(3)).await;
    assert!(may_read(&cloud, BOB));
}

//! Windows of failure that need a ledger, a peer or a snapshot whose volume has moved; each test
//! bears the number of its window. The others are beside what they are about.

use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, SecretName, Service};
use key_migration::reasons::{Reason, ServiceState};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn w1_a_run_that_is_killed_before_its_intent_leaves_nothing_behind() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.slow(Op::Row, seconds(20));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(5)).await;
    daemon.kill().await;
    assert!(cloud.calls(Op::Store).is_empty());
    cloud.world().fast_again();
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(10)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert!(cloud.calls(Op::Find).is_empty(), "nothing is in doubt");
}

#[tokio::test(start_paused = true)]
async fn w10_a_row_that_falls_back_to_zeros_gets_the_secret_that_the_ledger_knows() {
    for restarts in [false, true] {
        let (cloud, _log) = scene();
        let cloud = cloud.with_volumes(2);
        let mut daemon = Daemon::start(&cloud, settings(Service::Volume));
        daemon.works_for(minutes(2)).await;
        let before = cloud.secret_of(&volume("v1")).unwrap().id;
        if restarts {
            daemon.stop().await;
            daemon = Daemon::start(&cloud, settings(Service::Volume));
        }
        cloud.world().rekey(&volume("v1"), ALL_ZEROS);
        daemon.works_for(minutes(2)).await;
        assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, before);
        assert_eq!(cloud.live_secrets().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn w10_a_row_whose_secret_another_row_holds_by_now_gets_a_new_one() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    let taken = cloud.secret_of(&volume("v1")).unwrap().id;
    {
        let mut world = cloud.world();
        world.rekey(&volume("v2"), &taken.to_string());
        world.rekey(&volume("v1"), ALL_ZEROS);
    }
    daemon.works_for(minutes(2)).await;
    assert_ne!(cloud.secret_of(&volume("v1")).unwrap().id, taken);
    assert_eq!(cloud.secret_of(&volume("v2")).unwrap().id, taken);
}

/// A snapshot of Bob's at zeros, whose volume holds a secret that this was done to.
async fn stray_snapshot(change: impl FnOnce(&Cloud, key_migration::ids::SecretId)) -> Cloud {
    let cloud = Cloud::new().with_volumes(1);
    let secret = cloud.world().insert_secret("");
    {
        let mut world = cloud.world();
        world.secret(secret).readers = Some([ALICE.into()].into_iter().collect());
        world.rekey(&volume("v1"), &secret.to_string());
        world.add_snapshot("s1", "v1", BOB);
    }
    change(&cloud, secret);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    daemon.kill().await;
    cloud
}

#[tokio::test(start_paused = true)]
async fn w11_a_snapshot_takes_its_volumes_secret_whoever_stored_it_and_its_user_may_read() {
    let cloud = stray_snapshot(|_, _| {}).await;
    assert!(cloud.world().hold_the_same(&volume("v1"), &["s1"]));
    let readers = cloud.secret_of(&volume("v1")).unwrap().readers.unwrap();
    assert!(readers.contains(&BOB.into()) && readers.contains(&ALICE.into()));
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn w11_a_snapshot_gets_a_secret_of_its_own_where_its_volumes_is_another_or_not_to_be_read() {
    for what in ["another", "unreadable", "gone"] {
        let cloud = stray_snapshot(|cloud, secret| match what {
            "another" => cloud.world().secret(secret).payload = vec![1; 32],
            "gone" => cloud.world().secret(secret).deleted = true,
            _ => cloud.always_for("", Op::Payload, forbidden()),
        })
        .await;
        let own = cloud.secret_of(&snapshot("s1")).expect(what);
        assert_eq!(own.name, SecretName::of(&snapshot("s1")).as_str());
        assert!(
            !cloud.world().hold_the_same(&volume("v1"), &["s1"]),
            "{what}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn w17_a_ledger_that_cannot_be_written_blocks_before_anything_is_sent() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let full = fault(Reason::LedgerUnavailable);
    cloud.world().ledger.fail(Some(full));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    assert_eq!(daemon.reason(), Some(Reason::LedgerUnavailable));
    assert!(cloud.calls(Op::Store).is_empty());
    assert_eq!(log.take_with("waits (ledger_unavailable)").len(), 1);
    cloud.world().ledger.fail(None);
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn w17_a_ledger_that_fails_under_way_lets_what_is_stored_be_switched_and_begins_no_more() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(5);
    let ledger = cloud.world().ledger.clone();
    cloud.before(Op::SetReaders, move |_| {
        ledger.fail(Some(fault(Reason::LedgerUnavailable)));
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.reason(), Some(Reason::LedgerUnavailable));
    assert_eq!(cloud.world().census().volumes, 4);
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    cloud.world().ledger.fail(None);
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.live_secrets().len(), 5);
}

/// Cinder's own migrator: it stores a secret without a name, as our own user, and writes it.
fn upstream_switches(world: &mut World, id: &str) {
    let secret = world.insert_secret("");
    world.rekey(&volume(id), &secret.to_string());
}

#[tokio::test(start_paused = true)]
async fn w20_upstream_at_work_is_noticed_within_two_seconds_and_waited_for() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(60);
    cloud.slow(Op::Store, seconds(1));
    let mut slow = settings(Service::Volume);
    slow.max_concurrency = 1;
    let daemon = Daemon::start(&cloud, slow);
    daemon.works_for(seconds(5)).await;
    // It overwrites what we have switched, and switches others.
    assert!(cloud.secret_of(&volume("v1")).is_some());
    upstream_switches(&mut cloud.world(), "v1");
    daemon.works_for(seconds(3)).await;
    assert_eq!(daemon.reason(), Some(Reason::PeerAtWork));
    for id in 30..40 {
        upstream_switches(&mut cloud.world(), &format!("v{id}"));
        daemon.works_for(seconds(4)).await;
        assert_eq!(daemon.reason(), Some(Reason::PeerAtWork));
    }
    let stored = cloud.calls(Op::Store).len();
    daemon.works_for(seconds(25)).await;
    assert_eq!(cloud.calls(Op::Store).len(), stored, "nothing is begun");
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.state(), ServiceState::Complete);
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    assert_eq!(log.take_with("waits (peer_at_work)").len(), 1);
    daemon.stop().await;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    assert_eq!(
        daemon.progress().totals.orphan_secrets,
        1,
        "the ledger knows"
    );
}

#[tokio::test(start_paused = true)]
async fn w20_a_key_that_a_user_gave_a_row_is_no_peer() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(40);
    cloud.slow(Op::Store, Duration::from_millis(500));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(2)).await;
    let theirs = cloud.world().insert_secret("");
    cloud.world().secret(theirs).ours = false;
    cloud.world().rekey(&volume("v1"), &theirs.to_string());
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.reason(), None);
}

#[tokio::test(start_paused = true)]
async fn w10_what_lost_the_row_before_is_no_reason_to_wait_for_it() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Switch, |world| {
        world.rekey(&volume("v1"), "somebody's key")
    });
    cloud.always(Op::Delete, failing());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.live_secrets().len(), 1, "it lost the row and is left");
    cloud.world().rekey(&volume("v1"), ALL_ZEROS);
    daemon.works_for(minutes(2)).await;
    let second = cloud.secret_of(&volume("v1")).unwrap().id;
    // As a restore does, which deletes the volume's key.
    cloud.world().secret(second).deleted = true;
    cloud.world().rekey(&volume("v1"), ALL_ZEROS);
    daemon.works_for(minutes(2)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.calls(Op::Store).len(), 3);
    assert_eq!(log.take_with("Deferring"), Vec::<String>::new());
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
}

//! Requests that fail, answer late or answer wrongly: the same secret is gone on with.

use key_migration::ids::Service;
use key_migration::reasons::{Reason, ServiceState};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_volume_and_its_zero_snapshots_move_together_and_all_their_users_may_read() {
    let (cloud, _log) = scene();
    let cloud = cloud
        .with_volumes(1)
        .with_snapshot("s1", "v1", ALICE)
        .with_snapshot("s2", "v1", BOB)
        .with_snapshot("s3", "v1", BOB);
    cloud.world().rekey(&snapshot("s3"), "somebody's key");
    let mut with_extra = settings(Service::Volume);
    with_extra.extra_acl_users = vec!["nova".into()];
    let daemon = Daemon::start(&cloud, with_extra);
    daemon.works_for(minutes(1)).await;
    assert!(cloud.world().hold_the_same(&volume("v1"), &["s1", "s2"]));
    assert_eq!(
        cloud.key_of(&snapshot("s3")).as_deref(),
        Some("somebody's key")
    );
    let readers = cloud.secret_of(&volume("v1")).unwrap().readers.unwrap();
    let readers: Vec<&str> = readers.iter().map(|user| user.as_str()).collect();
    assert_eq!(readers, [ALICE, BOB, "nova"]);
}

#[tokio::test(start_paused = true)]
async fn the_steps_of_a_key_come_in_their_order() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    let world = cloud.world();
    let steps = world.calls.iter().filter(|call| call.about == "v1");
    let steps: Vec<Op> = steps.map(|call| call.op).collect();
    assert_eq!(
        steps,
        [Op::Row, Op::Store, Op::SetReaders, Op::Payload, Op::Switch]
    );
}

#[tokio::test(start_paused = true)]
async fn w5_requests_that_fail_a_few_times_are_repeated_with_the_same_secret() {
    for op in [Op::SetReaders, Op::Payload] {
        for trouble in [failing(), Trouble::NotFound] {
            let (cloud, log) = scene();
            let cloud = cloud.with_volumes(1);
            cloud.times(3, op, trouble);
            let daemon = Daemon::start(&cloud, settings(Service::Volume));
            daemon.works_for(seconds(10)).await;
            assert!(cloud.secret_of(&volume("v1")).is_some(), "{op:?}");
            assert_eq!(cloud.calls(Op::Store).len(), 1);
            assert_eq!(log.take_with("ERROR"), [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn w5_requests_that_keep_failing_are_trouble_and_the_next_pass_uses_the_same_secret() {
    for op in [Op::SetReaders, Op::Payload] {
        for trouble in [failing(), Trouble::NotFound] {
            let (cloud, log) = scene();
            let cloud = cloud.with_volumes(1);
            cloud.times(10, op, trouble);
            let daemon = Daemon::start(&cloud, settings(Service::Volume));
            daemon.works_for(seconds(50)).await;
            assert_eq!(log.take_with("ERROR").len(), 1);
            assert_eq!(daemon.progress().keys.failed, 1);
            cloud.heal();
            daemon.works_for(minutes(1)).await;
            assert!(cloud.secret_of(&volume("v1")).is_some(), "{op:?}");
            assert_eq!(cloud.calls(Op::Store).len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_secret_that_is_gone_is_replaced() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.always(Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    let gone = cloud.live_secrets()[0];
    cloud.world().secret(gone).deleted = true;
    cloud.heal();
    daemon.works_for(minutes(4)).await;
    assert_eq!(cloud.calls(Op::Store).len(), 1, "it may be a stale read");
    daemon.works_for(minutes(12)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(
        cloud.seconds_of(Op::Find).len(),
        3,
        "its name tells first, and at the end"
    );
    assert_eq!(cloud.calls(Op::Store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn w6_a_payload_that_reads_back_differently_is_never_switched_to_and_blocks() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always_for("v2", Op::Payload, Trouble::Corrupt);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(90)).await;
    assert_eq!(daemon.state(), ServiceState::Blocked);
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    let zeros = key_migration::ids::ALL_ZEROS;
    assert_eq!(cloud.key_of(&volume("v2")).as_deref(), Some(zeros));
    let stored_for_it = cloud.calls(Op::Store);
    let stored_for_it = stored_for_it.iter().filter(|call| call.about == "v2");
    assert_eq!(stored_for_it.count(), 1, "nothing is stored beside it");
    assert_eq!(log.take_with("ERROR").len(), 1);
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.live_secrets().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_a_payload_reads_back_differently_no_other_row_is_tried_either() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.world().set_status(&volume("v1"), "retyping");
    cloud.always_for("v2", Op::Payload, Trouble::Corrupt);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    cloud.world().set_status(&volume("v1"), "available");
    daemon.works_for(minutes(30)).await;
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn w7_a_swap_whose_answer_was_lost_is_looked_for_in_the_row_and_has_succeeded() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2).with_snapshot("s1", "v1", ALICE);
    let lost = Trouble::ReplyLost(fault(Reason::DatabaseUnreachable));
    cloud.times(1, Op::Switch, lost);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(10)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert!(cloud.world().hold_the_same(&volume("v1"), &["s1"]));
    assert_eq!(cloud.calls(Op::Switch).len(), 2);
    assert_eq!(cloud.calls(Op::Store).len(), 2);
    assert_eq!(log.take_with("ERROR"), [""; 0]);
    assert_eq!(daemon.progress().keys.migrated, 2);
}

#[tokio::test(start_paused = true)]
async fn w7_a_swap_that_happened_unheard_counts_as_migrated_once_the_database_is_back() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let lost = Trouble::ReplyLost(fault(Reason::DatabaseUnreachable));
    cloud.times(1, Op::Switch, lost);
    let away = cloud.clone();
    cloud.before(Op::Switch, move |_| {
        let cloud = away.clone();
        tokio::spawn(async move { cloud.times(9, Op::Row, faulty(Reason::DatabaseUnreachable)) });
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(daemon.reason(), Some(Reason::DatabaseUnreachable));
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.reason(), None);
    let shown = daemon.progress();
    assert_eq!((shown.keys.migrated, shown.totals.orphan_secrets), (1, 0));
    assert_eq!(daemon.state(), ServiceState::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_others_keep_locked_fails_alone_and_keeps_its_secret() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always_for("v1", Op::Switch, Trouble::Contended);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    cloud.heal();
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn w18_a_row_without_a_user_fails_with_its_remedy_and_sends_nothing() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2).with_snapshot("s1", "v1", BOB);
    cloud.world().row(&volume("v1")).user_id = None;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    let stored = cloud.calls(Op::Store);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].about, "v2");
    let error = "ERROR Error migrating encryption key: volume v1: its user_id is NULL, so its owner could not read its key; set [key_migrator] extra_acl_users to migrate such rows";
    assert_eq!(log.take_with("ERROR"), [error]);
}

#[tokio::test(start_paused = true)]
async fn w18_a_row_without_a_user_is_migrated_for_the_users_that_the_operator_adds() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.world().row(&volume("v1")).user_id = None;
    let mut with_extra = settings(Service::Volume);
    with_extra.extra_acl_users = vec!["nova".into()];
    let daemon = Daemon::start(&cloud, with_extra);
    daemon.works_for(minutes(1)).await;
    let readers = cloud.secret_of(&volume("v1")).unwrap().readers.unwrap();
    let readers: Vec<&str> = readers.iter().map(|user| user.as_str()).collect();
    assert_eq!(readers, ["nova"]);
}

//! What earlier runs stored: taken over once nobody can be at work on it any more.

use key_migration::ids::{SecretId, Service};
use key_migration::reasons::{Reason, ServiceState};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn w4_what_a_killed_run_stored_is_taken_up_at_once_where_the_ledger_names_it() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.slow_for("v1", Op::SetReaders, minutes(5));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    daemon.kill().await;
    let left = cloud.live_secrets();
    cloud.world().fast_again();
    let lists = cloud.calls(Op::List).len();

    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(10)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, left[0]);
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 2);
    assert!(cloud.calls(Op::List).len() <= lists + 1, "a sample at most");
}

#[tokio::test(start_paused = true)]
async fn w2_a_kill_before_the_answer_is_looked_up_by_name_after_the_wait() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.slow_for("v1", Op::Store, minutes(5));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.live_secrets().len(), 1, "stored, not answered");
    daemon.kill().await;
    cloud.world().fast_again();
    log.take();

    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(4)).await;
    assert_eq!(cloud.world().census().volumes, 0, "{:?}", log.take());
    assert_eq!(cloud.calls(Op::Store).len(), 2);
    assert_eq!(cloud.live_secrets().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_ledger_what_a_killed_run_stored_is_adopted_an_hour_later_and_not_before() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.slow_for("v1", Op::SetReaders, minutes(5));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    daemon.kill().await;
    cloud.world().ledger.forget();
    let left = cloud.live_secrets();
    assert_eq!(left.len(), 1);
    log.take();

    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(58)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    let told = log.take_with("Deferring volume v1");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("INFO Deferring volume v1 (unknown_outcome): another run stored a secret for it, which may be adopted in "));
    daemon.works_for(minutes(10)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, left[0]);
    assert_eq!(cloud.calls(Op::Store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_long_ago_is_adopted_at_once() {
    let (cloud, _log) = scene();
    let (cloud, left) = cloud
        .with_volumes(1)
        .with_secret(&volume("v1"), minutes(61));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(5)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, left);
    assert!(cloud.calls(Op::Store).is_empty());
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
}

#[tokio::test(start_paused = true)]
async fn of_several_the_oldest_is_adopted_and_the_others_are_counted() {
    let (cloud, _log) = scene();
    let (cloud, _) = cloud
        .with_volumes(1)
        .with_secret(&volume("v1"), minutes(90));
    let (cloud, oldest) = cloud.with_secret(&volume("v1"), minutes(120));
    let (cloud, _) = cloud.with_secret(&volume("v1"), minutes(2));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, oldest);
    assert_eq!(daemon.progress().totals.orphan_secrets, 2);
    assert!(cloud.calls(Op::Delete).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_others_stored_or_is_inactive_is_ignored() {
    let (cloud, _log) = scene();
    let (cloud, not_ours) = cloud
        .with_volumes(1)
        .with_secret(&volume("v1"), minutes(90));
    let (cloud, inactive) = cloud.with_secret(&volume("v1"), minutes(90));
    cloud.world().secret(not_ours).ours = false;
    cloud.world().secret(not_ours).payload = vec![1];
    cloud.world().secret(inactive).active = false;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(5)).await;
    let used = cloud.secret_of(&volume("v1")).unwrap().id;
    assert!(used != not_ours && used != inactive);
}

#[tokio::test(start_paused = true)]
async fn what_another_row_refers_to_is_not_adopted() {
    let (cloud, _log) = scene();
    let (cloud, held) = cloud
        .with_volumes(2)
        .with_secret(&volume("v1"), minutes(90));
    cloud.world().rekey(&volume("v2"), &held.to_string());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    let used = cloud.secret_of(&volume("v1")).unwrap().id;
    assert_ne!(used, held);
    assert_eq!(cloud.secret_of(&volume("v2")).unwrap().id, held);
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leftover_that_holds_another_key_blocks_and_nothing_is_stored_beside_it() {
    let (cloud, log) = scene();
    let (cloud, _) = cloud
        .with_volumes(3)
        .with_secret(&volume("v1"), minutes(90));
    let (cloud, other) = cloud.with_secret(&volume("v2"), minutes(80));
    cloud.world().secret(other).payload = vec![1; 32];
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(90)).await;
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    let stored = cloud.calls(Op::Store);
    assert!(stored.iter().all(|call| call.about != "v2"));
    assert_eq!(log.take_with("ERROR").len(), 1);
    cloud.world().secret(other).deleted = true;
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_for_a_row_that_has_another_key_is_counted() {
    let (cloud, _log) = scene();
    let (cloud, _) = cloud
        .with_volumes(2)
        .with_secret(&volume("v2"), minutes(90));
    let (cloud, held) = cloud.with_secret(&volume("v2"), minutes(90));
    cloud.world().rekey(&volume("v2"), &held.to_string());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_purged_is_seen_within_the_hour_or_as_soon_as_it_is_asked_for() {
    for asks in [false, true] {
        let (cloud, _log) = scene();
        let (cloud, left) = cloud
            .with_volumes(2)
            .with_secret(&volume("v2"), minutes(90));
        cloud.world().rekey(&volume("v2"), "somebody's key");
        let daemon = Daemon::start(&cloud, settings(Service::Volume));
        daemon.works_for(minutes(2)).await;
        cloud.world().secret(left).deleted = true;
        daemon.works_for(minutes(5)).await;
        assert_eq!(daemon.progress().totals.orphan_secrets, 1);
        if asks {
            daemon.reconfigure(|_| {});
            daemon.works_for(minutes(1)).await;
        } else {
            daemon.works_for(minutes(60)).await;
        }
        assert_eq!(daemon.progress().totals.orphan_secrets, 0, "{asks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_another_row_took_over_is_not_counted_as_unused() {
    let (cloud, _log) = scene();
    let (cloud, moved) = cloud
        .with_volumes(3)
        .with_secret(&volume("v2"), minutes(90));
    cloud.world().rekey(&volume("v2"), "somebody's key");
    cloud.world().rekey(&volume("v3"), &moved.to_string());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_another_daemon_finishes_is_left_to_it() {
    let (cloud, _log) = scene();
    let (cloud, young) = cloud.with_volumes(2).with_secret(&volume("v1"), minutes(1));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    cloud.world().rekey(&volume("v1"), &young.to_string());
    daemon.works_for(minutes(90)).await;
    assert_eq!(cloud.live_secrets().len(), 2);
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    assert!(cloud.calls(Op::Delete).is_empty());
}

/// Another daemon of the same user stored a secret a moment ago, for a row of another host.
async fn another_daemon_at_work() -> (Cloud, Log, Daemon, SecretId) {
    let (cloud, log) = scene();
    let (cloud, young) = cloud.with_volumes(2).with_secret(&volume("v1"), seconds(1));
    let elsewhere = "other@lvm#pool".to_owned();
    cloud.world().row(&volume("v1")).host = elsewhere;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    (cloud, log, daemon, young)
}

#[tokio::test(start_paused = true)]
async fn what_another_daemon_was_seen_to_store_and_switched_to_is_not_waited_for() {
    let (cloud, log, daemon, young) = another_daemon_at_work().await;
    cloud.world().rekey(&volume("v1"), &young.to_string());
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    assert_eq!(log.take_with("Deferring"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_another_daemon_was_seen_to_store_in_vain_is_counted_and_not_waited_for() {
    let (cloud, log, daemon, young) = another_daemon_at_work().await;
    cloud
        .world()
        .rekey(&volume("v1"), "3f6a3c52-74ab-4b10-8c2f-0a4f51a7a1c3");
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    assert_eq!(log.take_with("Deferring"), Vec::<String>::new());
    assert!(cloud.live_secrets().contains(&young));
}

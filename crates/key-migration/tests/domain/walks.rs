//! How a pass goes over the rows: one key first, then several, within what was asked for.

use key_migration::ids::Service;
use key_migration::reasons::ServiceState;
use key_migration::service::Ending;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn one_key_goes_alone_until_it_succeeds_and_then_no_more_than_allowed_are_in_flight() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(40);
    cloud.slow(Op::Store, seconds(2));
    let mut four = settings(Service::Volume);
    four.max_concurrency = 4;
    let daemon = Daemon::start(&cloud, four);
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.world().most_in_flight, 4);
    let calls = cloud.world().calls.clone();
    let asked = |op: Op, nth: usize| {
        let mut matching = calls.iter().enumerate().filter(|(_, call)| call.op == op);
        matching.nth(nth).map(|(place, _)| place)
    };
    assert!(asked(Op::Switch, 0) < asked(Op::Store, 1));
    assert_eq!(cloud.seconds_of(Op::Store)[..6], [0, 2, 2, 2, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn as_long_as_no_key_succeeded_they_go_one_by_one() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(10);
    cloud.slow(Op::Store, seconds(1));
    cloud.always(Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.calls(Op::Store).len(), 10);
    assert_eq!(cloud.world().most_in_flight, 1);
}

#[tokio::test(start_paused = true)]
async fn one_slow_key_does_not_hold_the_others() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(50);
    cloud.slow_for("v2", Op::Store, seconds(50));
    let mut two = settings(Service::Volume);
    two.max_concurrency = 2;
    let daemon = Daemon::start(&cloud, two);
    daemon.works_for(seconds(10)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    daemon.works_for(seconds(50)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_fails_does_not_stop_the_others_and_is_said_once() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(5);
    cloud.always_for("v1", Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(185)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    assert_eq!(cloud.calls(Op::Store).len(), 5);
    assert_eq!(daemon.progress().keys.failed, 1);
    assert_eq!(daemon.progress().keys.migrated, 4);
    assert_eq!(daemon.state(), ServiceState::Migrating);
    let error = "ERROR Error migrating encryption key: Bad Request: this one is not allowed";
    assert_eq!(log.take_with("ERROR"), [error]);
}

#[tokio::test(start_paused = true)]
async fn more_rows_than_a_page_are_all_met() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1234);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 1234);
    assert_eq!(daemon.progress().keys.migrated, 1234);
    assert_eq!(daemon.progress().keys.remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn rows_of_other_hosts_and_rows_with_keys_and_deleted_rows_are_left_alone() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(4);
    let other = "6d1d8d63-0f4b-4c0f-8d3e-5d2f5d0a7f11";
    cloud.world().row(&volume("v1")).host = "host1@lvm2#pool".into();
    cloud.world().rekey(&volume("v2"), other);
    cloud.world().delete(&volume("v3"));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    let zeros = key_migration::ids::ALL_ZEROS;
    assert_eq!(cloud.key_of(&volume("v1")).as_deref(), Some(zeros));
    assert_eq!(cloud.key_of(&volume("v2")).as_deref(), Some(other));
    assert_eq!(cloud.key_of(&volume("v3")).as_deref(), Some(zeros));
    assert!(cloud.secret_of(&volume("v4")).is_some());
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_keys_a_second_are_begun_than_allowed() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(10);
    let mut slow = settings(Service::Volume);
    slow.max_rate = Some(0.5);
    let daemon = Daemon::start(&cloud, slow);
    daemon.works_for(seconds(30)).await;
    let expected: Vec<u64> = (0..10).map(|key| key * 2).collect();
    assert_eq!(cloud.seconds_of(Op::Store), expected);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_makes_no_sense_does_not_end_the_daemon() {
    for rate in [0.0, -1.0, f64::MIN_POSITIVE, f64::NAN] {
        let (cloud, _log) = scene();
        let cloud = cloud.with_volumes(1);
        let mut odd = settings(Service::Volume);
        odd.max_rate = Some(rate);
        let daemon = Daemon::start(&cloud, odd);
        daemon.works_for(minutes(2)).await;
        assert!(cloud.secret_of(&volume("v1")).is_some(), "{rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_service_sends_nothing_until_it_may() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut paused = settings(Service::Volume);
    paused.paused = true;
    let daemon = Daemon::start(&cloud, paused);
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Paused);
    assert!(cloud.world().calls.is_empty());
    assert_eq!(log.take(), [""; 0]);
    daemon.reconfigure(|settings| settings.paused = false);
    daemon.works_for(seconds(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn pausing_ends_the_pass_between_keys() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(20);
    cloud.slow(Op::Store, seconds(10));
    let mut two = settings(Service::Volume);
    two.max_concurrency = 2;
    let daemon = Daemon::start(&cloud, two);
    daemon.works_for(seconds(15)).await;
    daemon.reconfigure(|settings| settings.paused = true);
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Paused);
    assert_eq!(cloud.calls(Op::Store).len(), 3);
    assert_eq!(cloud.world().census().volumes, 17);
}

#[tokio::test(start_paused = true)]
async fn new_settings_are_used_within_the_walk() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(30);
    cloud.slow(Op::Store, seconds(5));
    let mut one = settings(Service::Volume);
    one.max_concurrency = 1;
    let daemon = Daemon::start(&cloud, one);
    daemon.works_for(seconds(12)).await;
    assert_eq!(cloud.world().most_in_flight, 1);
    daemon.reconfigure(|settings| settings.max_concurrency = 7);
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().most_in_flight, 7);
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_begins_no_further_key_and_finishes_those_in_flight() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(20);
    cloud.slow(Op::Store, seconds(4));
    let mut three = settings(Service::Volume);
    three.max_concurrency = 3;
    let daemon = Daemon::start(&cloud, three);
    daemon.works_for(seconds(6)).await;
    assert_eq!(daemon.stop().await, Ending::Stopped);
    assert_eq!(cloud.calls(Op::Store).len(), 4);
    assert_eq!(cloud.world().census().volumes, 16);
    assert_eq!(cloud.live_secrets().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_waiting_or_blocked_ends_at_once() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.always(Op::Store, role_missing());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(5)).await;
    let before = tokio::time::Instant::now();
    assert_eq!(daemon.stop().await, Ending::Stopped);
    assert_eq!(before.elapsed(), seconds(0));
}

#[tokio::test(start_paused = true)]
async fn a_single_run_tells_how_it_ended() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.world().set_status(&volume("v2"), "retyping");
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(ending, Ending::SomethingLeft);
    assert_eq!(cloud.world().census().volumes, 1);

    cloud.world().set_status(&volume("v2"), "available");
    cloud.always(Op::Store, role_missing());
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(ending, Ending::Failed);

    cloud.heal();
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(ending, Ending::NothingLeft);
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_in_which_each_key_failed_has_failed() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.always(Op::SetReaders, refused());
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(ending, Ending::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_that_moved_some_keys_has_not_failed_because_its_last_walk_did() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(4);
    cloud.always_for("v2", Op::Store, stored_unanswered());
    cloud.always_for("v3", Op::SetReaders, refused());
    cloud.always_for("v2", Op::SetReaders, refused());
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(cloud.world().census().volumes, 2);
    assert_eq!(ending, Ending::SomethingLeft);
}

#[tokio::test(start_paused = true)]
async fn a_limited_run_migrates_so_many_keys_and_no_more() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(10);
    let ending = once(&cloud, settings(Service::Volume), Some(3)).await;
    assert_eq!(ending, Ending::SomethingLeft);
    assert_eq!(cloud.world().census().volumes, 7);
    assert_eq!(cloud.live_secrets().len(), 3);
    assert_eq!(
        once(&cloud, settings(Service::Volume), Some(0)).await,
        Ending::SomethingLeft
    );
    assert_eq!(cloud.calls(Op::Store).len(), 3);
    assert_eq!(
        once(&cloud, settings(Service::Volume), Some(7)).await,
        Ending::NothingLeft
    );
}

#[tokio::test(start_paused = true)]
async fn a_limited_run_that_waits_for_an_answer_still_keeps_to_its_limit() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(10);
    cloud.times(1, Op::Store, stored_unanswered());
    let ending = once(&cloud, settings(Service::Volume), Some(3)).await;
    assert_eq!(ending, Ending::SomethingLeft);
    assert_eq!(10 - cloud.world().census().volumes, 3);
}

#[tokio::test(start_paused = true)]
async fn progress_shows_the_keys_and_the_pass() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(10);
    cloud.slow(Op::Store, seconds(4));
    let mut three = settings(Service::Volume);
    three.max_concurrency = 3;
    let daemon = Daemon::start(&cloud, three);
    daemon.works_for(seconds(6)).await;
    let shown = daemon.progress();
    assert_eq!(shown.state, ServiceState::Migrating);
    assert_eq!(shown.owned, ["host1@lvm"]);
    assert_eq!(
        (
            shown.keys.migrated,
            shown.keys.remaining,
            shown.keys.in_flight
        ),
        (1, 9, 3)
    );
    assert_eq!((shown.pass.number, shown.pass.finished_at), (1, None));
    daemon.works_for(seconds(20)).await;
    let shown = daemon.progress();
    assert_eq!(
        (
            shown.keys.migrated,
            shown.keys.remaining,
            shown.keys.in_flight
        ),
        (10, 0, 0)
    );
    assert!(shown.pass.finished_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_through_slow_requests_and_long_waits() {
    for slow in Op::BARBICAN.into_iter().chain(Op::DATABASE) {
        let (cloud, _log) = scene();
        let (cloud, _) = cloud
            .with_volumes(2)
            .with_secret(&volume("v2"), minutes(90));
        cloud.slow(slow, seconds(40));
        cloud.times(1, Op::Store, role_missing());
        let daemon = Daemon::start(&cloud, settings(Service::Volume));
        let longest = daemon.longest_pause_in(minutes(6)).await;
        assert!(longest <= seconds(6), "{slow:?}: {longest:?}");
    }
}

//! Cinder changes rows while their keys are under way.

use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, Service};
use key_migration::reasons::Reason;
use uuid::Uuid;

use crate::support::*;

const OTHER: &str = "6d1d8d63-0f4b-4c0f-8d3e-5d2f5d0a7f11";

#[tokio::test(start_paused = true)]
async fn w8_a_row_that_got_another_key_keeps_it_and_our_unused_secret_is_deleted() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.before(Op::Switch, |world| world.rekey(&volume("v1"), OTHER));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.key_of(&volume("v1")).as_deref(), Some(OTHER));
    assert_eq!(cloud.calls(Op::Referred).len(), 1);
    assert_eq!(cloud.calls(Op::Delete).len(), 1);
    assert_eq!(cloud.live_secrets().len(), 1);
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    let told = "WARN Leaving volume v1 as it is: it no longer uses the fixed key.";
    assert_eq!(log.take_with("Leaving"), [told]);
}

#[tokio::test(start_paused = true)]
async fn w9_a_row_that_is_deleted_under_way_is_left_and_our_secret_is_deleted() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.before(Op::Switch, |world| world.delete(&volume("v1")));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert_eq!(cloud.key_of(&volume("v1")).as_deref(), Some(ALL_ZEROS));
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_secret_that_something_refers_to_stays_and_is_counted() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1).with_backups(1);
    cloud.before(Op::Switch, |world| {
        let secret = world.secrets[0].id.to_string();
        world.rekey(&volume("v1"), OTHER);
        world.rekey(&backup("b1"), &secret);
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    assert!(cloud.calls(Op::Delete).is_empty());
    assert!(cloud.secret_of(&backup("b1")).is_some());
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    let secret = cloud.live_secrets()[0];
    let told = format!(
        "WARN Leaving volume v1 as it is: it no longer uses the fixed key; secret {secret}, stored for it, is superseded."
    );
    assert_eq!(log.take_with("Leaving"), [told]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_secret_of_which_nobody_knows_whether_it_is_referred_to_stays_and_is_counted() {
    for (op, trouble) in [
        (Op::Referred, faulty(Reason::DatabaseUnreachable)),
        (Op::Delete, failing()),
        (Op::Delete, faulty(Reason::BarbicanUnreachable)),
    ] {
        let (cloud, _log) = scene();
        let cloud = cloud.with_volumes(1);
        cloud.before(Op::Switch, |world| world.rekey(&volume("v1"), OTHER));
        cloud.times(1, op, trouble);
        let daemon = Daemon::start(&cloud, settings(Service::Volume));
        daemon.works_for(minutes(3)).await;
        assert_eq!(cloud.live_secrets().len(), 1);
        assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn w12_a_row_that_cinder_begins_to_work_on_under_way_waits_and_keeps_its_secret() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Switch, |world| {
        world.set_status(&volume("v1"), "reverting");
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(45)).await;
    assert_eq!(cloud.key_of(&volume("v1")).as_deref(), Some(ALL_ZEROS));
    assert_eq!(daemon.progress().keys.deferred, 1);
    let told = "INFO Deferring volume v1 (transitional): status 'reverting'";
    assert_eq!(log.take_with("Deferring"), [told]);
    cloud.world().set_status(&volume("v1"), "available");
    daemon.works_for(minutes(1)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_waited_with_its_secret_and_is_then_deleted_leaves_nothing_behind() {
    for (waits, left) in [(minutes(5), 0), (minutes(40), 1)] {
        let (cloud, _log) = scene();
        let cloud = cloud.with_volumes(2);
        cloud.before(Op::Switch, |world| {
            world.set_status(&volume("v1"), "deleting");
        });
        let daemon = Daemon::start(&cloud, settings(Service::Volume));
        daemon.works_for(waits).await;
        cloud.world().delete(&volume("v1"));
        daemon.works_for(minutes(2)).await;
        let unused = cloud.live_secrets().len() as u64 - 1;
        assert_eq!(unused, left);
        assert_eq!(daemon.progress().totals.orphan_secrets, left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_that_changed_under_way_is_let_in_before_the_swap() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Switch, |world| {
        world.row(&volume("v1")).user_id = Some(BOB.into());
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    let readers = cloud.secret_of(&volume("v1")).unwrap().readers.unwrap();
    assert!(readers.contains(&BOB.into()));
    assert!(!readers.contains(&ALICE.into()));
    assert_eq!(cloud.calls(Op::SetReaders).len(), 2);
    assert_eq!(cloud.calls(Op::Store).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_another_user_takes_under_way_is_let_in_and_moves_too() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Switch, |world| world.add_snapshot("s1", "v1", BOB));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    let readers = cloud.secret_of(&volume("v1")).unwrap().readers.unwrap();
    assert!(readers.contains(&BOB.into()) && readers.contains(&ALICE.into()));
    assert!(cloud.world().hold_the_same(&volume("v1"), &["s1"]));
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_users_keep_changing_waits_for_the_next_pass_with_its_secret() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    for user in [BOB, ALICE, BOB] {
        cloud.before(Op::Switch, move |world| {
            world.row(&volume("v1")).user_id = Some(user.into());
        });
    }
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    let error = "ERROR Error migrating encryption key: volume v1: it kept changing while its key was stored";
    assert_eq!(log.take_with("ERROR"), [error]);
    assert!(cloud.secret_of(&volume("v1")).is_none());
    daemon.works_for(minutes(1)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.calls(Op::Store).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn w12_nothing_is_sent_for_a_row_that_cinder_works_on() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.world().row(&volume("v1")).status.migration_status = Some("migrating".into());
    cloud.before(Op::Row, |world| world.set_status(&volume("v2"), "retyping"));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert!(cloud.calls(Op::Store).is_empty());
    let told = [
        "INFO Deferring volume v1 (transitional): migration_status 'migrating'",
        "INFO Deferring volume v2 (transitional): status 'retyping'",
    ];
    assert_eq!(log.take_with("Deferring"), told);
    assert_eq!(daemon.progress().keys.deferred, 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_a_row_that_got_a_key_between_scan_and_re_read() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Row, |world| world.rekey(&volume("v1"), OTHER));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert!(cloud.calls(Op::Store).is_empty());
    assert_eq!(cloud.key_of(&volume("v1")).as_deref(), Some(OTHER));
}

#[tokio::test(start_paused = true)]
async fn w10_a_row_that_falls_back_to_zeros_is_found_by_the_next_pass() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    cloud.world().rekey(&volume("v1"), ALL_ZEROS);
    daemon.works_for(minutes(2)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn w13_two_daemons_that_own_the_same_rows_leave_one_secret_a_row() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(20);
    cloud.slow(Op::Store, seconds(1));
    cloud.slow(Op::Payload, seconds(1));
    let one = Daemon::start(&cloud, settings(Service::Volume));
    let other = Daemon::start(&cloud, settings(Service::Volume));
    one.works_for(minutes(3)).await;
    other.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.live_secrets().len(), 20);
    let moved = one.progress().keys.migrated + other.progress().keys.migrated;
    assert_eq!(moved, 20);
}

/// Three daemons of one host, at random places, with requests that take their time; how many
/// secrets are stored in vain.
async fn stored_in_vain_by_three(seed: u64, rows: usize) -> usize {
    let (cloud, _log) = scene();
    fastrand::seed(seed);
    for _ in 0..rows {
        let id = Uuid::from_u128(fastrand::u128(..)).to_string();
        cloud.world().add(volume(&id), None);
    }
    cloud.world().uneven = true;
    for op in [Op::Store, Op::SetReaders, Op::Payload] {
        cloud.slow(op, Duration::from_millis(40));
    }
    for op in [Op::ZeroRows, Op::Row, Op::Keys, Op::Switch] {
        cloud.slow(op, Duration::from_millis(2));
    }
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(Daemon::start_elsewhere(&cloud, settings(Service::Volume)));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..500))).await;
    }
    tokio::time::sleep(minutes(5)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.live_secrets().len(), rows);
    // Whether a secret is a second one is judged as if there were one daemon, which lists once.
    cloud.world().violations.clear();
    for daemon in daemons {
        daemon.stop().await;
    }
    cloud.calls(Op::Store).len() - rows
}

#[tokio::test(start_paused = true)]
async fn w13_three_daemons_that_own_the_same_rows_store_hardly_a_secret_in_vain() {
    const SEEDS: u64 = 10;
    const ROWS: usize = 600;
    let mut in_vain = Vec::new();
    for seed in 0..SEEDS {
        in_vain.push(stored_in_vain_by_three(seed, ROWS).await);
    }
    let share = in_vain.iter().sum::<usize>() as f64 / (SEEDS as usize * ROWS) as f64;
    assert!(share <= 0.02, "{:.1} %: {in_vain:?}", share * 100.0);
}

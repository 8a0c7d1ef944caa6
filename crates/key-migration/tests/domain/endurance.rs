//! No row, no reload and no slow service may hold the others, repeat itself or say what is not so.

use key_migration::ids::Service;
use key_migration::reasons::{Reason, ServiceState};
use key_migration::service::Ending;

use crate::support::*;

const STARTING: &str = "INFO Starting migration of ConfKeyManager keys.";

#[tokio::test(start_paused = true)]
async fn rows_that_barbican_always_fails_hold_the_others_for_minutes_only() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(9);
    for id in ["v1", "v2", "v3"] {
        cloud.always_for(id, Op::SetReaders, failing());
    }
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(15)).await;
    assert_eq!(cloud.world().census().volumes, 3);
    assert_eq!(cloud.calls(Op::Store).len(), 9, "each is stored once");
    cloud.heal();
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.live_secrets().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_for_another_barbican_is_left_behind_and_the_rows_go_on() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.always_for("v1", Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    let before = cloud.live_secrets();
    assert_eq!(before.len(), 2);
    log.take();
    // Another project: what was stored for v1 is not to be seen, nor to be touched, from there.
    cloud.heal();
    {
        let mut world = cloud.world();
        world.identity = "cinder in another project".into();
        let kept = world
            .secrets
            .iter_mut()
            .find(|secret| secret.name.ends_with(":v1"));
        kept.expect("it was stored").name = "in the other project".into();
    }
    daemon.reconfigure(|_| {});
    daemon.works_for(seconds(10)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    let left = "WARN Secrets are stored by another user, in another project or at another Barbican \
         from now on; 1 stored before and not switched yet are superseded, and 0 requests whose \
         outcome is not known are given up.";
    assert_eq!(log.take_with("WARN Secrets"), [left]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_another_regions_row_says_nothing_about_this_fixed_key() {
    let (cloud, _log) = scene();
    let (cloud, other) = cloud
        .with_volumes(2)
        .with_secret(&volume("elsewhere"), minutes(90));
    cloud.world().secret(other).payload = vec![1; 32];
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_reload_with_the_same_key_lists_nothing_again() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    cloud.world().add(volume("v3"), None);
    let fresh = settings(Service::Volume);
    daemon.reconfigure(|settings| settings.fixed_key = fresh.fixed_key);
    daemon.works_for(minutes(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::List).len(), Service::Volume.kinds().len());
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_taken_in_the_middle_of_a_long_listing() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.slow(Op::List, minutes(30));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(15)).await;
    assert_eq!(log.take_with("INFO Barbican is still listing").len(), 1);
    daemon.reconfigure(|settings| settings.paused = true);
    daemon.works_for(seconds(1)).await;
    assert_eq!(daemon.state(), ServiceState::Paused);
}

#[tokio::test(start_paused = true)]
async fn a_mismatch_that_the_listing_found_is_checked_without_listing_again() {
    let (cloud, _log) = scene();
    let (cloud, wrong) = cloud
        .with_volumes(2)
        .with_secret(&volume("v1"), minutes(90));
    cloud.world().secret(wrong).payload = vec![1; 32];
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    assert_eq!(cloud.calls(Op::List).len(), Service::Volume.kinds().len());
    cloud.world().secret(wrong).deleted = true;
    daemon.works_for(minutes(3)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_another_host_is_about_to_switch_to_is_no_loss_of_ours() {
    let (cloud, log) = scene();
    let (cloud, theirs) = cloud.with_volumes(2).with_secret(&volume("v1"), seconds(1));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(10)).await;
    cloud.world().rekey(&volume("v1"), &theirs.to_string());
    daemon.works_for(minutes(2)).await;
    assert_eq!(
        daemon.progress().totals.row_failures.len(),
        0,
        "{:?}",
        daemon.progress()
    );
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    assert!(log.take_with("superseded").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_barbican_cannot_answer_is_waited_for_without_a_word_between() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    cloud
        .world()
        .rekey(&volume("v1"), "5d1f1c1e-5b0e-4b87-9f35-7a4c9dd8c7c5");
    for op in Op::BARBICAN {
        cloud.always(op, faulty(Reason::BarbicanUnreachable));
    }
    daemon.works_for(minutes(3)).await;
    log.take();
    daemon.works_for(minutes(20)).await;
    assert_eq!(log.take(), Vec::<String>::new());
    assert_eq!(daemon.reason(), Some(Reason::BarbicanUnreachable));
    cloud.heal();
    daemon.works_for(minutes(3)).await;
    assert_eq!(daemon.reason(), None);
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
}

#[tokio::test(start_paused = true)]
async fn once_sits_out_what_was_not_answered_even_if_that_ended_its_pass() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(4);
    cloud.times(3, Op::Store, stored_unanswered());
    assert_eq!(
        once(&cloud, settings(Service::Volume), None).await,
        Ending::NothingLeft
    );
    assert_eq!(cloud.live_secrets().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cinder_never_finishes_is_said_once() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.world().set_status(&volume("v1"), "deleting");
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    let told = log.take();
    for text in [
        "Starting",
        "Deferring volume v1 (transitional): status 'deleting'",
    ] {
        assert_eq!(
            told.iter().filter(|line| line.contains(text)).count(),
            1,
            "{told:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_fails_for_good_is_begun_silently_from_then_on() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.always_for("v1", Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    let told = log.take();
    let said = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (said("Starting"), said("Migrating volume"), said("ERROR")),
        (1, 1, 1),
        "{told:#?}"
    );
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    let told = log.take();
    let migrating = "INFO Migrating volume v1 encryption key to Barbican";
    assert_eq!(told[..2], [STARTING, migrating]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_outage_reads_as_it_does_at_a_start() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always(Op::List, faulty(Reason::KeystoneUnreachable));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    log.take();
    cloud.heal();
    cloud.always(Op::List, listing_refused());
    cloud.always(Op::Store, role_missing());
    daemon.works_for(minutes(5)).await;
    let told = [
        "INFO Migration of volume encryption keys goes on (no longer keystone_unreachable).".into(),
        STARTING.to_owned(),
        "INFO Migrating volume v1 encryption key to Barbican".into(),
        format!("ERROR Error migrating encryption key: {FORBIDDEN}"),
        format!("WARN Remedy: {ROLE_REMEDY}"),
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_count() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(600);
    cloud.slow(Op::Census, minutes(4));
    cloud.slow(Op::Store, seconds(1));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(5)).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(daemon.stop().await, Ending::Stopped);
    assert!(asked.elapsed() < seconds(3), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn once_does_not_wait_for_a_row_that_left_this_host() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.times(1, Op::Store, stored_unanswered());
    cloud.before(Op::Switch, |world| {
        world.row(&volume("v1")).host = "host2@lvm#pool".into()
    });
    assert_eq!(
        once(&cloud, settings(Service::Volume), None).await,
        Ending::NothingLeft
    );
}

#[tokio::test(start_paused = true)]
async fn another_barbican_that_knows_no_such_secret_does_not_make_it_gone() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.always_for("v1", Op::SetReaders, refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    let kept = cloud.live_secrets();
    // Somebody gives the row a key of its own, and at the same time Barbican is another one.
    cloud
        .world()
        .rekey(&volume("v1"), "5d1f1c1e-5b0e-4b87-9f35-7a4c9dd8c7c5");
    cloud.world().identity = "cinder at another Barbican".into();
    daemon.reconfigure(|_| {});
    daemon.works_for(seconds(10)).await;
    assert!(
        cloud.calls(Op::Delete).is_empty(),
        "it is not there to be deleted"
    );
    assert_eq!(cloud.live_secrets(), kept);
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
}

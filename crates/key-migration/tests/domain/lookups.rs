//! Requests to store that were not answered: the row waits, its name is looked up, and only what
//! is certainly not stored is stored again.

use std::time::Duration;

use key_migration::ids::Service;
use key_migration::reasons::Reason;
use key_migration::service::Ending;
use key_migration::settings::KeyManagerBackend;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn w2_a_secret_that_was_stored_unheard_is_found_by_name_and_used() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(119)).await;
    assert!(cloud.calls(Op::Find).is_empty());
    assert_eq!(cloud.world().census().volumes, 1);
    assert_eq!(daemon.progress().keys.deferred, 1);
    daemon.works_for(seconds(2)).await;
    assert_eq!(cloud.seconds_of(Op::Find), [120]);
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 2);
    assert_eq!(cloud.live_secrets().len(), 2);
    let error = "ERROR Error migrating encryption key: the request timed out";
    assert_eq!(log.take_with("ERROR"), [error]);
}

#[tokio::test(start_paused = true)]
async fn w2_a_secret_that_two_looks_ten_seconds_apart_do_not_find_is_stored_again() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    // The third is the look when all is complete, for a request that takes effect later still.
    assert_eq!(cloud.seconds_of(Op::Find), [120, 130, 250]);
    assert_eq!(cloud.seconds_of(Op::Store), [0, 190]);
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_effect_between_the_two_looks_is_used() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_later(seconds(125)));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_for_a_row_that_is_busy_is_known_to_the_next_run() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = killed_while_cinder_works(&cloud, minutes(6)).await;
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.seconds_of(Op::Find)[0], 120);
    has_the_secret_of_its_only_request(&cloud);
}

#[tokio::test(start_paused = true)]
async fn what_the_first_look_at_the_secrets_shows_is_waited_for_although_all_were_listed() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_later(seconds(600)));
    let daemon = killed_while_cinder_works(&cloud, minutes(14)).await;
    assert_eq!(cloud.seconds_of(Op::Find), [120, 130]);
    assert_eq!(cloud.live_secrets().len(), 1);
    daemon.works_for(minutes(70)).await;
    has_the_secret_of_its_only_request(&cloud);
}

/// Cinder works on the volume from soon after its request until a kill, and the next run begins.
async fn killed_while_cinder_works(cloud: &Cloud, until: Duration) -> Daemon {
    let daemon = Daemon::start(cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    cloud.world().set_status(&volume("v1"), "retyping");
    daemon.works_for(until - minutes(1)).await;
    daemon.kill().await;
    cloud.world().set_status(&volume("v1"), "available");
    Daemon::start(cloud, settings(Service::Volume))
}

fn has_the_secret_of_its_only_request(cloud: &Cloud) {
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.live_secrets().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn w3_a_request_that_takes_effect_after_all_looks_is_accounted_for_a_day_later() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_later(seconds(600)));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    assert_eq!(cloud.live_secrets().len(), 2);
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    daemon.stop().await;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(24 * 60 + 10)).await;
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
    assert!(
        cloud.calls(Op::Find).len() < 10,
        "it looks at its time, not all day"
    );
    daemon.stop().await;
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(
        daemon.progress().totals.orphan_secrets,
        1,
        "the ledger knows"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_effect_after_all_looks_is_accounted_for_by_the_next_listing() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_later(seconds(600)));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.live_secrets().len(), 2);
    daemon.stop().await;
    cloud.world().ledger.forget();
    cloud.world().add(volume("v2"), None);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    assert_eq!(daemon.progress().totals.orphan_secrets, 1);
}

#[tokio::test(start_paused = true)]
async fn of_several_that_are_found_the_oldest_is_used_and_the_others_are_counted() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    let oldest = cloud.live_secrets()[0];
    for _ in 0..2 {
        let name = "cinder-key-migrator:v1:volume:v1";
        cloud.world().insert_secret(name);
    }
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, oldest);
    assert_eq!(cloud.live_secrets().len(), 3);
    assert_eq!(daemon.progress().totals.orphan_secrets, 2);
}

#[tokio::test(start_paused = true)]
async fn what_others_stored_under_the_name_or_is_inactive_or_is_anothers_is_not_used() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.always_for("v1", Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    let first = "cinder-key-migrator:v1:volume:v1";
    let ours = cloud
        .world()
        .secrets
        .iter()
        .find(|s| s.name == first)
        .unwrap()
        .id;
    {
        let mut world = cloud.world();
        let not_ours = world.insert_secret(first);
        world.secret(not_ours).ours = false;
        let inactive = world.insert_secret(first);
        world.secret(inactive).active = false;
        let anothers = world.insert_secret(first);
        for older in [not_ours, inactive, anothers] {
            world.secret(older).older_by = minutes(90);
        }
        world.rekey(&volume("v2"), &anothers.to_string());
    }
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, ours);
    assert_eq!(cloud.calls(Op::Store).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn three_unanswered_requests_in_a_row_block_and_later_are_looked_up() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(5);
    cloud.always(Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(50)).await;
    assert_eq!(daemon.reason(), Some(Reason::BarbicanFailing));
    assert_eq!(log.take_with("ERROR").len(), 3);
    assert_eq!(cloud.calls(Op::Store).len(), 3);
    cloud.heal();
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn look_ups_that_fail_are_probes_like_any_other() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    cloud.always(Op::Find, faulty(Reason::BarbicanFailing));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(32)).await;
    assert_eq!(daemon.reason(), Some(Reason::BarbicanFailing));
    let looks = cloud.calls(Op::Find).len();
    assert!((29..=32).contains(&looks), "{looks} look-ups in 30 minutes");
    cloud.heal();
    daemon.works_for(minutes(1)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cinder_works_on_is_looked_up_once_and_waits_with_what_is_found() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    cloud.world().set_status(&volume("v1"), "retyping");
    daemon.works_for(minutes(30)).await;
    assert!(cloud.calls(Op::AnyRow).len() < 40);
    assert_eq!(cloud.calls(Op::Find).len(), 1);
    cloud.world().set_status(&volume("v1"), "available");
    daemon.works_for(minutes(1)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
    assert_eq!(cloud.calls(Op::Store).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_unheard_for_a_row_that_is_gone_is_counted() {
    for deleted in [true, false] {
        for others in [0, 3] {
            let (cloud, _log) = scene();
            let cloud = cloud
                .with_volumes(1 + others)
                .with_snapshot("s1", "v1", ALICE);
            cloud.always_for("v1", Op::Store, stored_unanswered());
            let daemon = Daemon::start(&cloud, settings(Service::Volume));
            daemon.works_for(seconds(30)).await;
            if deleted {
                cloud.world().delete(&volume("v1"));
            } else {
                cloud.world().rekey(&volume("v1"), "somebody's key");
            }
            daemon.works_for(minutes(10)).await;
            assert_eq!(daemon.progress().totals.orphan_secrets, 1);
            assert!(cloud.calls(Op::AnyRow).len() < 20, "it does not spin");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_took_effect_for_a_row_that_is_gone_is_forgotten() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.world().rekey(&volume("v2"), "somebody's key");
    cloud.times(1, Op::Store, unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    cloud.world().rekey(&volume("v1"), "somebody's key");
    daemon.works_for(minutes(10)).await;
    assert_eq!(daemon.progress().totals.orphan_secrets, 0);
    assert_eq!(cloud.calls(Op::Find).len(), 3);
    assert_eq!(
        daemon.state(),
        key_migration::reasons::ServiceState::Complete
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_or_a_closed_gate_while_a_request_is_unanswered_is_quiet() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(30)).await;
    daemon.reconfigure(|settings| settings.paused = true);
    daemon.works_for(minutes(30)).await;
    let on_vault = KeyManagerBackend::Other("VaultKeyManager".into());
    daemon.reconfigure(|settings| settings.backend = on_vault);
    daemon.works_for(minutes(30)).await;
    assert!(cloud.calls(Op::Census).len() < 40, "it does not spin");
    daemon.reconfigure(|settings| {
        settings.backend = KeyManagerBackend::Barbican;
        settings.paused = false;
    });
    daemon.works_for(seconds(1)).await;
    assert!(cloud.secret_of(&volume("v1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_single_run_sits_out_what_it_does_not_know() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.times(1, Op::Store, stored_unanswered());
    let before = tokio::time::Instant::now();
    let ending = once(&cloud, settings(Service::Volume), None).await;
    assert_eq!(ending, Ending::NothingLeft);
    assert!(before.elapsed() >= seconds(120));
    assert_eq!(cloud.live_secrets().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_whose_unanswered_row_is_deleted_ends() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.times(1, Op::Store, stored_unanswered());
    let running = once(&cloud, settings(Service::Volume), None);
    let deleting = async {
        tokio::time::sleep(seconds(60)).await;
        cloud.world().delete(&volume("v1"));
    };
    let (ending, ()) = tokio::join!(running, deleting);
    assert_eq!(ending, Ending::NothingLeft);
}

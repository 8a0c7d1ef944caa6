//! Nothing is left: said only after two clear counts, and taken back when a zero appears.

use key_migration::ids::{ALL_ZEROS, Service};
use key_migration::reasons::ServiceState;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_service_is_complete_after_two_clear_counts_an_interval_apart() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(59)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.state(), ServiceState::Idle);
    daemon.works_for(seconds(61)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_zero_that_appears_anywhere_ends_it_and_two_more_counts_bring_it_back() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1).with_backups(1);
    cloud.world().rekey(&backup("b1"), "somebody's key");
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(330)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
    cloud.world().rekey(&backup("b1"), ALL_ZEROS);
    daemon.works_for(minutes(2)).await;
    assert_eq!(daemon.state(), ServiceState::Idle);
    cloud.world().rekey(&backup("b1"), "somebody's key");
    daemon.works_for(seconds(61)).await;
    assert_eq!(daemon.state(), ServiceState::Idle);
    daemon.works_for(seconds(61)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_at_zeros_keeps_every_service_from_being_complete() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2).with_snapshot("s1", "v1", ALICE);
    cloud.world().rekey(&volume("v1"), "somebody's key");
    cloud.world().row(&volume("v1")).host = "host2@lvm#pool".into();
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    assert_eq!(daemon.state(), ServiceState::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_known_outcome_keeps_a_service_from_being_complete() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.times(1, Op::Store, stored_unanswered());
    let mut patient = settings(Service::Volume);
    patient.unknown_outcome_wait = minutes(10);
    let daemon = Daemon::start(&cloud, patient);
    daemon.works_for(seconds(30)).await;
    cloud.world().rekey(&volume("v1"), "somebody's key");
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Idle);
    daemon.works_for(minutes(10)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_missing_role_does_not_end_it() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    cloud.always(Op::Store, role_missing());
    cloud.always(Op::List, listing_refused());
    cloud.always(Op::Probe, role_missing());
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
}

//! What hits every key: it is said once, waited out with one probe a minute, and gone on from.

use std::sync::Arc;

use key_migration::fixed_key::FixedKey;
use key_migration::ids::Service;
use key_migration::reasons::{Fault, Reason, ServiceState};
use key_migration::service::Ending;

use crate::support::*;

const STARTING: &str = "INFO Starting migration of ConfKeyManager keys.";
const V1: &str = "INFO Migrating volume v1 encryption key to Barbican";
const V2: &str = "INFO Migrating volume v2 encryption key to Barbican";
const V3: &str = "INFO Migrating volume v3 encryption key to Barbican";
const THREE_VOLUMES: &str =
    "WARN There are still 3 volume(s) using the ConfKeyManager's all-zeros encryption key ID.";
const CLEAR_VOLUMES: &str = "INFO No volumes are using the ConfKeyManager's encryption_key_id.";
const CLEAR_BACKUPS: &str =
    "INFO No backups are known to be using the ConfKeyManager's encryption_key_id.";
const GOES_ON: &str = "INFO Migration of volume encryption keys goes on (no longer role_missing).";

fn without_role(cloud: &Cloud) {
    cloud.always(Op::List, listing_refused());
    cloud.always(Op::Store, role_missing());
}

fn refusal_lines() -> [String; 6] {
    [
        STARTING.into(),
        V1.into(),
        format!("ERROR Error migrating encryption key: {FORBIDDEN}"),
        format!("WARN Remedy: {ROLE_REMEDY}"),
        THREE_VOLUMES.into(),
        CLEAR_BACKUPS.into(),
    ]
}

#[tokio::test(start_paused = true)]
async fn w15_a_missing_role_reads_once_and_then_nothing_while_one_key_a_minute_is_tried() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(59 * 60 + 1)).await;
    assert_eq!(log.take(), refusal_lines());
    assert_eq!(daemon.state(), ServiceState::Blocked);
    assert_eq!(daemon.reason(), Some(Reason::RoleMissing));
    assert_eq!(daemon.progress().remedy.as_deref(), Some(ROLE_REMEDY));
    assert!(daemon.progress().next_attempt_at.is_some());
    let tried = cloud.calls(Op::Store);
    assert_eq!(tried.len(), 60);
    assert!(tried.iter().all(|call| call.about == "v1"));
    assert_eq!(cloud.seconds_of(Op::Store)[..3], [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn the_refusal_reads_the_same_where_the_listing_is_allowed() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always(Op::Store, role_missing());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(30)).await;
    assert_eq!(log.take(), refusal_lines());
    assert_eq!(cloud.calls(Op::List).len(), Service::Volume.kinds().len());
}

#[tokio::test(start_paused = true)]
async fn once_the_role_is_granted_everything_moves_within_two_intervals() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(30)).await;
    log.take();
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    let told = [GOES_ON, STARTING, V1, V2, V3, CLEAR_VOLUMES, CLEAR_BACKUPS];
    assert_eq!(log.take(), told);
    for id in ["v1", "v2", "v3"] {
        assert!(cloud.secret_of(&volume(id)).is_some(), "{id}");
    }
    assert_eq!(cloud.live_secrets().len(), 3);
    assert_eq!(daemon.reason(), None);
    assert_eq!(daemon.progress().keys.migrated, 3);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_says_the_refusal_again_and_goes_on_after_the_grant() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    assert_eq!(daemon.stop().await, Ending::Stopped);
    log.take();
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(3)).await;
    assert_eq!(log.take(), refusal_lines());
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.live_secrets().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_wants_another_remedy_is_said_again() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    log.take();
    cloud.heal();
    let remedy = "openstack role add --user cinder --project service creator";
    let other = Trouble::Fault(Fault::new(Reason::RoleMissing, FORBIDDEN, remedy));
    cloud.always(Op::List, other.clone());
    cloud.always(Op::Store, other);
    daemon.works_for(minutes(10)).await;
    let told = [
        format!("ERROR Error migrating encryption key: {FORBIDDEN}"),
        format!("WARN Remedy: {remedy}"),
    ];
    assert_eq!(log.take(), told);
    assert_eq!(daemon.progress().remedy.as_deref(), Some(remedy));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_store_but_not_list_stores_one_secret_and_no_more() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always(Op::List, listing_refused());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(30)).await;
    assert_eq!(daemon.reason(), Some(Reason::RoleMissing));
    assert_eq!(cloud.calls(Op::Store).len(), 1);
    cloud.heal();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.live_secrets().len(), 3);
    assert_eq!(cloud.calls(Op::Store).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_listing_is_not_forgotten_because_no_row_could_be_tried() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(2)).await;
    log.take();
    cloud.world().set_status(&volume("v1"), "retyping");
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(daemon.reason(), Some(Reason::RoleMissing));
}

/// Blocks with the reason, says so once, and goes on by itself.
async fn blocks_and_goes_on(reason: Reason, op: Op, error: &str) {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(3);
    cloud.always(op, faulty(reason));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    let told = log.take();
    let count = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count(error), 1, "{told:#?}");
    assert_eq!(
        count(&format!("WARN Remedy: what helps against {reason}")),
        1
    );
    assert_eq!(count("ERROR "), 1, "{told:#?}");
    assert!(told.len() <= 6, "{told:#?}");
    assert_eq!(daemon.state(), ServiceState::Blocked);
    assert_eq!(daemon.reason(), Some(reason));
    let probes = cloud.calls(op).len();
    assert!((20..=23).contains(&probes), "{probes} probes in 20 minutes");

    cloud.heal();
    daemon.works_for(minutes(2)).await;
    let goes_on = format!("INFO Migration of volume encryption keys goes on (no longer {reason}).");
    assert_eq!(log.take_with("goes on"), [goes_on]);
    assert_eq!(cloud.live_secrets().len(), 3);
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(daemon.reason(), None);
}

#[tokio::test(start_paused = true)]
async fn w15_a_quota_that_is_reached_blocks_until_there_is_room() {
    let error = "ERROR Error migrating encryption key: what quota_reached looks like";
    blocks_and_goes_on(Reason::QuotaReached, Op::Store, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_keystone_that_rejects_us_blocks_until_it_lets_us_in() {
    let error = "ERROR Migration of volume encryption keys waits (keystone_rejected): what keystone_rejected looks like";
    blocks_and_goes_on(Reason::KeystoneRejected, Op::List, error).await;
}

#[tokio::test(start_paused = true)]
async fn w14_a_keystone_that_goes_away_between_keys_blocks_until_it_is_back() {
    let error = "ERROR Error migrating encryption key: what keystone_unreachable looks like";
    blocks_and_goes_on(Reason::KeystoneUnreachable, Op::Payload, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_barbican_that_cannot_be_reached_blocks_until_it_can() {
    let error = "ERROR Migration of volume encryption keys waits (barbican_unreachable): what barbican_unreachable looks like";
    blocks_and_goes_on(Reason::BarbicanUnreachable, Op::List, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_barbican_cannot_work_with_blocks_until_it_is_right() {
    let error = "ERROR Error migrating encryption key: what configuration looks like";
    blocks_and_goes_on(Reason::Configuration, Op::Store, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_from_the_start_blocks_until_it_is_back() {
    let error = "ERROR Migration of volume encryption keys waits (database_unreachable): what database_unreachable looks like";
    blocks_and_goes_on(Reason::DatabaseUnreachable, Op::AnyRow, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_under_the_walk_blocks_until_it_is_back() {
    let error = "ERROR Migration of volume encryption keys waits (database_unreachable): what database_unreachable looks like";
    blocks_and_goes_on(Reason::DatabaseUnreachable, Op::ZeroRows, error).await;
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_under_a_key_blocks_until_it_is_back() {
    let error = "ERROR Error migrating encryption key: what database_unreachable looks like";
    blocks_and_goes_on(Reason::DatabaseUnreachable, Op::Row, error).await;
}

#[tokio::test(start_paused = true)]
async fn the_database_may_go_away_and_come_back_on_a_host_without_rows() {
    let (cloud, log) = scene();
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    log.take();
    cloud.times(5, Op::AnyRow, faulty(Reason::DatabaseUnreachable));
    daemon.works_for(minutes(20)).await;
    let told = [
        "ERROR Migration of volume encryption keys waits (database_unreachable): what database_unreachable looks like",
        "WARN Remedy: what helps against database_unreachable",
        "INFO Migration of volume encryption keys goes on (no longer database_unreachable).",
    ];
    assert_eq!(log.take(), told);
    assert_eq!(daemon.state(), ServiceState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_ours_that_we_may_not_touch_blocks_until_we_may() {
    let error = "ERROR Error migrating encryption key: Forbidden: Secret ACL(s) update not allowed - please review your user/project privileges";
    for op in [Op::SetReaders, Op::Payload] {
        let (cloud, log) = scene();
        let cloud = cloud.with_volumes(3);
        cloud.always(op, forbidden());
        let daemon = Daemon::start(&cloud, settings(Service::Volume));
        daemon.works_for(minutes(10)).await;
        assert_eq!(log.take_with("ERROR"), [error]);
        assert_eq!(daemon.reason(), Some(Reason::RoleMissing));
        cloud.heal();
        daemon.works_for(minutes(2)).await;
        assert_eq!(cloud.world().census().volumes, 0);
        assert_eq!(cloud.live_secrets().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn three_keys_in_a_row_that_barbican_fails_block_until_it_recovers() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(5);
    cloud.always(Op::SetReaders, failing());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    let failure = "ERROR Error migrating encryption key: Internal Server Error: Barbican failed";
    let told = log.take();
    let errors = told.iter().filter(|line| *line == failure).count();
    assert_eq!(errors, 3, "{told:#?}");
    let remedy = "WARN Remedy: see the log of the Barbican API, and of what stands in front of it";
    assert_eq!(told.iter().filter(|line| *line == remedy).count(), 1);
    assert_eq!(told.len(), 1 + 3 * 2 + 1 + 2, "{told:#?}");
    assert_eq!(daemon.reason(), Some(Reason::BarbicanFailing));
    assert_eq!(cloud.calls(Op::Store).len(), 3);

    cloud.heal();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.live_secrets().len(), 5);
    assert_eq!(cloud.calls(Op::Store).len(), 5);
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_block_by_failures_that_were_all_said_before_still_says_what_failed() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(4);
    for id in ["v1", "v2", "v4"] {
        cloud.always_for(id, Op::SetReaders, failing());
    }
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(50)).await;
    assert_eq!(log.take_with("ERROR").len(), 3);
    daemon.works_for(minutes(1)).await;
    let told = log.take();
    let remedy = told.iter().position(|line| line.starts_with("WARN Remedy"));
    let remedy = remedy.expect("three in a row block");
    let failure = "ERROR Error migrating encryption key: Internal Server Error: Barbican failed";
    assert_eq!(told[remedy - 1], failure, "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn w19_an_earlier_secret_that_holds_another_key_blocks_before_anything_is_stored() {
    let (cloud, log) = scene();
    let (cloud, other) = cloud
        .with_volumes(3)
        .with_secret(&volume("v9"), minutes(90));
    cloud.world().secret(other).payload = vec![1; 32];
    cloud.world().add(volume("v9"), None);
    cloud.world().rekey(&volume("v9"), &other.to_string());
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(20)).await;
    let told = [
        STARTING.to_owned(),
        format!(
            "ERROR Migration of volume encryption keys waits (fixed_key_mismatch): secret {other}, stored under the name of volume v9, does not hold this host's fixed_key"
        ),
        "WARN Remedy: compare [key_manager] fixed_key of all hosts: they must be the same; if they are, look at that secret in Barbican".into(),
        THREE_VOLUMES.into(),
        CLEAR_BACKUPS.into(),
    ];
    assert_eq!(log.take(), told);
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    assert!(cloud.calls(Op::Store).is_empty());

    cloud.world().secret(other).deleted = true;
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_fixed_key_is_put_right_goes_on_at_once() {
    let (cloud, _log) = scene();
    let (cloud, leftover) = cloud
        .with_volumes(3)
        .with_secret(&volume("v1"), minutes(90));
    let mut wrong = settings(Service::Volume);
    let right = wrong.fixed_key.replace(Arc::new(
        FixedKey::from_hex("00112233445566778899aabbccddeeff").unwrap(),
    ));
    let daemon = Daemon::start(&cloud, wrong);
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.reason(), Some(Reason::FixedKeyMismatch));
    daemon.reconfigure(|settings| settings.fixed_key = right);
    daemon.works_for(seconds(5)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.secret_of(&volume("v1")).unwrap().id, leftover);
}

#[tokio::test(start_paused = true)]
async fn new_settings_make_a_blocked_service_try_at_once() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(3);
    without_role(&cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(61)).await;
    cloud.heal();
    daemon.reconfigure(|_| {});
    daemon.works_for(seconds(1)).await;
    assert_eq!(cloud.world().census().volumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_the_database_cannot_follow_blocks_and_is_made_again() {
    let (mut cloud, _log) = scene();
    cloud = cloud.with_volumes(3);
    cloud.world().page_size = 1;
    for id in ["v1", "v2", "v3", "v4", "v5", "v6", "v7"] {
        cloud = cloud.with_secret(&volume(id), minutes(90)).0;
    }
    cloud.times(1, Op::Keys, faulty(Reason::DatabaseUnreachable));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(seconds(10)).await;
    assert_eq!(daemon.reason(), Some(Reason::DatabaseUnreachable));
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert!(cloud.calls(Op::Store).is_empty());
}

//! The global count: its lines, and when they are logged.

use key_migration::ids::{SecretId, Service};
use key_migration::reasons::Reason;

use crate::support::*;

const ELSEWHERE: &str = "host2@lvm#pool";

fn clear() -> [&'static str; 2] {
    [
        "INFO No volumes are using the ConfKeyManager's encryption_key_id.",
        "INFO No backups are known to be using the ConfKeyManager's encryption_key_id.",
    ]
}

/// A volume of this host with a key of its own, so that a pass has nothing to do.
fn busy_elsewhere(cloud: Cloud) -> Cloud {
    let cloud = cloud.with_volumes(1);
    cloud.world().rekey(&volume("v1"), "somebody's key");
    cloud
}

fn elsewhere(cloud: &Cloud, id: &str) {
    let mut world = cloud.world();
    world.add(volume(id), None);
    world.row(&volume(id)).host = ELSEWHERE.into();
}

#[tokio::test(start_paused = true)]
async fn a_clear_count_is_two_lines_at_info_after_the_first_pass_and_each_interval() {
    let (cloud, log) = scene();
    let cloud = busy_elsewhere(cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    let first = ["INFO Starting migration of ConfKeyManager keys."];
    assert_eq!(log.take(), [&first[..], &clear()].concat());
    daemon.works_for(minutes(58)).await;
    assert_eq!(log.take(), [""; 0]);
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), clear());
    daemon.works_for(minutes(58)).await;
    assert_eq!(log.take(), [""; 0]);
    daemon.works_for(minutes(3)).await;
    assert_eq!(log.take(), clear());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_on_any_host_is_counted_by_each_service_with_warnings() {
    for service in [Service::Volume, Service::Backup] {
        let (cloud, log) = scene();
        let cloud = busy_elsewhere(cloud).with_backups(1);
        cloud.world().rekey(&backup("b1"), "somebody's key");
        elsewhere(&cloud, "v2");
        elsewhere(&cloud, "v3");
        cloud.world().add(backup("b2"), None);
        cloud.world().row(&backup("b2")).host = "host2".into();
        cloud.world().row(&volume("v3")).unowned = true;
        cloud.world().add_snapshot("s1", "v2", ALICE);
        cloud.world().add_snapshot("s2", "v2", ALICE);
        let daemon = Daemon::start(&cloud, settings(service));
        daemon.works_for(minutes(10)).await;
        let told = [
            "INFO Starting migration of ConfKeyManager keys.",
            "WARN There are still 2 volume(s) using the ConfKeyManager's all-zeros encryption key ID.",
            "WARN There are still 1 backup(s) using the ConfKeyManager's all-zeros encryption key ID.",
            "WARN There are still 2 snapshot(s) using the ConfKeyManager's all-zeros encryption key ID.",
            "WARN Of these, 1 volume(s) and 0 backup(s) belong to no Cinder service that is up.",
        ];
        assert_eq!(log.take(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_that_changed_is_logged_after_the_next_pass() {
    let (cloud, log) = scene();
    let cloud = busy_elsewhere(cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    log.take();
    elsewhere(&cloud, "v2");
    daemon.works_for(minutes(10)).await;
    let told = [
        "WARN There are still 1 volume(s) using the ConfKeyManager's all-zeros encryption key ID.",
        clear()[1],
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_moved_keys_is_followed_by_a_count_of_its_own() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2).with_backups(3);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    let told = [
        "INFO Starting migration of ConfKeyManager keys.",
        "INFO Migrating volume v1 encryption key to Barbican",
        "INFO Migrating volume v2 encryption key to Barbican",
        clear()[0],
        "WARN There are still 3 backup(s) using the ConfKeyManager's all-zeros encryption key ID.",
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn backups_are_announced_as_upstream_does() {
    let (cloud, log) = scene();
    let cloud = cloud.with_backups(1);
    let daemon = Daemon::start(&cloud, settings(Service::Backup));
    daemon.works_for(minutes(10)).await;
    let told = [
        "INFO Starting migration of ConfKeyManager keys.",
        "INFO Migrating Backup b1 encryption key to Barbican",
        clear()[0],
        clear()[1],
    ];
    assert_eq!(log.take(), told);
    let key = cloud.key_of(&backup("b1")).unwrap();
    assert!(key.parse::<SecretId>().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_count_that_fails_blocks_and_nothing_is_claimed() {
    let (cloud, log) = scene();
    let cloud = busy_elsewhere(cloud);
    cloud.times(8, Op::Census, faulty(Reason::DatabaseUnreachable));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.reason(), Some(Reason::DatabaseUnreachable));
    assert_eq!(log.take_with("No volumes"), [""; 0]);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take_with("No volumes"), [clear()[0]]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_moved_are_followed_by_a_summary_though_the_count_is_as_before() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(1);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    log.take();
    cloud.world().add(volume("v2"), None);
    daemon.works_for(minutes(5)).await;
    let told = [
        "INFO Starting migration of ConfKeyManager keys.",
        "INFO Migrating volume v2 encryption key to Barbican",
        clear()[0],
        clear()[1],
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn another_number_of_hosts_is_no_other_count() {
    let (cloud, log) = scene();
    let cloud = busy_elsewhere(cloud);
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(1)).await;
    log.take();
    cloud.world().hosts = 20;
    daemon.works_for(minutes(30)).await;
    assert_eq!(log.take(), [""; 0]);
}

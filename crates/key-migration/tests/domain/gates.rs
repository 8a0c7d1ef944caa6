//! Whether a host migrates at all, and what it says about that.

use std::sync::Arc;

use key_migration::fixed_key::FixedKey;
use key_migration::ids::Service;
use key_migration::reasons::{Reason, ServiceState};
use key_migration::service::Ending;
use key_migration::settings::KeyManagerBackend;

use crate::support::*;

const CONF_KEY_MANAGER: &str =
    "INFO Not migrating encryption keys because the ConfKeyManager is still in use.";
const NO_FIXED_KEY: &str =
    "INFO Not migrating encryption keys because the ConfKeyManager's fixed_key is not in use.";
const KEY_NEEDED: &str = "ERROR [key_manager] fixed_key is not set, but 2 volume(s), 0 snapshot(s) and 0 backup(s) still need it. Put the fixed_key that encrypted them back into [key_manager]; they cannot be read without it.";
const UNSUPPORTED: &str = "WARN Not migrating encryption keys because migration to the 'VaultKeyManager' key_manager backend is not supported.";
const NO_BACKENDS: &str = "WARN Not migrating encryption keys because enabled_backends is not set, without which the volume service does not start.";
const NO_VOLUMES: &str =
    "INFO Not migrating encryption keys because there are no volumes associated with this host.";
const NO_BACKUPS: &str =
    "INFO Not migrating encryption keys because there are no backups associated with this host.";
const TWO_VOLUMES: &str =
    "WARN There are still 2 volume(s) using the ConfKeyManager's all-zeros encryption key ID.";
const CLEAR_VOLUMES: &str = "INFO No volumes are using the ConfKeyManager's encryption_key_id.";
const CLEAR_BACKUPS: &str =
    "INFO No backups are known to be using the ConfKeyManager's encryption_key_id.";

fn nothing_was_sent(cloud: &Cloud) -> bool {
    Op::BARBICAN.iter().all(|op| cloud.calls(*op).is_empty())
}

#[tokio::test(start_paused = true)]
async fn a_host_still_on_conf_key_manager_says_so_once_and_sums_up_nothing() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut on_fixed_key = settings(Service::Volume);
    on_fixed_key.backend = KeyManagerBackend::ConfKeyManager;
    on_fixed_key.fixed_key = None;
    let daemon = Daemon::start(&cloud, on_fixed_key);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [CONF_KEY_MANAGER]);
    assert_eq!(daemon.state(), ServiceState::Disabled);
    assert_eq!(daemon.reason(), Some(Reason::Configuration));
    assert!(nothing_was_sent(&cloud));
}

#[tokio::test(start_paused = true)]
async fn a_host_without_a_fixed_key_that_nobody_needs_says_so_once_and_sums_up_nothing() {
    let (cloud, log) = scene();
    let mut keyless = settings(Service::Volume);
    keyless.fixed_key = None;
    keyless.backend = KeyManagerBackend::Other("VaultKeyManager".into());
    let daemon = Daemon::start(&cloud, keyless);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [NO_FIXED_KEY]);
    assert_eq!(daemon.state(), ServiceState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_key_that_is_gone_while_rows_need_it_is_an_error_with_its_remedy() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut keyless = settings(Service::Volume);
    keyless.fixed_key = None;
    let daemon = Daemon::start(&cloud, keyless);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [NO_FIXED_KEY, KEY_NEEDED]);
    assert!(nothing_was_sent(&cloud));
}

#[tokio::test(start_paused = true)]
async fn rows_that_need_a_missing_fixed_key_are_named_once_the_database_answers() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    cloud.times(3, Op::Census, faulty(Reason::DatabaseUnreachable));
    let mut keyless = settings(Service::Volume);
    keyless.fixed_key = None;
    let daemon = Daemon::start(&cloud, keyless);
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), [NO_FIXED_KEY]);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [KEY_NEEDED]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_not_supported_is_warned_of_with_the_summary() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut on_vault = settings(Service::Volume);
    on_vault.backend = KeyManagerBackend::Other("VaultKeyManager".into());
    let daemon = Daemon::start(&cloud, on_vault);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [UNSUPPORTED, TWO_VOLUMES, CLEAR_BACKUPS]);
    assert_eq!(daemon.state(), ServiceState::Disabled);
    assert!(nothing_was_sent(&cloud));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_owns_no_volumes_says_so_with_the_summary_and_goes_on_when_it_owns_some() {
    let (cloud, log) = scene();
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [NO_VOLUMES, CLEAR_VOLUMES, CLEAR_BACKUPS]);
    assert_eq!(daemon.state(), ServiceState::Disabled);
    assert_eq!(daemon.reason(), None);

    cloud.world().add(volume("v1"), None);
    daemon.works_for(minutes(2)).await;
    let first = ["INFO Starting migration of ConfKeyManager keys."];
    assert_eq!(log.take()[..1], first);
    assert!(cloud.secret_of(&volume("v1")).is_some());

    cloud.world().delete(&volume("v1"));
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), [NO_VOLUMES]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_owns_no_backups_says_backups() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let daemon = Daemon::start(&cloud, settings(Service::Backup));
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [NO_BACKUPS, TWO_VOLUMES, CLEAR_BACKUPS]);
}

#[tokio::test(start_paused = true)]
async fn a_volume_service_without_enabled_backends_is_disabled_with_that_reason() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut no_backends = settings(Service::Volume);
    no_backends.scope = None;
    let daemon = Daemon::start(&cloud, no_backends);
    daemon.works_for(minutes(5)).await;
    assert_eq!(log.take(), [NO_BACKENDS, TWO_VOLUMES, CLEAR_BACKUPS]);
    assert_eq!(daemon.state(), ServiceState::Disabled);
    assert_eq!(daemon.reason(), Some(Reason::Configuration));
    let remedy = daemon.progress().remedy;
    let says = "set [DEFAULT] enabled_backends, or run --service backup";
    assert_eq!(remedy.as_deref(), Some(says));
    assert!(nothing_was_sent(&cloud));
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_said_again_only_when_it_is_another_one() {
    let (cloud, log) = scene();
    let mut first = settings(Service::Volume);
    first.backend = KeyManagerBackend::ConfKeyManager;
    let daemon = Daemon::start(&cloud, first);
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), [CONF_KEY_MANAGER]);
    daemon.reconfigure(|settings| settings.fixed_key = None);
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), [""; 0]);
    daemon.reconfigure(|settings| settings.backend = KeyManagerBackend::Barbican);
    daemon.works_for(seconds(1)).await;
    assert_eq!(log.take(), [NO_FIXED_KEY]);
    daemon.reconfigure(|settings| settings.backend = KeyManagerBackend::ConfKeyManager);
    daemon.works_for(minutes(2)).await;
    assert_eq!(log.take(), [CONF_KEY_MANAGER]);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_key_that_is_read_again_or_taken_away_is_let_go() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    let first = settings(Service::Volume);
    let again = settings(Service::Volume).fixed_key;
    let key = |key: &Option<Arc<FixedKey>>| Arc::downgrade(key.as_ref().expect("a key"));
    let (first_key, again_key) = (key(&first.fixed_key), key(&again));
    let daemon = Daemon::start(&cloud, first);
    daemon.works_for(minutes(5)).await;
    assert_eq!(daemon.state(), ServiceState::Complete);
    daemon.reconfigure(|settings| settings.fixed_key = again);
    daemon.works_for(minutes(1)).await;
    assert_eq!(first_key.strong_count(), 0);
    assert!(again_key.strong_count() > 0);
    daemon.reconfigure(|settings| settings.fixed_key = None);
    daemon.works_for(minutes(1)).await;
    assert_eq!(again_key.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_run_behind_a_closed_gate_tells_whether_anything_is_left() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(2);
    let mut on_fixed_key = settings(Service::Volume);
    on_fixed_key.backend = KeyManagerBackend::ConfKeyManager;
    assert_eq!(
        once(&cloud, on_fixed_key.clone(), None).await,
        Ending::SomethingLeft
    );
    cloud.world().delete(&volume("v1"));
    cloud.world().delete(&volume("v2"));
    assert_eq!(
        once(&cloud, on_fixed_key.clone(), None).await,
        Ending::NothingLeft
    );
    cloud.always(Op::CountZero, faulty(Reason::DatabaseUnreachable));
    assert_eq!(once(&cloud, on_fixed_key, None).await, Ending::Failed);
}

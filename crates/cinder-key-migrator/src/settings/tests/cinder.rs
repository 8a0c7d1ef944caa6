//! `[DEFAULT]`, backends, `[database]` and `[key_manager]`, as Cinder has them.

use key_migration::settings::KeyManagerBackend;

use super::super::*;
use super::{DATABASE, FIXED_KEY, faults_of, read, read_files, settings};

#[test]
fn backends_are_named_as_cinders_volume_service_names_them() {
    let configuration = read(&format!(
        "[DEFAULT]\nhost = h\ncluster = ' c '\nenabled_backends = lvm, ,Ceph,lvm\n\
         [backend_defaults]\nbackend_host = not-this\n[ceph]\nbackend_host = hostgroup\n{DATABASE}"
    ));
    let backend = |host: &str, cluster: &str| Backend {
        host: host.into(),
        cluster: Some(cluster.into()),
    };
    assert_eq!(
        settings(&configuration, Service::Volume).scope,
        Some(Scope::Volumes(vec![
            backend("h@lvm", "c@lvm"),
            backend("hostgroup@Ceph", "c@Ceph"),
        ]))
    );
}

#[test]
fn a_volume_service_without_backends_owns_nothing() {
    let configuration = read(DATABASE);
    assert_eq!(settings(&configuration, Service::Volume).scope, None);
}

#[test]
fn behind_a_closed_gate_keystone_need_not_be_configured() {
    for text in [
        "[key_manager]\nbackend = cinder.keymgr.conf_key_mgr.ConfKeyManager\nfixed_key = 00\n",
        "[key_manager]\nbackend = barbican\n",
        "[key_manager]\nfixed_key =\n",
        "[key_manager]\nbackend = vault\nfixed_key = 00\n",
    ] {
        assert!(
            read(&format!("{DATABASE}{text}")).key_manager.is_none(),
            "{text}"
        );
    }
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}"));
    assert!(
        faults.iter().any(|it| it.contains("auth_type is not set")),
        "{faults:?}"
    );
}

#[test]
fn old_names_of_key_and_connection_count() {
    let configuration = read(
        "[DEFAULT]\nsql_connection = sqlite:////c.sqlite\n[keymgr]\nfixed_key = 0011\n\
         [key_manager]\napi_class = cinder.keymgr.conf_key_mgr.ConfKeyManager\n",
    );
    let settings = settings(&configuration, Service::Volume);
    assert_eq!(settings.backend, KeyManagerBackend::ConfKeyManager);
    assert_eq!(
        settings.fixed_key.as_ref().map(|key| key.bit_length()),
        Some(16)
    );
}

#[test]
fn later_files_and_the_environment_win() {
    let first = format!("{DATABASE}[DEFAULT]\nhost = first\n");
    let second = "[DEFAULT]\nhost = second-$my_ip\n";
    let configuration = read_files(&[&first, second], &[], &[]).expect("no faults");
    assert_eq!(configuration.host, "second-192.0.2.7");
    let environment = [("OS_DEFAULT__HOST", "third")];
    let configuration = read_files(&[&first, second], &[], &environment).expect("no faults");
    assert_eq!(configuration.host, "third");
}

#[test]
fn logging_is_as_oslo_log_has_it() {
    let configuration = read(&format!(
        "[DEFAULT]\ndebug=true\nuse_json=1\nuse_journal=on\nlogdir=/var/log/cinder\n\
         log_file=cinder-volume.log\n{DATABASE}"
    ));
    let expected = LogConfig {
        debug: true,
        json: true,
        journal: true,
        directory: Some("/var/log/cinder".into()),
    };
    assert_eq!(configuration.log, expected);
}

#[test]
fn parts_of_the_database_url_without_effect_are_told_with_their_place() {
    let text = "[database]\nconnection = mysql://c:p@h/d?read_default_group=x\n";
    let warnings = read(text).warnings;
    assert_eq!(warnings.len(), 1);
    let warning = &warnings[0];
    assert!(
        warning.contains("0.conf:2: [database] connection: parameter"),
        "{warning}"
    );
}

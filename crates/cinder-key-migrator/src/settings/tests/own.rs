//! `[key_migrator]`, and which services and rows the process takes.

use std::time::Duration;

use key_migration::settings::KeyManagerBackend;

use super::super::*;
use super::{
    DATABASE, FIXED_KEY, SIGN_IN, faults_of, read, read_files, read_files_beside, settings,
};

#[test]
fn a_plain_configuration_has_the_defaults_of_the_design() {
    let configuration = read(&format!("{DATABASE}{FIXED_KEY}{SIGN_IN}"));
    assert_eq!(configuration.host, "node7");
    assert_eq!(configuration.log, LogConfig::default());
    assert_eq!(configuration.listen.to_string(), "127.0.0.1:18776");
    assert!(configuration.warnings.is_empty());
    let names: Vec<_> = configuration.services.iter().map(|it| it.service).collect();
    assert_eq!(names, [Service::Volume, Service::Backup]);
    let settings = settings(&configuration, Service::Backup);
    assert_eq!(settings.backend, KeyManagerBackend::Barbican);
    assert_eq!(
        settings.fixed_key.as_ref().map(|key| key.bit_length()),
        Some(16)
    );
    assert_eq!(settings.scope, Some(Scope::Backups(vec!["node7".into()])));
    assert_eq!(settings.interval, Duration::from_secs(60));
    assert_eq!(settings.summary_interval, Duration::from_secs(3600));
    assert_eq!(settings.max_concurrency, 32);
    assert_eq!(settings.unknown_outcome_wait, Duration::from_secs(120));
    assert_eq!(settings.max_rate, None);
    assert!(!settings.paused);
    assert!(settings.extra_acl_users.is_empty());
    assert_eq!(settings.service_down_time, Duration::from_secs(60));
}

#[test]
fn a_service_that_runs_is_told_of_changes_although_it_is_not_asked_for_any_more() {
    let text = format!("{DATABASE}[key_migrator]\nservices = volume\npaused = true\n");
    let running = [Service::Volume, Service::Backup];
    let configuration =
        read_files_beside(&running, &[&text], &[], &[]).expect("a configuration without faults");
    assert_eq!(configuration.asked_for, [Service::Volume]);
    for service in running {
        assert!(settings(&configuration, service).paused, "{service}");
    }
}

#[test]
fn own_options_are_read() {
    let configuration = read(&format!(
        "{DATABASE}[key_migrator]\nservices = backup,backup\ninterval = 5\n"
    ));
    assert_eq!(configuration.services.len(), 1);
    assert_eq!(configuration.services[0].service, Service::Backup);
    assert_eq!(configuration.services[0].interval, Duration::from_secs(5));
    let configuration = read(&format!(
        "{DATABASE}{FIXED_KEY}{SIGN_IN}[key_migrator]\nmax_concurrency=4\nmax_rate=2.5\npaused=yes\n\
         unknown_outcome_wait=1\nsummary_interval=9\nextra_acl_users=a1, b2,\n\
         listen=unix:$state_path/m.sock\n"
    ));
    let settings = settings(&configuration, Service::Volume);
    assert_eq!(settings.max_concurrency, 4);
    assert_eq!(settings.max_rate, Some(2.5));
    assert!(settings.paused);
    assert_eq!(settings.unknown_outcome_wait, Duration::from_secs(1));
    assert_eq!(settings.summary_interval, Duration::from_secs(9));
    assert_eq!(settings.extra_acl_users, ["a1".into(), "b2".into()]);
    assert_eq!(
        configuration.listen.to_string(),
        "unix:/var/lib/cinder/m.sock"
    );
}

#[test]
fn the_ledger_is_kept_below_cinders_own_state() {
    let elsewhere = "[DEFAULT]\nstate_path = /srv/cinder\n";
    for (text, state_dir) in [
        (String::new(), "/var/lib/cinder/key-migrator"),
        (elsewhere.to_owned(), "/srv/cinder/key-migrator"),
        (
            format!("{elsewhere}[key_migrator]\nstate_dir = $state_path/m\n"),
            "/srv/cinder/m",
        ),
        (
            "[key_migrator]\nstate_dir = /var/lib/m\n".to_owned(),
            "/var/lib/m",
        ),
    ] {
        let configuration = read(&format!("{DATABASE}{text}"));
        assert_eq!(configuration.state_dir, std::path::Path::new(state_dir));
    }
}

#[test]
fn the_ledger_is_not_kept_in_the_working_directory() {
    for path in ["", "state", "./state"] {
        let faults = faults_of(&format!("{DATABASE}[key_migrator]\nstate_dir = {path}\n"));
        let expected = "0.conf:4: [key_migrator] state_dir: expected a directory, its path from \
            the root";
        assert_eq!(faults, [expected]);
    }
}

#[test]
fn the_command_line_beats_the_services_option() {
    let text = format!("{DATABASE}[key_migrator]\nservices = volume, backup\n");
    let configuration = read_files(&[&text], &[Service::Backup], &[]).expect("no faults");
    let names: Vec<_> = configuration.services.iter().map(|it| it.service).collect();
    assert_eq!(names, [Service::Backup]);
}

#[test]
fn extra_hosts_go_to_the_service_whose_rows_are_named_so() {
    let configuration = read(&format!(
        "{DATABASE}[DEFAULT]\nhost=h\nenabled_backends=lvm\n\
         [key_migrator]\nextra_hosts=old@lvm,h@lvm,old,h\n"
    ));
    let backend = |host: &str| Backend {
        host: host.into(),
        cluster: None,
    };
    assert_eq!(
        settings(&configuration, Service::Volume).scope,
        Some(Scope::Volumes(vec![backend("h@lvm"), backend("old@lvm")]))
    );
    assert_eq!(
        settings(&configuration, Service::Backup).scope,
        Some(Scope::Backups(vec!["h".into(), "old".into()]))
    );
}

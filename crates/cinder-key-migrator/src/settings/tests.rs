use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use key_migration::settings::KeyManagerBackend;
use openstack_client::{
    ApplicationCredentialRef, Credentials, DomainRef, Interface, PasswordCredentials, ProjectRef,
    ServerTrust, TokenScope, UserRef,
};
use secrecy::ExposeSecret as _;

use super::*;

const DATABASE: &str = "[database]\nconnection = mysql+pymysql://cinder:s3cr3t@db/cinder\n";
const FIXED_KEY: &str = "[key_manager]\nfixed_key = 00ff\n";
const SIGN_IN: &str = "[keystone_authtoken]\n\
    auth_type = password\n\
    auth_url = https://keystone:5000/v3\n\
    username = cinder\n\
    password = s3cr3t\n\
    user_domain_name = Default\n\
    project_name = service\n\
    project_domain_id = default\n";

fn read_files(
    files: &[&str],
    services: &[Service],
    environment: &[(&str, &str)],
) -> Result<Configuration, Faults> {
    read_files_beside(&[], files, services, environment)
}

fn read_files_beside(
    running: &[Service],
    files: &[&str],
    services: &[Service],
    environment: &[(&str, &str)],
) -> Result<Configuration, Faults> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut inputs = Vec::new();
    for (number, text) in files.iter().enumerate() {
        let path = directory.path().join(format!("{number}.conf"));
        std::fs::write(&path, text).expect("a writable directory");
        inputs.push(Input::File(path));
    }
    let origin = Origin {
        inputs: inputs.clone(),
        services: services.to_owned(),
    };
    let variables = environment.iter();
    let sources = Sources {
        inputs,
        search: Search::new("cinder", "cinder-volume", None).etc(directory.path()),
        environment: Environment::new(
            variables.map(|(name, value)| (OsString::from(name), OsString::from(value))),
        ),
    };
    let machine = Machine {
        hostname: "node7".into(),
        address: "192.0.2.7".into(),
        ca_bundle: None,
    };
    read_with(&origin, running, sources, &machine)
}

fn read(text: &str) -> Configuration {
    read_files(&[text], &[], &[]).expect("a configuration without faults")
}

/// The faults, with `0.conf` in place of its path.
fn faults_of(text: &str) -> Vec<String> {
    let faults = read_files(&[text], &[], &[]).expect_err("faults");
    let short = |line: &String| match line.split_once("/0.conf") {
        None => line.clone(),
        Some((before, after)) => {
            let path_begins = before.rfind(' ').map_or(0, |space| space + 1);
            format!("{}0.conf{after}", &before[..path_begins])
        }
    };
    faults.lines().iter().map(short).collect()
}

fn settings(configuration: &Configuration, service: Service) -> &Settings {
    let mut all = configuration.services.iter();
    all.find(|it| it.service == service).expect("the service")
}

fn key_manager(text: &str) -> KeyManagerConfig {
    read(&format!("{DATABASE}{FIXED_KEY}{text}"))
        .key_manager
        .expect("a key manager")
}

fn password(config: &KeystoneConfig) -> &PasswordCredentials {
    match &config.credentials {
        Credentials::Password(password) => password,
        other => panic!("{other:?}"),
    }
}

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

#[test]
fn keystone_is_signed_in_to_as_keystone_authtoken_says() {
    let config = key_manager(SIGN_IN).keystone;
    assert_eq!(config.section, "keystone_authtoken");
    assert_eq!(config.auth_url.as_str(), "https://keystone:5000/v3");
    assert_eq!(config.trust, ServerTrust::System);
    let password = password(&config);
    assert_eq!(password.password.expose_secret(), "s3cr3t");
    let user = UserRef::Name {
        name: "cinder".into(),
        domain: DomainRef::Name("Default".into()),
    };
    assert_eq!(password.user, user);
    let project = ProjectRef::Name {
        name: "service".into(),
        domain: DomainRef::Id("default".into()),
    };
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn auth_section_moves_how_to_sign_in_but_not_the_session() {
    let moved = SIGN_IN.replace("[keystone_authtoken]", "[creds]");
    let config = key_manager(&format!(
        "[keystone_authtoken]\nauth_section = creds\ncafile = /ca.pem\npassword = not-this\n{moved}"
    ));
    let keystone = config.keystone;
    assert_eq!(keystone.section, "creds");
    assert_eq!(password(&keystone).password.expose_secret(), "s3cr3t");
    let ServerTrust::Bundle { path, option } = keystone.trust else {
        panic!("the bundle is lost");
    };
    assert_eq!(path, PathBuf::from("/ca.pem"));
    assert!(
        option.ends_with("0.conf:7: [keystone_authtoken] cafile"),
        "{option}"
    );
}

#[test]
fn former_names_are_understood_with_dashes_too() {
    let config = key_manager(
        "[keystone_authtoken]\nauth_plugin = v3password\nauth_url = http://k/\nuser-name = cinder\n\
         password = x\ntenant_name = service\ndefault_domain_id = default\n",
    );
    let password = password(&config.keystone);
    let domain = DomainRef::Id("default".into());
    let user = UserRef::Name {
        name: "cinder".into(),
        domain: domain.clone(),
    };
    assert_eq!(password.user, user);
    let project = ProjectRef::Name {
        name: "service".into(),
        domain,
    };
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn ids_need_no_domain() {
    let config = key_manager(
        "[keystone_authtoken]\nauth_type = password\nauth_url = http://k/\nuser_id = u1\n\
         password = x\ntenant-id = p1\n",
    );
    let password = password(&config.keystone);
    assert_eq!(password.user, UserRef::Id("u1".into()));
    let project = ProjectRef::Id("p1".into());
    assert_eq!(password.scope, TokenScope::Project(project));
}

#[test]
fn a_trust_stands_for_a_project() {
    let sign_in = |scope: &str| {
        format!(
            "[keystone_authtoken]\nauth_type = password\nauth_url = http://k/\nuser_id = u1\n\
             password = x\n{scope}"
        )
    };
    let config = key_manager(&sign_in("trust_id = t1\n"));
    let scope = TokenScope::Trust("t1".into());
    assert_eq!(password(&config.keystone).scope, scope);
    let text = sign_in("trust_id = t1\nproject_id = p1\n");
    assert_eq!(
        faults_of(&format!("{DATABASE}{FIXED_KEY}{text}")),
        [
            "0.conf:11: [keystone_authtoken] project_id: set beside trust_id, which stands for a \
             project; take one of them out"
        ]
    );
}

#[test]
fn a_token_for_no_project_is_refused_with_the_reason() {
    for option in ["system_scope", "domain_id", "domain_name"] {
        let faults = faults_of(&format!(
            "{DATABASE}{FIXED_KEY}{SIGN_IN}{option} = secret\n"
        ));
        assert_eq!(
            faults,
            [format!(
                "0.conf:13: [keystone_authtoken] {option}: asks for a token without a project, and \
                 Barbican keeps secrets in projects; take it out, and set project_name and \
                 project_domain_name"
            )]
        );
    }
}

#[test]
fn an_application_credential_is_found_by_its_id_or_by_its_name() {
    let sign_in = |which: &str| {
        format!(
            "[keystone_authtoken]\nauth_type = v3applicationcredential\nauth_url = http://k/\n\
             application_credential_secret = s3cr3t\n{which}"
        )
    };
    let credential = |which: &str| match key_manager(&sign_in(which)).keystone.credentials {
        Credentials::Application(found) => {
            assert_eq!(found.secret.expose_secret(), "s3cr3t");
            found.credential
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        credential("application_credential_id = a1\nusername = cinder\n"),
        ApplicationCredentialRef::Id("a1".into())
    );
    assert_eq!(
        credential("application_credential_name = a\nusername = cinder\nuser_domain_id = d\n"),
        ApplicationCredentialRef::Name {
            name: "a".into(),
            user: UserRef::Name {
                name: "cinder".into(),
                domain: DomainRef::Id("d".into()),
            },
        }
    );
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}{}", sign_in("")));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].contains("application_credential_id is not set"),
        "{faults:?}"
    );
}

#[test]
fn another_way_to_sign_in_is_refused_by_its_option() {
    let text = SIGN_IN.replace("auth_type = password", "auth_type = v3oidcpassword");
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}{text}"));
    assert_eq!(
        faults,
        [
            "0.conf:6: [keystone_authtoken] auth_type: expected password, v3password or \
             v3applicationcredential; this program cannot sign in in another way"
        ]
    );
}

#[test]
fn a_certificate_of_our_own_is_shown_to_both_unless_barbican_has_another() {
    let both = format!("{SIGN_IN}certfile = /c.pem\nkeyfile = /k.pem\nsplit_loggers = true\n");
    let config = key_manager(&both);
    let shown = config.keystone.certificate.expect("a certificate");
    assert_eq!(shown.certificate, PathBuf::from("/c.pem"));
    assert!(shown.certificate_option.ends_with("] certfile"));
    let (key, option) = shown.key.clone().expect("a key of its own");
    assert_eq!(key, PathBuf::from("/k.pem"));
    assert!(option.ends_with("0.conf:14: [keystone_authtoken] keyfile"));
    assert_eq!(config.barbican.certificate, Some(shown));

    let config = key_manager(&format!(
        "{both}[barbican]\ncertfile = /both.pem\ncafile = /b.pem\ntimeout = 3\n"
    ));
    let shown = config.barbican.certificate.expect("a certificate");
    assert_eq!(shown.certificate, PathBuf::from("/both.pem"));
    assert_eq!(shown.key, None);
    let ServerTrust::Bundle { path, .. } = config.barbican.trust else {
        panic!("the bundle is lost");
    };
    assert_eq!(path, PathBuf::from("/b.pem"));
    assert_eq!(config.barbican.timeouts.total, Duration::from_secs(3));
    assert_eq!(config.keystone.trust, ServerTrust::System);
}

#[test]
fn the_environments_bundle_counts_where_no_option_names_one() {
    let machine = Machine {
        hostname: "h".into(),
        address: "192.0.2.7".into(),
        ca_bundle: Some(("REQUESTS_CA_BUNDLE", "/env.pem".into())),
    };
    let bundle = |path: &str, option: &str| ServerTrust::Bundle {
        path: path.into(),
        option: option.into(),
    };
    let from_environment = bundle("/env.pem", "environment variable REQUESTS_CA_BUNDLE");
    for (text, keystone, barbican) in [
        ("", &from_environment, &from_environment),
        (
            "[barbican]\nverify_ssl = true\n",
            &from_environment,
            &from_environment,
        ),
        (
            "cafile = /k.pem\n",
            &bundle("/k.pem", "default: [keystone_authtoken] cafile"),
            &bundle("/k.pem", "default: [keystone_authtoken] cafile"),
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("0.conf");
        let text = format!("{DATABASE}{FIXED_KEY}{SIGN_IN}{text}");
        std::fs::write(&path, &text).expect("a writable directory");
        let sources = Sources {
            inputs: vec![Input::File(path)],
            search: Search::new("cinder", "cinder-volume", None).etc(directory.path()),
            environment: Environment::default(),
        };
        let origin = Origin {
            inputs: Vec::new(),
            services: Vec::new(),
        };
        let read = read_with(&origin, &[], sources, &machine).expect("no faults");
        let config = read.key_manager.expect("a key manager");
        let paths = |trust: &ServerTrust| match trust {
            ServerTrust::Bundle { path, .. } => path.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(paths(&config.keystone.trust), paths(keystone), "{text}");
        assert_eq!(paths(&config.barbican.trust), paths(barbican), "{text}");
    }
}

#[test]
fn barbican_is_where_its_section_says() {
    let config = key_manager(&format!(
        "{SIGN_IN}interface = admin\nregion_name = Other\ninsecure = true\ntimeout = 2.5\n\
         [barbican]\nbarbican_endpoint = https://barbican:9311\nbarbican_endpoint_type = internal\n\
         barbican_region_name = RegionOne\nverify_ssl_path = /ca.pem\n"
    ));
    let barbican = config.barbican;
    let endpoint = barbican.endpoint.expect("an endpoint");
    assert_eq!(endpoint.as_str(), "https://barbican:9311/");
    assert_eq!(barbican.interface, Interface::Internal);
    assert_eq!(barbican.region_name.as_deref(), Some("RegionOne"));
    assert!(matches!(barbican.trust, ServerTrust::Bundle { .. }));
    assert!(matches!(
        config.keystone.trust,
        ServerTrust::Anything { .. }
    ));
    assert_eq!(barbican.timeouts.total, Duration::from_millis(2500));
    assert_eq!(barbican.timeouts.connect, Duration::from_millis(2500));
}

#[test]
fn barbican_falls_back_to_keystone_authtoken() {
    let config = key_manager(&format!(
        "{SIGN_IN}interface = internal\nregion_name = RegionTwo\ncafile = /k.pem\n"
    ));
    let barbican = config.barbican;
    assert_eq!(barbican.endpoint, None);
    assert_eq!(barbican.interface, Interface::Internal);
    assert_eq!(barbican.region_name.as_deref(), Some("RegionTwo"));
    assert_eq!(barbican.trust, config.keystone.trust);
    assert_eq!(key_manager(SIGN_IN).barbican.interface, Interface::Public);
}

#[test]
fn certificates_of_barbican_are_checked_or_not_as_barbicans_own_option_says() {
    let insecure = format!("{SIGN_IN}insecure = true\n");
    let trust = |own: &str| {
        key_manager(&format!("{insecure}[barbican]\n{own}"))
            .barbican
            .trust
    };
    assert_eq!(trust("verify_ssl = true\n"), ServerTrust::System);
    let ServerTrust::Anything { option } = trust("verify_ssl = false\nverify_ssl_path = /c\n")
    else {
        panic!("certificates are checked");
    };
    assert!(option.ends_with("[barbican] verify_ssl"), "{option}");
    let ServerTrust::Anything { option } = trust("") else {
        panic!("certificates are checked");
    };
    assert!(
        option.ends_with("[keystone_authtoken] insecure"),
        "{option}"
    );
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

#[test]
fn every_fault_is_told_at_once() {
    let faults = faults_of(
        "[DEFAULT]\ndebug = maybe\n[key_manager]\nfixed_key = abc\n\
         [key_migrator]\nlisten = nowhere\nservices = scheduler\nmax_rate = fast\ninterval = 0\n",
    );
    let expected = [
        "0.conf:2: [DEFAULT] debug: expected true or false (or 1, on, yes; 0, off, no)",
        "0.conf:4: [key_manager] fixed_key: an odd number of hexadecimal digits, expected two for \
         each byte; copy the key from a cinder.conf or nova.conf that works",
        "0.conf:7: [key_migrator] services: expected only volume and backup",
        "0.conf:9: [key_migrator] interval: expected an integer from 1 to 31536000",
        "0.conf:8: [key_migrator] max_rate: expected a number of keys a second, 0 for no limit",
        "0.conf:6: [key_migrator] listen: expected HOST:PORT or unix:PATH, the path from the root",
        "[database] connection is not set in 0.conf; set it there or as environment variable \
         OS_DATABASE__CONNECTION",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn each_missing_part_of_signing_in_is_named() {
    let faults = faults_of(&format!("{DATABASE}{FIXED_KEY}"));
    let named: Vec<_> = faults
        .iter()
        .filter_map(|it| it.split(" is not set").next())
        .collect();
    assert_eq!(
        named,
        [
            "auth_type",
            "auth_url",
            "username",
            "user_domain_name",
            "password",
            "project_name",
            "project_domain_name",
        ]
        .map(|name| format!("[keystone_authtoken] {name}"))
    );
}

#[test]
fn no_fault_shows_the_value_that_is_at_fault() {
    let text = "[DEFAULT]\ndebug = S3CR3T\n[database]\nconnection = S3CR3T://u:S3CR3T@h/d\n\
        [key_manager]\nfixed_key = S3CR3Txx\n[key_migrator]\nlisten = S3CR3T\n\
        services = S3CR3T\nmax_rate = S3CR3T\ninterval = S3CR3T\n\
        [keystone_authtoken]\nauth_type = S3CR3T\nauth_url = S3CR3T\ntimeout = S3CR3T\n\
        password = $S3CR3T\n[barbican]\nbarbican_endpoint = S3CR3T\n\
        barbican_endpoint_type = S3CR3T\nverify_ssl = S3CR3T\n";
    let with_key = text.replace("S3CR3Txx", "00ff");
    for text in [text, &with_key] {
        let faults = faults_of(text);
        assert!(faults.len() >= 6, "{faults:?}");
        let shown = faults.join("\n");
        let shown = shown.replace("password: refers to $S3CR3T", "");
        assert!(!shown.contains("S3CR3T"), "{shown}");
    }
}

/// The names in backquotes, of what looks like an option's.
fn option_names(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_configuration_reference_has_every_option_and_none_too_many() {
    let reference = include_str!("../../../../docs/configuration.md");
    let section = |heading: &str| {
        let lines = reference.lines().skip_while(|line| *line != heading);
        let lines = lines.skip(1).take_while(|line| !line.starts_with("## "));
        let rows = lines.filter(|line| line.starts_with("| `") || line.starts_with("| each"));
        rows.collect::<Vec<_>>()
    };
    // Every section and way of signing in, so that every option is registered.
    let password = format!("{DATABASE}{FIXED_KEY}{SIGN_IN}[DEFAULT]\nenabled_backends = lvm\n");
    let credential = password.replace(
        "= password\n",
        "= v3applicationcredential\napplication_credential_id = 7b\n\
         application_credential_secret = s3cr3t\n",
    );
    let mut registered: BTreeSet<(String, String)> = BTreeSet::new();
    for text in [password, credential] {
        for option in read(&text).options {
            let (group, rest) = option.split_once("] ").expect("a group");
            let name = rest.split(' ').next().expect("a name");
            registered.insert((group.trim_start_matches('[').to_owned(), name.to_owned()));
        }
    }
    let of = |own: bool| -> BTreeSet<String> {
        let options = registered.iter();
        let options = options.filter(|(group, _)| (group == "key_migrator") == own);
        options.map(|(_, name)| name.clone()).collect()
    };
    let first_cells = section("## Its own options").into_iter();
    let own = first_cells.flat_map(|row| option_names(row.split(" | ").next().unwrap_or_default()));
    assert_eq!(own.collect::<BTreeSet<_>>(), of(true));
    let taken = of(false);
    let missing: Vec<_> = taken
        .difference(&option_names(reference))
        .cloned()
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md lacks {missing:?}"
    );
    let known_by_older_names = ["api_class"].map(str::to_owned).into();
    let named = section("## What it takes from Cinder's sections").into_iter();
    let named: BTreeSet<_> = named.flat_map(option_names).collect();
    let unknown: BTreeSet<_> = named.difference(&taken).cloned().collect();
    assert_eq!(unknown, known_by_older_names);
}

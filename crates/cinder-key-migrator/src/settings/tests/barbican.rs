//! `[barbican]`, and what it takes from `[keystone_authtoken]`: where, and which certificates.

use std::time::Duration;

use openstack_client::{Interface, ServerTrust};

use super::super::*;
use super::{DATABASE, FIXED_KEY, SIGN_IN, key_manager};

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

//! What is wrong is told at once, with its place and without its value.

use super::{DATABASE, FIXED_KEY, faults_of};

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

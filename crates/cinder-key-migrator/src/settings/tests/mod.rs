//! Whole configurations, read as the daemon reads them.

mod barbican;
mod cinder;
mod faults;
mod own;
mod permissions;
mod reference;
mod signing_in;

use std::ffi::OsString;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use openstack_client::{Credentials, PasswordCredentials};

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
        let closed = Permissions::from_mode(0o640);
        set_permissions(&path, closed).expect("own file");
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

//! The port: what the program's client makes of the wire.

mod finding;
mod session;
mod storing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretName};
use key_migration::reasons::Fault;
use key_migrator_tests::{Cloud, User};
use openstack_client::{
    Api, BarbicanConfig, BarbicanKeyManager, Credentials, DomainRef, KeystoneConfig, Operation,
    Outcome, PasswordCredentials, ProjectRef, RequestObserver, ServerTrust, Timeouts, TokenScope,
    UserRef,
};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The program's key manager, signed in as this user, in the region of this cloud.
fn key_manager(cloud: &impl Cloud, user: &User) -> Result<BarbicanKeyManager> {
    let manager = BarbicanKeyManager::new(keystone(cloud, user)?, barbican(cloud), Arc::new(()))?;
    Ok(manager)
}

fn keystone(cloud: &impl Cloud, user: &User) -> Result<KeystoneConfig> {
    Ok(KeystoneConfig {
        section: "keystone_authtoken".into(),
        auth_url: cloud.auth_url().parse()?,
        credentials: Credentials::Password(PasswordCredentials {
            user: UserRef::Name {
                name: user.username.clone(),
                domain: DomainRef::Name(user.user_domain_name.clone()),
            },
            password: user.password.clone().into(),
            scope: TokenScope::Project(ProjectRef::Name {
                name: user.project_name.clone(),
                domain: DomainRef::Name(user.project_domain_name.clone()),
            }),
        }),
        trust: ServerTrust::System,
        certificate: None,
        timeouts: timeouts(),
    })
}

fn barbican(cloud: &impl Cloud) -> BarbicanConfig {
    BarbicanConfig {
        region_name: Some(cloud.region_name()),
        timeouts: timeouts(),
        ..BarbicanConfig::default()
    }
}

/// Long enough for any answer of a machine that others keep busy.
fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(60),
        total: Duration::from_secs(60),
    }
}

fn key() -> FixedKey {
    FixedKey::from_hex(KEY).expect("digits")
}

fn name_for(kind: ResourceKind, row: &str) -> SecretName {
    SecretName::of(&RowRef {
        kind,
        id: row.into(),
    })
}

fn name(row: &str) -> SecretName {
    name_for(ResourceKind::Volume, row)
}

fn request() -> RequestId {
    RequestId::random()
}

/// What operators get to read of a fault: its message and its remedy.
fn read(fault: &Fault) -> (&str, &str) {
    (&fault.message, &fault.remedy)
}

/// Counts requests.
#[derive(Debug, Default)]
struct Counter(Mutex<Vec<(Operation, Outcome)>>);

impl Counter {
    fn count(&self, operation: Operation, outcome: Outcome) -> usize {
        let seen = self.0.lock().expect("nobody panics with it");
        seen.iter()
            .filter(|seen| **seen == (operation, outcome))
            .count()
    }
}

impl RequestObserver for Counter {
    fn observe(&self, _: Api, operation: Operation, outcome: Outcome, _: Duration) {
        self.0
            .lock()
            .expect("nobody panics with it")
            .push((operation, outcome));
    }
}

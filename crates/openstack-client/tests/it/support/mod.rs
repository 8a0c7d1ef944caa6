//! What tests build clients from.

pub(crate) mod raw;

use std::sync::Arc;
use std::time::Duration;

use key_migration::fixed_key::FixedKey;
use key_migration::ids::{RequestId, ResourceKind, RowRef, SecretName};
use openstack_client::{
    BarbicanConfig, BarbicanKeyManager, Credentials, DomainRef, KeystoneConfig,
    PasswordCredentials, ProjectRef, ServerTrust, Timeouts, TokenScope, UserRef,
};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub(crate) const SECRET: &str = "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d10";

pub(crate) fn keystone(auth_url: &str) -> KeystoneConfig {
    KeystoneConfig {
        section: "keystone_authtoken".into(),
        auth_url: auth_url.parse().expect("URL"),
        credentials: Credentials::Password(PasswordCredentials {
            user: UserRef::Name {
                name: "cinder".into(),
                domain: DomainRef::Name("Default".into()),
            },
            password: PASSWORD.into(),
            scope: TokenScope::Project(ProjectRef::Name {
                name: "service".into(),
                domain: DomainRef::Name("Default".into()),
            }),
        }),
        trust: ServerTrust::System,
        certificate: None,
        timeouts: timeouts(),
    }
}

/// Long enough for any answer that comes at all.
pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(20),
        total: Duration::from_secs(20),
    }
}

pub(crate) fn barbican() -> BarbicanConfig {
    BarbicanConfig {
        timeouts: timeouts(),
        ..BarbicanConfig::default()
    }
}

pub(crate) fn manager(keystone: KeystoneConfig, barbican: BarbicanConfig) -> BarbicanKeyManager {
    BarbicanKeyManager::new(keystone, barbican, Arc::new(())).expect("a usable configuration")
}

pub(crate) fn fixed_key() -> FixedKey {
    FixedKey::from_hex(KEY).expect("digits")
}

pub(crate) fn name(row: &str) -> SecretName {
    SecretName::of(&RowRef {
        kind: ResourceKind::Volume,
        id: row.into(),
    })
}

pub(crate) fn request() -> RequestId {
    RequestId::random()
}

/// A Keystone's answer: a token that lives an hour and whose catalogue has this Barbican.
pub(crate) fn token_answer(token: &str, barbican: &str) -> raw::Act {
    let body = json!({"token": {
        "issued_at": "2026-11-23T08:00:00.000000Z", "expires_at": "2026-11-23T09:00:00.000000Z",
        "user": {"id": "u1", "name": "cinder", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "service", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r1", "name": "service"}],
        "catalog": [{"type": "key-manager", "name": "barbican", "id": "s1", "endpoints": [
            {"id": "e1", "interface": "public", "region": "RegionOne", "region_id": "RegionOne",
             "url": barbican}]}]}});
    raw::Act::Answer(
        201,
        vec![format!("X-Subject-Token: {token}")],
        body.to_string().into_bytes(),
    )
}

/// An error in Barbican's form.
pub(crate) fn refusal(code: u16, title: &str, description: &str) -> Value {
    json!({"code": code, "title": title, "description": description})
}

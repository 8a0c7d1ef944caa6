//! Bodies of requests and answers, in Barbican's API version 1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{SecretId, UserId};
use key_migration::rows::Readers;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The key in base64, in memory that is wiped.
pub(super) fn base64(key: &FixedKey) -> Zeroizing<String> {
    let bytes = key.expose();
    let mut text = Zeroizing::new(vec![0; 4 * bytes.len().div_ceil(3)]);
    STANDARD
        .encode_slice(bytes, &mut text)
        .expect("four characters for every three bytes hold it");
    let text = String::from_utf8(std::mem::take(&mut *text)).expect("base64 is ASCII");
    Zeroizing::new(text)
}

/// The body that stores a key, as Cinder's own migrator would store it (cinder/keymgr/migration.py
/// through python-barbicanclient), but for the name. It is the only place where the key leaves the
/// process, and is wiped when the last request is done with it.
pub(super) fn store_body(name: &str, key: &FixedKey, payload: &str) -> Bytes {
    #[derive(Serialize)]
    struct NewSecret<'a> {
        name: &'a str,
        secret_type: &'static str,
        algorithm: &'static str,
        bit_length: usize,
        payload: &'a str,
        payload_content_type: &'static str,
        payload_content_encoding: &'static str,
    }
    let secret = NewSecret {
        name,
        secret_type: "symmetric",
        algorithm: "AES",
        bit_length: key.bit_length(),
        payload,
        payload_content_type: "application/octet-stream",
        payload_content_encoding: "base64",
    };
    let room = 512 + 6 * name.len() + payload.len();
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *body, &secret)
        .expect("strings and numbers always become JSON, and memory takes any number of bytes");
    Bytes::from_owner(body)
}

/// The ID of the secret that an answer says was stored: the last part of `secret_ref`, whatever
/// host it names (Barbican's `host_href` may be any).
pub(super) fn stored_id(body: &[u8]) -> Option<SecretId> {
    #[derive(Deserialize)]
    struct Stored {
        secret_ref: String,
    }
    let stored: Stored = serde_json::from_slice(body).ok()?;
    id_in(&stored.secret_ref)
}

/// The ID in a secret's URL.
pub(super) fn id_in(secret_ref: &str) -> Option<SecretId> {
    secret_ref
        .trim_end_matches('/')
        .rsplit('/')
        .next()?
        .parse()
        .ok()
}

/// The body that makes these users the readers, and says nothing of project access: whoever has a
/// role for it in our project may read as well by Barbican's default, which Cinder needs to delete
/// a volume's secret later.
pub(super) fn acl_body(readers: &Readers) -> Bytes {
    #[derive(Serialize)]
    struct Acl<'a> {
        read: Operation<'a>,
    }
    #[derive(Serialize)]
    struct Operation<'a> {
        users: Vec<&'a str>,
    }
    let users = readers.iter().map(UserId::as_str).collect();
    let acl = Acl {
        read: Operation { users },
    };
    serde_json::to_vec(&acl)
        .expect("strings always become JSON")
        .into()
}

/// Who an ACL lets read. Barbican shows one that names no users where none was ever set.
pub(super) fn acl_readers(body: &[u8]) -> Option<Readers> {
    #[derive(Deserialize)]
    struct Acl {
        #[serde(default)]
        read: Operation,
    }
    #[derive(Default, Deserialize)]
    struct Operation {
        #[serde(default)]
        users: Vec<String>,
    }
    let acl: Acl = serde_json::from_slice(body).ok()?;
    Some(acl.read.users.into_iter().map(UserId::from).collect())
}

/// How many there are of what an answer lists.
pub(super) fn total(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct List {
        total: u64,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    Some(list.total)
}

#[cfg(test)]
mod tests {
    use key_migration::ids::{ResourceKind, RowRef, SecretName};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_is_stored_as_cinders_own_migrator_stores_it_with_a_name() {
        let key = FixedKey::from_hex("00ff10").expect("digits");
        let name = SecretName::of(&RowRef {
            kind: ResourceKind::Volume,
            id: "7b".into(),
        });
        let body = store_body(name.as_str(), &key, &base64(&key));
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            json!({
                "name": "cinder-key-migrator:v1:volume:7b", "secret_type": "symmetric",
                "algorithm": "AES", "bit_length": 24, "payload": "AP8Q",
                "payload_content_type": "application/octet-stream",
                "payload_content_encoding": "base64"
            })
        );
    }

    #[test]
    fn base64_is_padded_for_every_length() {
        for (digits, text) in [
            ("", ""),
            ("00", "AA=="),
            ("0000", "AAA="),
            ("000000", "AAAA"),
        ] {
            let key = FixedKey::from_hex(digits).expect("digits");
            assert_eq!(*base64(&key), text);
        }
    }

    #[test]
    fn the_id_of_a_secret_is_the_last_part_of_its_reference_on_any_host() {
        let id = "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d10";
        for reference in [
            format!("http://localhost:9311/v1/secrets/{id}"),
            format!("https://elsewhere/key-manager/v1/secrets/{id}/"),
            id.to_owned(),
        ] {
            assert_eq!(id_in(&reference), id.parse().ok(), "{reference}");
        }
        for reference in [
            "",
            "http://localhost/v1/secrets/",
            "http://localhost/v1/secrets/????",
        ] {
            assert_eq!(id_in(reference), None, "{reference}");
        }
        assert_eq!(stored_id(b"{\"secret_ref\": 7}"), None);
        assert_eq!(stored_id(b"{"), None);
    }

    #[test]
    fn an_acl_names_the_readers_and_leaves_project_access_alone() {
        let readers: Readers = ["b".into(), "a".into()].into_iter().collect();
        assert_eq!(&acl_body(&readers)[..], br#"{"read":{"users":["a","b"]}}"#);
    }

    #[test]
    fn the_readers_of_an_acl_that_was_never_set_are_none() {
        let read = |body: &str| {
            let readers = acl_readers(body.as_bytes())?;
            Some(readers.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let default = r#"{"read": {"project-access": true}}"#;
        assert_eq!(read(default), Some(vec![]));
        assert_eq!(read("{}"), Some(vec![]));
        let set = r#"{"read": {"project-access": false, "users": ["b", "a"], "created": "x"}}"#;
        assert_eq!(read(set), Some(vec!["a".into(), "b".into()]));
        assert_eq!(read(r#"{"read": {"users": "a"}}"#), None);
        assert_eq!(read("<html>"), None);
    }
}

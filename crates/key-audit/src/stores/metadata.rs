//! A backup's metadata object, as the chunked drivers write it.

use key_migration::ids::ALL_ZEROS;
use serde::Deserialize;

use super::StoredKey;

/// The outer object; of all that is in it only this matters.
#[derive(Deserialize)]
struct Object {
    /// Which every version wrote; it tells that this is a metadata object at all.
    #[serde(rename = "backup_id")]
    _backup_id: String,
    /// Another JSON text in here, or null where the volume had no metadata.
    #[serde(default)]
    volume_meta: Option<String>,
}

#[derive(Deserialize)]
struct VolumeMeta {
    #[serde(rename = "volume-base-metadata", default)]
    base: Option<Base>,
}

#[derive(Deserialize)]
struct Base {
    #[serde(default)]
    encryption_key_id: Option<String>,
}

/// The key in it; `None` where this is not what the drivers write.
pub(super) fn stored_key(text: &[u8]) -> Option<StoredKey> {
    let object: Object = serde_json::from_slice(text).ok()?;
    let Some(volume_meta) = object.volume_meta else {
        return Some(StoredKey::Other);
    };
    let volume_meta: VolumeMeta = serde_json::from_str(&volume_meta).ok()?;
    let key = volume_meta.base.and_then(|base| base.encryption_key_id);
    Some(match key.as_deref() {
        Some(ALL_ZEROS) => StoredKey::Zeros,
        _ => StoredKey::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(volume_meta: &str) -> Vec<u8> {
        let meta = serde_json::Value::from(volume_meta);
        format!("{{\"version\": \"1.0.0\", \"backup_id\": \"b\", \"volume_meta\": {meta}}}").into()
    }

    #[test]
    fn the_key_is_found_where_the_drivers_put_it() {
        let with = |key: &str| {
            object(&format!(
                r#"{{"version": 2, "volume-base-metadata": {{"id": "v", "encryption_key_id": {key}}}}}"#
            ))
        };
        let zeros = format!("\"{ALL_ZEROS}\"");
        assert_eq!(stored_key(&with(&zeros)), Some(StoredKey::Zeros));
        assert_eq!(stored_key(&with("\"other\"")), Some(StoredKey::Other));
        assert_eq!(stored_key(&with("null")), Some(StoredKey::Other));
        assert_eq!(stored_key(&object("{}")), Some(StoredKey::Other));
        let none = br#"{"backup_id": "b", "volume_meta": null}"#;
        assert_eq!(stored_key(none), Some(StoredKey::Other));
    }

    #[test]
    fn what_is_no_metadata_tells_no_key() {
        let no_json = object("not JSON");
        for text in [
            &b""[..],
            b"{}",
            b"[]",
            b"\0\x01",
            b"{\"objects\": []}",
            &no_json,
        ] {
            assert_eq!(stored_key(text), None);
        }
    }
}

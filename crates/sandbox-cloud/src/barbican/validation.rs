//! What Barbican's validators accept and how they say no
//! (barbican `common/validators.py`, `plugin/util/mime_types.py`).

use axum::http::StatusCode;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Refusal;
use super::schema::{Schema, python};
use super::vault::{NewSecret, Payload};
use crate::answer;

/// `[DEFAULT] max_allowed_secret_in_bytes`, of the payload as it is sent.
const MAX_SECRET_BYTES: usize = 20_000;

const SECRET_TYPES: [&str; 6] = [
    "symmetric",
    "passphrase",
    "private",
    "public",
    "certificate",
    "opaque",
];

/// Python's `base64.b64decode` asks for padding and minds no trailing bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

pub(super) fn json_content_type(request: &answer::Request) -> Result<(), Refusal> {
    if request.content_type() == "application/json" {
        return Ok(());
    }
    let text = "Unexpected content type. Expected content types are: ['application/json']";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// A new secret's body.
pub(super) fn new_secret(body: &[u8], now: Timestamp) -> Result<NewSecret, Refusal> {
    let schema = Schema("Secret");
    let fields = schema.object(body)?;
    check_secret_types(&schema, &fields)?;
    let text = |key: &str| {
        fields
            .get(key)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    Ok(NewSecret {
        name: text("name"),
        algorithm: text("algorithm"),
        bit_length: fields
            .get("bit_length")
            .and_then(integer)
            .and_then(|bits| u16::try_from(bits).ok()),
        mode: text("mode"),
        secret_type: text("secret_type"),
        expiration: expiration(&schema, &fields, now)?,
        payload: payload(&schema, &fields)?,
    })
}

fn check_secret_types(schema: &Schema, fields: &Map<String, Value>) -> Result<(), Refusal> {
    for (property, length, nullable) in [
        ("name", 255, true),
        ("algorithm", 255, false),
        ("mode", 255, false),
        ("expiration", 255, false),
        ("payload", usize::MAX, false),
        ("secret_type", 80, false),
        ("payload_content_type", 255, true),
        ("payload_content_encoding", 255, false),
        ("transport_key_needed", usize::MAX, false),
        ("transport_key_id", usize::MAX, false),
    ] {
        schema.text(fields, property, length, nullable)?;
    }
    if let Some(bits) = fields.get("bit_length") {
        let reason = match integer(bits) {
            None => Some(format!("{} is not of type 'integer'", python(bits))),
            Some(..1) => Some(format!("{bits} is less than the minimum of 1")),
            Some(32_768..) => Some(format!("{bits} is greater than the maximum of 32767")),
            Some(_) => None,
        };
        if let Some(reason) = reason {
            return Err(schema.mismatch(&reason, Some("bit_length")));
        }
    }
    schema.one_of(fields, "secret_type", &SECRET_TYPES)?;
    schema.one_of(fields, "payload_content_encoding", &["base64"])?;
    schema.one_of(fields, "transport_key_needed", &["true", "false"])
}

/// jsonschema takes a float without a fraction for an integer.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
        // Out of range, it saturates, and is out of Barbican's range, too.
        Some(float as i64)
    })
}

fn expiration(
    schema: &Schema,
    fields: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    let given = fields
        .get("expiration")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if given.is_empty() {
        return Ok(None);
    }
    let Some(at) = iso_instant(given) else {
        return Err(schema.mismatch("Invalid date for 'expiration'", Some("expiration")));
    };
    if at <= now {
        return Err(schema.mismatch("'expiration' is before current time", Some("expiration")));
    }
    Ok(Some(at))
}

fn payload(schema: &Schema, fields: &Map<String, Value>) -> Result<Option<Payload>, Refusal> {
    let content_type = fields.get("payload_content_type").and_then(Value::as_str);
    let Some(payload) = fields.get("payload").and_then(Value::as_str) else {
        if fields.contains_key("payload_content_type") {
            let reason = "payload must be provided when payload_content_type is specified";
            return Err(schema.mismatch(reason, Some("payload")));
        }
        return Ok(None);
    };
    let Some(content_type) = content_type else {
        let reason = "If 'payload' is supplied, 'payload_content_type' must also be supplied.";
        return Err(schema.mismatch(reason, Some("payload_content_type")));
    };
    let is_text = content_type.starts_with("text/plain");
    let encoding = fields
        .get("payload_content_encoding")
        .and_then(Value::as_str);
    if !is_supported_content_type(content_type) {
        let reason = "payload_content_type is not one of ['text/plain', \
                      'text/plain;charset=utf-8', 'text/plain; charset=utf-8', \
                      'application/octet-stream', 'application/pkcs8']";
        return Err(schema.mismatch(reason, Some("payload_content_type")));
    }
    if encoding.is_some() == is_text {
        let supported = if is_text {
            "None"
        } else {
            "['base64', 'binary']"
        };
        let reason = format!("payload_content_encoding is not one of {supported}");
        return Err(schema.mismatch(&reason, Some("payload_content_encoding")));
    }
    if payload.len() > MAX_SECRET_BYTES {
        let text = "Provided information too large to process";
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    if payload.is_empty() {
        return Err(schema.mismatch("If 'payload' specified, must be non empty", Some("payload")));
    }
    let bytes = if is_text {
        Some(payload.as_bytes().to_vec())
    } else {
        decode(payload)
    };
    let bytes = bytes.map(Zeroizing::new).ok_or_else(|| {
        schema.mismatch(
            "Invalid payload for payload_content_encoding",
            Some("payload"),
        )
    })?;
    let content_type = if is_text { "text/plain" } else { content_type };
    Ok(Some(Payload {
        content_type: content_type.to_owned(),
        bytes,
    }))
}

/// `b64decode` wants ASCII, and leaves characters out of it that are not of the alphabet.
fn decode(payload: &str) -> Option<Vec<u8>> {
    if !payload.is_ascii() {
        return None;
    }
    let known = |letter: &char| letter.is_ascii_alphanumeric() || "+/=".contains(*letter);
    BASE64
        .decode(payload.chars().filter(known).collect::<String>())
        .ok()
}

pub(super) fn is_supported_content_type(content_type: &str) -> bool {
    let mut parts = content_type
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    let charset = parts.next();
    let charset_fits = charset.is_none_or(|charset| {
        charset
            .split_once('=')
            .is_some_and(|(_, charset)| charset.trim() == "utf-8")
    });
    charset_fits
        && [
            "text/plain",
            "application/octet-stream",
            "application/pkcs8",
        ]
        .contains(&kind.as_str())
}

/// An ACL's body: an object with `read` at most. Only the first user is looked
/// at, because the schema's `items` is a list of one.
pub(super) fn acl(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let schema = Schema("ACL");
    let fields = schema.object(body)?;
    schema.no_more_than(&fields, &["read"], None)?;
    let Some(read) = fields.get("read") else {
        return Ok(fields);
    };
    let property = Some("read");
    let Some(read) = read.as_object() else {
        let reason = format!("{} is not of type 'object'", python(read));
        return Err(schema.mismatch(&reason, property));
    };
    schema.no_more_than(read, &["users", "project-access"], property)?;
    if let Some(access) = read
        .get("project-access")
        .filter(|access| !access.is_boolean())
    {
        let reason = format!("{} is not of type 'boolean'", python(access));
        return Err(schema.mismatch(&reason, property));
    }
    if let Some(users) = read.get("users") {
        let reason = match users.as_array().map(|users| users.first()) {
            None => format!("{} is not of type 'array'", python(users)),
            Some(None) => return Ok(fields),
            Some(Some(Value::String(user))) if user.chars().count() <= 255 => return Ok(fields),
            Some(Some(Value::String(user))) => format!("'{user}' is too long"),
            Some(Some(user)) => format!("{} is not of type 'string'", python(user)),
        };
        return Err(schema.mismatch(&reason, property));
    }
    Ok(fields)
}

/// How an instant has to stand to a bound.
#[derive(Clone, Copy)]
pub(super) enum Relation {
    After,
    NotBefore,
    Before,
    NotAfter,
    At,
}

impl Relation {
    pub(super) fn holds(self, at: Timestamp, bound: Timestamp) -> bool {
        match self {
            Self::After => at > bound,
            Self::NotBefore => at >= bound,
            Self::Before => at < bound,
            Self::NotAfter => at <= bound,
            Self::At => at == bound,
        }
    }
}

/// The parts of `created=gte:INSTANT,lt:INSTANT` and its like.
pub(super) fn date_filter(filter: &str) -> Result<Vec<(Relation, Timestamp)>, Refusal> {
    let parts = filter.split(',').filter(|_| !filter.is_empty());
    parts
        .map(|part| {
            let (relation, text) = match part.split_once(':') {
                Some(("gt", text)) => (Relation::After, text),
                Some(("gte", text)) => (Relation::NotBefore, text),
                Some(("lt", text)) => (Relation::Before, text),
                Some(("lte", text)) => (Relation::NotAfter, text),
                _ => (Relation::At, part),
            };
            Ok((relation, iso_instant(text).ok_or_else(bad_query)?))
        })
        .collect()
}

/// An ISO 8601 date or instant; without zone it is UTC.
fn iso_instant(text: &str) -> Option<Timestamp> {
    let naive = || {
        TimeZone::UTC
            .to_timestamp(text.parse::<DateTime>().ok()?)
            .ok()
    };
    text.parse::<Timestamp>().ok().or_else(naive)
}

fn bad_query() -> Refusal {
    let text = "URI provided invalid query string parameters.";
    Refusal::new(StatusCode::BAD_REQUEST, text)
}

/// The parts of `sort=key:direction,...`, in order of weight.
pub(super) fn sort_keys(sort: &str) -> Result<Vec<(String, bool)>, Refusal> {
    const KEYS: [&str; 9] = [
        "algorithm",
        "bit_length",
        "created",
        "expiration",
        "mode",
        "name",
        "secret_type",
        "status",
        "updated",
    ];
    let mut keys: Vec<(String, bool)> = Vec::new();
    for part in sort.split(',').filter(|_| !sort.is_empty()) {
        let (key, direction) = part.split_once(':').unwrap_or((part, "asc"));
        let known = KEYS.contains(&key) && ["asc", "desc"].contains(&direction);
        if !known || keys.iter().any(|(given, _)| given == key) {
            return Err(bad_query());
        }
        keys.push((key.to_owned(), direction == "asc"));
    }
    Ok(keys)
}

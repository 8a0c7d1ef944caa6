//! JSON schemas as Python's jsonschema checks them and Barbican words the result
//! (barbican `api/__init__.py`, `common/validators.py`).

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::Refusal;

/// `[DEFAULT] max_allowed_request_size_in_bytes`: Barbican reads no further.
const MAX_REQUEST_BYTES: usize = 25_000;

/// One of Barbican's JSON schemas, by the name that its errors carry.
pub(super) struct Schema(pub(super) &'static str);

impl Schema {
    /// Parses a body, of which Barbican reads a limited part, and trims its
    /// strings as `api.strip_whitespace` does.
    pub(super) fn object(&self, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
        let read = &body[..body.len().min(MAX_REQUEST_BYTES)];
        let Ok(mut value) = serde_json::from_slice::<Value>(read) else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "Malformed JSON"));
        };
        strip(&mut value);
        match value {
            Value::Object(fields) => Ok(fields),
            other => {
                let reason = format!("{} is not of type 'object'", python(&other));
                Err(self.mismatch(&reason, None))
            }
        }
    }

    pub(super) fn text(
        &self,
        fields: &Map<String, Value>,
        property: &str,
        max_length: usize,
        nullable: bool,
    ) -> Result<(), Refusal> {
        let reason = match fields.get(property) {
            None => return Ok(()),
            Some(Value::Null) if nullable => return Ok(()),
            Some(Value::String(text)) if text.chars().count() <= max_length => return Ok(()),
            Some(Value::String(text)) => format!("'{text}' is too long"),
            Some(other) if nullable => {
                format!("{} is not of type 'string', 'null'", python(other))
            }
            Some(other) => format!("{} is not of type 'string'", python(other)),
        };
        Err(self.mismatch(&reason, Some(property)))
    }

    pub(super) fn one_of(
        &self,
        fields: &Map<String, Value>,
        property: &str,
        allowed: &[&str],
    ) -> Result<(), Refusal> {
        match fields.get(property).and_then(Value::as_str) {
            Some(given) if !allowed.contains(&given) => {
                let list = allowed.join("', '");
                let reason = format!("'{given}' is not one of ['{list}']");
                Err(self.mismatch(&reason, Some(property)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn no_more_than(
        &self,
        fields: &Map<String, Value>,
        allowed: &[&str],
        property: Option<&str>,
    ) -> Result<(), Refusal> {
        let extra: Vec<String> = fields
            .keys()
            .filter(|key| !allowed.contains(&key.as_str()))
            .map(|key| format!("'{key}'"))
            .collect();
        let were = match extra.len() {
            0 => return Ok(()),
            1 => "was",
            _ => "were",
        };
        let list = extra.join(", ");
        let reason = format!("Additional properties are not allowed ({list} {were} unexpected)");
        Err(self.mismatch(&reason, property))
    }

    pub(super) fn mismatch(&self, reason: &str, property: Option<&str>) -> Refusal {
        let (schema, property) = (self.0, property.unwrap_or("None"));
        let text = format!(
            "Provided object does not match schema '{schema}': {reason}. \
             Invalid property: '{property}'"
        );
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.trim().to_owned(),
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => fields.values_mut().for_each(strip),
        _ => {}
    }
}

/// A JSON value as Python's `repr` of it reads in an error.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(python).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| format!("'{key}': {}", python(value));
            format!(
                "{{{}}}",
                fields.iter().map(pair).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

//! Who registered as using a secret (barbican `api/controllers/consumers.py`); in one page.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::policy::may_use_consumers;
use super::schema::{Schema, python};
use super::secrets::{accepts_json, instant, metadata};
use super::vault::{Consumer, Vault};
use super::{Call, Refusal, validation};
use crate::answer;

/// Barbican looks at no microversion here.
pub(super) fn list(call: &Call<'_>, vault: &Vault, id: Uuid) -> Result<Response, Refusal> {
    let world = call.shared.settings.role_world;
    let secret = vault
        .get(id)
        .filter(|secret| may_use_consumers(world, call.caller, secret));
    let secret = secret.ok_or_else(|| Refusal::forbidden("SecretConsumers(s) retrieval"))?;
    let consumers: Vec<Value> = secret.consumers.iter().map(shown).collect();
    let total = consumers.len();
    Ok(answer::json(
        StatusCode::OK,
        &json!({"consumers": consumers, "total": total}),
    ))
}

/// POST: one that is there already is not added again.
pub(super) fn register(call: &Call<'_>, vault: &mut Vault, id: Uuid) -> Result<Response, Refusal> {
    accepts_json(call)?;
    let world = call.shared.settings.role_world;
    let may = vault
        .get(id)
        .is_some_and(|secret| may_use_consumers(world, call.caller, secret));
    if !may {
        return Err(Refusal::forbidden("SecretConsumer creation"));
    }
    validation::json_content_type(call.request)?;
    let fields = Schema("Secret Consumer").object(&call.request.body)?;
    let consumer = Consumer {
        service: text(&fields, "service")?,
        resource_type: text(&fields, "resource_type")?,
        resource_id: text(&fields, "resource_id")?,
        created: call.shared.clock.now(),
    };
    let secret = vault.register(id, consumer);
    let secret = secret.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Secret not found."))?;
    let mut fields = metadata(call, secret);
    fields["consumers"] = secret.consumers.iter().map(brief).collect();
    Ok(answer::json(StatusCode::OK, &fields))
}

fn text(fields: &Map<String, Value>, property: &str) -> Result<String, Refusal> {
    let schema = Schema("Secret Consumer");
    match fields.get(property) {
        Some(Value::String(text)) if text.is_empty() => {
            Err(schema.mismatch("'' should be non-empty", Some(property)))
        }
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => {
            let reason = format!("{} is not of type 'string'", python(other));
            Err(schema.mismatch(&reason, Some(property)))
        }
        None => {
            let reason = format!("'{property}' is a required property");
            Err(schema.mismatch(&reason, None))
        }
    }
}

fn brief(consumer: &Consumer) -> Value {
    json!({
        "service": consumer.service,
        "resource_type": consumer.resource_type,
        "resource_id": consumer.resource_id,
    })
}

fn shown(consumer: &Consumer) -> Value {
    let mut shown = brief(consumer);
    shown["created"] = json!(instant(consumer.created));
    shown["updated"] = json!(instant(consumer.created));
    shown["status"] = json!("ACTIVE");
    shown
}

//! Secrets: storing, reading, deleting (barbican
//! `api/controllers/secrets.py`, `plugin/resources.py`).

use axum::http::StatusCode;
use axum::http::header::{ACCEPT, LOCATION};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::policy::{may_create, may_decrypt, may_delete, may_show};
use super::vault::{Secret, Vault};
use super::{Call, Refusal, validation};
use crate::answer;
use crate::shared::{Shared, State};

const CREATION: &str = "Secret creation";
const PAYLOAD: &str = "Secret payload retrieval";

/// POST: roles first, then the content type, the body, and the quota last.
pub(super) fn create(call: &Call<'_>, state: &mut State) -> Result<Response, Refusal> {
    accepts_json(call)?;
    if !may_create(call.shared.settings.role_world, call.caller) {
        return Err(Refusal::forbidden(CREATION));
    }
    validation::json_content_type(call.request)?;
    let now = call.shared.clock.now();
    let new = validation::new_secret(&call.request.body, now)?;
    let caller = call.caller;
    if state.vault.quota_reached(&caller.project_id, now) {
        let reason = "Creation not allowed because a quota has been reached";
        return Err(Refusal::issue(StatusCode::FORBIDDEN, CREATION, reason));
    }
    let id = state.random.uuid();
    state
        .vault
        .store(id, &caller.project_id, &caller.user_id, new, now);
    let url = secret_ref(call.shared, id);
    let mut response = answer::json(StatusCode::CREATED, &json!({"secret_ref": url}));
    answer::set(&mut response, LOCATION, &url);
    Ok(response)
}

/// GET of the secret itself: its metadata, or, with another `Accept`, its
/// payload by the deprecated way.
pub(super) fn metadata_or_payload(
    call: &Call<'_>,
    vault: &Vault,
    id: Uuid,
) -> Result<Response, Refusal> {
    let accept = call.request.header(&ACCEPT).unwrap_or("*/*");
    if accept != "*/*" && accept != "application/json" {
        return read(call, vault, id, "Secret retrieval");
    }
    let world = call.shared.settings.role_world;
    match vault.get(id) {
        Some(secret) if may_show(world, call.caller, secret) => {
            Ok(answer::json(StatusCode::OK, &metadata(call, secret)))
        }
        _ => Err(Refusal::forbidden("Secret retrieval")),
    }
}

/// What answers in JSON only is not routed to for a caller who takes none.
pub(super) fn accepts_json(call: &Call<'_>) -> Result<(), Refusal> {
    let accept = call.request.header(&ACCEPT).unwrap_or("*/*");
    let fits = |part: &str| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        ["", "*/*", "application/*", "application/json"].contains(&kind)
    };
    match accept.split(',').any(fits) {
        true => Ok(()),
        false => Err(Refusal::not_acceptable()),
    }
}

pub(super) fn payload(call: &Call<'_>, vault: &Vault, id: Uuid) -> Result<Response, Refusal> {
    read(call, vault, id, PAYLOAD)
}

fn read(call: &Call<'_>, vault: &Vault, id: Uuid, operation: &str) -> Result<Response, Refusal> {
    let world = call.shared.settings.role_world;
    let secret = vault
        .get(id)
        .filter(|secret| may_decrypt(world, call.caller, secret));
    let secret = secret.ok_or_else(|| Refusal::forbidden(operation))?;
    let Some(payload) = &secret.new.payload else {
        let text = "Not Found. Sorry but your secret has no payload.";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    };
    let accept = call
        .request
        .header(&ACCEPT)
        .filter(|accept| !accept.is_empty());
    let wanted = match accept {
        None => "application/octet-stream",
        Some("*/*") => payload.content_type.as_str(),
        Some(accept) => accept,
    };
    // What Barbican finds out for "*/*", it keeps to itself: the answer says "*/*" again.
    let said = match accept {
        Some("*/*") => "*/*",
        _ if wanted == "text/plain" => "text/plain; charset=UTF-8",
        _ => wanted,
    };
    let is_text = wanted.starts_with("text/plain");
    let readable = !is_text || std::str::from_utf8(&payload.bytes).is_ok();
    if !validation::is_supported_content_type(wanted) || !readable {
        let reason = "Wrong payload content-type";
        return Err(Refusal::issue(
            StatusCode::NOT_ACCEPTABLE,
            operation,
            reason,
        ));
    }
    Ok(answer::with_body(
        StatusCode::OK,
        said,
        payload.bytes.to_vec(),
    ))
}

pub(super) fn delete(call: &Call<'_>, vault: &mut Vault, id: Uuid) -> Result<Response, Refusal> {
    let world = call.shared.settings.role_world;
    if !vault
        .get(id)
        .is_some_and(|secret| may_delete(world, call.caller, secret))
    {
        return Err(Refusal::forbidden("Secret deletion"));
    }
    vault.remove(id);
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

pub(super) fn metadata(call: &Call<'_>, secret: &Secret) -> Value {
    let mut fields = json!({
        "created": instant(secret.created),
        "updated": instant(secret.updated),
        "status": "ACTIVE",
        "name": secret.new.name,
        "secret_type": secret.secret_type(),
        "expiration": secret.new.expiration.map(instant),
        "algorithm": secret.new.algorithm,
        "bit_length": secret.new.bit_length,
        "mode": secret.new.mode,
        "creator_id": secret.creator_id,
        "secret_ref": secret_ref(call.shared, secret.id),
    });
    if call.minor > 0 {
        fields["consumers"] = json!([]);
    }
    if let Some(payload) = &secret.new.payload {
        fields["content_types"] = json!({"default": payload.content_type});
    }
    fields
}

pub(super) fn secret_ref(shared: &Shared, id: Uuid) -> String {
    format!("{}/v1/secrets/{id}", shared.host_href())
}

/// Python's `isoformat()` of a naive UTC datetime.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

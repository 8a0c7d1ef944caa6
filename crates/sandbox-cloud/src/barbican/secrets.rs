//! Secrets: storing, listing, reading, deleting (barbican
//! `api/controllers/secrets.py`, `plugin/resources.py`).

use axum::http::StatusCode;
use axum::http::header::{ACCEPT, LOCATION};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::policy::{may_create, may_decrypt, may_delete, may_list, may_show};
use super::vault::{Secret, Vault};
use super::{Call, Refusal, validation};
use crate::answer;
use crate::shared::{Shared, State};

const CREATION: &str = "Secret creation";
const PAYLOAD: &str = "Secret payload retrieval";

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

/// POST: roles first, then the content type, the body, and the quota last.
pub(super) fn create(call: &Call<'_>, state: &mut State) -> Result<Response, Refusal> {
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

pub(super) fn list(call: &Call<'_>, vault: &Vault) -> Result<Response, Refusal> {
    if !may_list(call.shared.settings.role_world, call.caller) {
        return Err(Refusal::forbidden("Secret(s) retrieval"));
    }
    let query = call.request.query();
    let asked = |key: &str| {
        let found = query.iter().find(|(known, _)| known == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let sort = validation::sort_keys(asked("sort").unwrap_or_default())?;
    let mut found: Vec<&Secret> = vault
        .of_project(&call.caller.project_id, call.shared.clock.now())
        .collect();
    if let Some(name) = asked("name") {
        // Barbican decodes the parameter a second time.
        let name = decode(name);
        found.retain(|secret| {
            secret
                .new
                .name
                .as_deref()
                .is_some_and(|known| like(&name, known))
        });
    }
    for (key, ascending) in sort.iter().rev() {
        found.sort_by(|left, right| {
            let order = sort_value(left, key).cmp(&sort_value(right, key));
            if *ascending { order } else { order.reverse() }
        });
    }
    let offset = asked("offset")
        .and_then(|text| text.parse::<i64>().ok())
        .unwrap_or(0)
        .max(0);
    let limit = asked("limit").and_then(|text| text.parse::<i64>().ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    Ok(answer::json(
        StatusCode::OK,
        &page(call, &found, offset, limit, &query),
    ))
}

fn page(
    call: &Call<'_>,
    found: &[&Secret],
    offset: i64,
    limit: i64,
    query: &[(String, String)],
) -> Value {
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let start = usize::try_from(offset.min(total)).unwrap_or(usize::MAX);
    let end = usize::try_from((offset + limit).min(total)).unwrap_or(usize::MAX);
    let secrets: Vec<Value> = found[start..end]
        .iter()
        .map(|secret| metadata(call, secret))
        .collect();
    let mut body = json!({"total": total});
    if !secrets.is_empty() {
        let mut others = url::form_urlencoded::Serializer::new(String::new());
        others.extend_pairs(
            query
                .iter()
                .filter(|(key, _)| key != "limit" && key != "offset"),
        );
        let others = others.finish();
        let others = if others.is_empty() {
            others
        } else {
            format!("&{others}")
        };
        let base = call.shared.host_href();
        let link = |at: i64| {
            json!(format!(
                "{base}/v1/secrets?limit={limit}&offset={at}{others}"
            ))
        };
        if offset > 0 {
            body["previous"] = link((offset - limit).max(0));
        }
        if total > offset + limit {
            body["next"] = link(offset + limit);
        }
    }
    body["secrets"] = Value::Array(secrets);
    body
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
        wanted,
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

fn metadata(call: &Call<'_>, secret: &Secret) -> Value {
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

fn sort_value(secret: &Secret, key: &str) -> String {
    match key {
        "created" => format!("{:020}", secret.created.as_second()),
        "updated" => format!("{:020}", secret.updated.as_second()),
        "expiration" => secret.new.expiration.map_or_else(String::new, instant),
        "name" => secret.new.name.clone().unwrap_or_default().to_lowercase(),
        "algorithm" => secret.new.algorithm.clone().unwrap_or_default(),
        "bit_length" => format!("{:05}", secret.new.bit_length.unwrap_or_default()),
        "mode" => secret.new.mode.clone().unwrap_or_default(),
        "secret_type" => secret.secret_type().to_owned(),
        _ => String::new(),
    }
}

fn decode(text: &str) -> String {
    let pair = url::form_urlencoded::parse(text.as_bytes()).next();
    pair.map_or_else(String::new, |(name, value)| match value.is_empty() {
        true => name.into_owned(),
        false => format!("{name}={value}"),
    })
}

/// SQL's LIKE as MariaDB's default collation does it: `%`, `_`, a backslash
/// before either, and no regard to case.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    like_from(&pattern, &text)
}

fn like_from(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        (['%', rest @ ..], _) => (0..=text.len()).any(|skip| like_from(rest, &text[skip..])),
        (['\\', literal, rest @ ..], [first, tail @ ..]) => {
            literal == first && like_from(rest, tail)
        }
        (['_', rest @ ..], [_, tail @ ..]) => like_from(rest, tail),
        ([literal, rest @ ..], [first, tail @ ..]) => literal == first && like_from(rest, tail),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_name_is_matched_as_a_pattern_without_regard_to_case() {
        assert!(like("cinder-%", "Cinder-key"));
        assert!(like("a_c", "abc"));
        assert!(like("%", ""));
        assert!(like(r"a\_c", "a_c"));
        assert!(!like(r"a\_c", "abc"));
        assert!(!like("abc", "abcd"));
        assert!(!like("abc%d", "abc"));
    }
}

//! A secret's ACL (barbican `api/controllers/acls.py`).

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::policy::{may_change_acl, may_show_acl};
use super::secrets::{accepts_json, instant, secret_ref};
use super::vault::{Acl, AclView, Vault};
use super::{Call, Refusal, validation};
use crate::answer;

const UPDATE: &str = "SecretACL(s) Update";

pub(super) fn show(call: &Call<'_>, vault: &Vault, id: Uuid) -> Result<Response, Refusal> {
    let world = call.shared.settings.role_world;
    let secret = vault
        .get(id)
        .filter(|secret| may_show_acl(world, call.caller, secret));
    let secret = secret.ok_or_else(|| Refusal::forbidden("SecretACL(s) retrieval"))?;
    let body = match &secret.acl {
        None => json!({"read": {"project-access": true}}),
        Some(Acl {
            view,
            created,
            updated,
        }) => json!({"read": {
            "project-access": view.project_access,
            "users": view.users,
            "created": instant(*created),
            "updated": instant(*updated),
        }}),
    };
    Ok(answer::json(StatusCode::OK, &body))
}

/// PUT: what is not in the body is as if it had never been set.
pub(super) fn replace(call: &Call<'_>, vault: &mut Vault, id: Uuid) -> Result<Response, Refusal> {
    let asked = asked(call, vault, id)?;
    let acl = read_part(&asked).map(|read| {
        Ok(AclView {
            users: users(read)?.unwrap_or_default(),
            project_access: project_access(read).unwrap_or(true),
        })
    });
    vault.set_acl(id, acl.transpose()?, call.shared.clock.now());
    Ok(acl_ref(call, id))
}

/// PATCH: what is not in the body stays.
pub(super) fn merge(call: &Call<'_>, vault: &mut Vault, id: Uuid) -> Result<Response, Refusal> {
    let asked = asked(call, vault, id)?;
    if let Some(read) = read_part(&asked) {
        let old = vault
            .get(id)
            .and_then(|secret| secret.acl.as_ref())
            .map(|acl| acl.view.clone());
        let mut acl = old.unwrap_or(AclView {
            users: Vec::new(),
            project_access: true,
        });
        if let Some(users) = users(read)? {
            acl.users = users;
        }
        acl.project_access = project_access(read).unwrap_or(acl.project_access);
        vault.set_acl(id, Some(acl), call.shared.clock.now());
    }
    Ok(acl_ref(call, id))
}

pub(super) fn delete(call: &Call<'_>, vault: &mut Vault, id: Uuid) -> Result<Response, Refusal> {
    if !may_change(call, vault, id) {
        return Err(Refusal::forbidden("SecretACL(s) deletion"));
    }
    vault.set_acl(id, None, call.shared.clock.now());
    Ok(answer::json(StatusCode::OK, &Value::Null))
}

fn asked(call: &Call<'_>, vault: &Vault, id: Uuid) -> Result<Map<String, Value>, Refusal> {
    accepts_json(call)?;
    if !may_change(call, vault, id) {
        return Err(Refusal::forbidden(UPDATE));
    }
    validation::json_content_type(call.request)?;
    validation::acl(&call.request.body)
}

fn may_change(call: &Call<'_>, vault: &Vault, id: Uuid) -> bool {
    let world = call.shared.settings.role_world;
    vault
        .get(id)
        .is_some_and(|secret| may_change_acl(world, call.caller, secret))
}

/// The `read` part; an empty one counts as absent, as in Barbican.
fn read_part(asked: &Map<String, Value>) -> Option<&Map<String, Value>> {
    asked
        .get("read")
        .and_then(Value::as_object)
        .filter(|read| !read.is_empty())
}

/// The users, each once. The schema looks at the first only (its `items` is a
/// list); a later number becomes
/// text in the database, anything else fails there, with a 500.
fn users(read: &Map<String, Value>) -> Result<Option<Vec<String>>, Refusal> {
    let Some(given) = read.get("users").and_then(Value::as_array) else {
        return Ok(None);
    };
    let mut users = Vec::new();
    for user in given {
        let user = match user {
            Value::String(user) => user.clone(),
            Value::Number(user) => user.to_string(),
            _ => {
                let text = format!("{UPDATE} failure seen - please contact site administrator.");
                return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text));
            }
        };
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(Some(users))
}

fn project_access(read: &Map<String, Value>) -> Option<bool> {
    read.get("project-access").and_then(Value::as_bool)
}

fn acl_ref(call: &Call<'_>, id: Uuid) -> Response {
    let acl_ref = format!("{}/acl", secret_ref(call.shared, id));
    answer::json(StatusCode::OK, &json!({"acl_ref": acl_ref}))
}

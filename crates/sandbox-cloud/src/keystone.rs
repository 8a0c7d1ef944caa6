//! Keystone's v3 API, as far as a service user and those who check it need it.
//!
//! Codes, headers and bodies follow keystone 30: `api/auth.py`,
//! `api/discovery.py`, `auth/plugins/core.py`, `common/render_token.py` and
//! `server/flask/application.py`.

use axum::http::header::{LOCATION, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer;
use crate::identity::{Identity, Named, Token};
use crate::shared::Shared;

const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Answers one request; `body` is complete.
pub(crate) fn serve(shared: &Shared, request: &answer::Request) -> Response {
    let path: Vec<&str> = request.segments();
    let mut response = match (&request.method, path.as_slice()) {
        (&Method::GET, []) => versions(shared),
        (&Method::GET, ["v3"]) => {
            answer::json(StatusCode::OK, &json!({"version": version(shared)}))
        }
        (&Method::POST, ["v3", "auth", "tokens"]) => issue(shared, request),
        (&Method::GET | &Method::HEAD, ["v3", "auth", "tokens"]) => validate(shared, request),
        (&Method::DELETE, ["v3", "auth", "tokens"]) => revoke(shared, request),
        (_, ["v3", "auth", "tokens"]) => answer::json(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"message": "The method is not allowed for the requested URL."}),
        ),
        _ => error(
            shared,
            StatusCode::NOT_FOUND,
            "The resource could not be found.",
        ),
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("X-Auth-Token"));
    response
}

fn versions(shared: &Shared) -> Response {
    let mut response = answer::json(
        StatusCode::MULTIPLE_CHOICES,
        &json!({"versions": {"values": [version(shared)]}}),
    );
    answer::set(
        &mut response,
        LOCATION,
        &format!("{}/", shared.keystone_url()),
    );
    response
}

fn version(shared: &Shared) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/", shared.keystone_url())}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

fn issue(shared: &Shared, request: &answer::Request) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return missing(shared, "valid JSON", "request body");
    };
    let Some(auth) = body.get("auth") else {
        return missing(shared, "auth", "request body");
    };
    let now = shared.clock.now();
    let mut state = shared.lock();
    let state = &mut *state;
    let (user_id, project_id) = match authenticate(&state.identity, auth) {
        Ok(known) => known,
        Err(Refusal::Unauthorized) => return unauthorized(shared),
        Err(Refusal::Missing { attribute, target }) => return missing(shared, attribute, target),
    };
    let (text, token) = state.identity.issue(
        &user_id,
        project_id.as_deref(),
        now,
        shared.settings.token_lifetime,
        &mut state.random,
    );
    let body = token_body(
        shared,
        &state.identity,
        &token,
        !request.has_query("nocatalog"),
    );
    with_subject(answer::json(StatusCode::CREATED, &body), &text)
}

enum Refusal {
    Unauthorized,
    Missing {
        attribute: &'static str,
        target: &'static str,
    },
}

/// User and project of a login. Whoever is unknown, whose password is wrong, or
/// who has no role on the project gets one and the same refusal, so that nobody
/// learns which it was.
fn authenticate(identity: &Identity, auth: &Value) -> Result<(String, Option<String>), Refusal> {
    let missing = |attribute, target| Refusal::Missing { attribute, target };
    let login = auth
        .get("identity")
        .ok_or_else(|| missing("identity", "auth"))?;
    let methods = login.get("methods").and_then(Value::as_array);
    let methods = methods.ok_or_else(|| missing("methods", "identity"))?;
    if !methods.iter().any(|method| method == "password") {
        return Err(Refusal::Unauthorized);
    }
    let password = login
        .get("password")
        .ok_or_else(|| missing("password", "identity"))?;
    let given = password
        .get("user")
        .ok_or_else(|| missing("user", "password"))?;
    let user = identity
        .user(&named(identity, given, "user")?)
        .ok_or(Refusal::Unauthorized)?;
    let password = given
        .get("password")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !identity.password_matches(user, password) {
        return Err(Refusal::Unauthorized);
    }
    let Some(wanted) = auth.pointer("/scope/project") else {
        return Ok((user.id.clone(), None));
    };
    let project = identity
        .project(&named(identity, wanted, "project")?)
        .ok_or(Refusal::Unauthorized)?;
    if identity.roles(&user.id, &project.id).is_empty() {
        return Err(Refusal::Unauthorized);
    }
    Ok((user.id.clone(), Some(project.id.clone())))
}

fn named<'a>(
    identity: &'a Identity,
    given: &'a Value,
    target: &'static str,
) -> Result<Named<'a>, Refusal> {
    let text = |key| given.get(key).and_then(Value::as_str);
    let Some(name) = text("name") else {
        let id = text("id").ok_or(Refusal::Missing {
            attribute: "id or name",
            target,
        })?;
        return Ok(Named::Id(id));
    };
    let domain = given.get("domain").ok_or(Refusal::Missing {
        attribute: "domain",
        target,
    })?;
    let text = |key| domain.get(key).and_then(Value::as_str);
    let domain_id = match (text("name"), text("id")) {
        (Some(name), _) => identity.domain_by_name(name).ok_or(Refusal::Unauthorized)?,
        (None, Some(domain_id)) => domain_id,
        (None, None) => {
            return Err(Refusal::Missing {
                attribute: "id or name",
                target: "domain",
            });
        }
    };
    Ok(Named::Name { name, domain_id })
}

fn validate(shared: &Shared, request: &answer::Request) -> Response {
    let now = shared.clock.now();
    let state = shared.lock();
    if caller(&state.identity, &request.headers, now).is_none() {
        return unauthorized(shared);
    }
    let Some(text) = request.header(&SUBJECT_TOKEN) else {
        return error(shared, StatusCode::NOT_FOUND, "No token in the request");
    };
    let Some(token) = state.identity.validate(text, now) else {
        return error(
            shared,
            StatusCode::NOT_FOUND,
            "Could not recognize Fernet token",
        );
    };
    let body = token_body(
        shared,
        &state.identity,
        token,
        !request.has_query("nocatalog"),
    );
    with_subject(answer::json(StatusCode::OK, &body), text)
}

fn revoke(shared: &Shared, request: &answer::Request) -> Response {
    let now = shared.clock.now();
    let mut state = shared.lock();
    if caller(&state.identity, &request.headers, now).is_none() {
        return unauthorized(shared);
    }
    match request.header(&SUBJECT_TOKEN) {
        Some(text) if state.identity.revoke_token(text) => answer::empty(StatusCode::NO_CONTENT),
        _ => error(
            shared,
            StatusCode::NOT_FOUND,
            "Could not recognize Fernet token",
        ),
    }
}

fn caller<'a>(identity: &'a Identity, headers: &HeaderMap, now: Timestamp) -> Option<&'a Token> {
    identity.validate(headers.get(AUTH_TOKEN)?.to_str().ok()?, now)
}

fn token_body(shared: &Shared, identity: &Identity, token: &Token, catalog: bool) -> Value {
    let mut body = json!({
        "methods": ["password"],
        "user": {
            "id": token.user_id,
            "name": identity.user(&Named::Id(&token.user_id)).map(|user| user.name.clone()),
            "domain": identity.user(&Named::Id(&token.user_id))
                .map(|user| domain(identity, &user.domain_id)),
            "password_expires_at": null,
        },
        "audit_ids": [token.audit_id],
        "expires_at": instant(token.expires_at),
        "issued_at": instant(token.issued_at),
    });
    let project = token
        .project_id
        .as_ref()
        .and_then(|id| identity.project(&Named::Id(id)));
    if let Some(project) = project {
        let roles = identity.roles(&token.user_id, &project.id).into_iter();
        let role = |name| json!({"id": identity.known_role_id(name), "name": name});
        body["roles"] = roles.map(role).collect();
        body["project"] = json!({
            "id": project.id,
            "name": project.name,
            "domain": domain(identity, &project.domain_id),
        });
        body["is_domain"] = json!(false);
        if catalog {
            body["catalog"] = shared.catalog();
        }
    }
    json!({"token": body})
}

fn domain(identity: &Identity, domain_id: &str) -> Value {
    json!({"id": domain_id, "name": identity.domain_name(domain_id)})
}

/// As oslo.utils writes it for Fernet tokens, which keep whole seconds.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()
}

fn with_subject(mut response: Response, token: &str) -> Response {
    answer::set(&mut response, SUBJECT_TOKEN, token);
    response
}

fn missing(shared: &Shared, attribute: &str, target: &str) -> Response {
    let message = format!(
        "Expecting to find {attribute} in {target}. The server could not comply with the request \
         since it is either malformed or otherwise incorrect. The client is assumed to be in error."
    );
    error(shared, StatusCode::BAD_REQUEST, &message)
}

fn unauthorized(shared: &Shared) -> Response {
    let message = "The request you have made requires authentication.";
    error(shared, StatusCode::UNAUTHORIZED, message)
}

fn error(shared: &Shared, status: StatusCode, message: &str) -> Response {
    let title = answer::title(status);
    let body = json!({"error": {"code": status.as_u16(), "message": message, "title": title}});
    let mut response = answer::json(status, &body);
    if status == StatusCode::UNAUTHORIZED {
        let url = format!("Keystone uri=\"{}\"", shared.keystone_url());
        answer::set(&mut response, WWW_AUTHENTICATE, &url);
    }
    response
}

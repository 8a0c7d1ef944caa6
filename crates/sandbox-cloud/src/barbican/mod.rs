//! Barbican's v1 API for secrets and their ACLs.
//!
//! Codes, headers and bodies follow barbican 23: `api/controllers/`,
//! `api/middleware/`, `common/validators.py`, `common/policies/`; the 401 is
//! keystonemiddleware's.

mod acls;
pub(crate) mod auth;
mod consumers;
mod listing;
mod policy;
mod schema;
mod secrets;
mod validation;
mod vault;

use axum::http::header::VARY;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer;
use crate::shared::Shared;
pub use vault::{AclView, SecretView};
pub(crate) use vault::{NewSecret, Payload, Vault};

const MICROVERSION: HeaderName = HeaderName::from_static("openstack-api-version");

/// Answers one request; its body is complete.
pub(crate) fn serve(shared: &Shared, request: &answer::Request) -> Response {
    let Some(minor) = microversion(request) else {
        let text = "406 Not Acceptable\n\nThe resource could not be generated that was acceptable \
                    to your browser (content of type ${HTTP_ACCEPT}. \n\n Invalid microversion: \
                    Unacceptable version header";
        return answer::with_body(
            StatusCode::NOT_ACCEPTABLE,
            "text/plain; charset=UTF-8",
            text,
        );
    };
    let mut response = match route(shared, request, minor) {
        Ok(response) => response,
        // The token is looked at before the microversion is.
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            return auth::unauthorized(shared);
        }
        Err(refusal) => refusal.into_response(),
    };
    answer::set(
        &mut response,
        MICROVERSION,
        &format!("key-manager 1.{minor}"),
    );
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("openstack-api-version"));
    response
}

/// The API version asked for: 1.0 without the header, 1.2 the latest
/// (barbican `api/controllers/versions.py`).
fn microversion(request: &answer::Request) -> Option<u8> {
    let asked = request
        .header(&MICROVERSION)
        .unwrap_or("key-manager 1.0")
        .split(',');
    let asked = asked
        .filter_map(|part| part.trim().strip_prefix("key-manager "))
        .next_back();
    match asked.unwrap_or("1.0").trim() {
        "1.0" => Some(0),
        "1.1" => Some(1),
        "1.2" | "latest" => Some(2),
        _ => None,
    }
}

fn route(shared: &Shared, request: &answer::Request, minor: u8) -> Result<Response, Refusal> {
    let path = request.segments();
    if path.is_empty() {
        return match request.method {
            Method::GET => Ok(versions(shared, minor)),
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
        };
    }
    if path[0] != "v1" {
        return Err(Refusal::new(StatusCode::NOT_FOUND, ""));
    }
    let mut state = shared.lock();
    let state = &mut *state;
    let caller = auth::authenticate(shared, state, request)?;
    let call = Call {
        shared,
        request,
        caller: &caller,
        minor,
    };
    match (&request.method, &path[1..]) {
        (&Method::GET, []) => Ok(answer::json(
            StatusCode::OK,
            &json!({"version": version(shared, minor)}),
        )),
        (&Method::GET, ["quotas"]) => Ok(answer::json(
            StatusCode::OK,
            &json!({"quotas": {"secrets": state.vault.quota(&caller.project_id), "orders": -1,
                "containers": -1, "consumers": -1, "cas": -1}}),
        )),
        (&Method::POST, ["secrets"]) => secrets::create(&call, state),
        (&Method::GET, ["secrets"]) => listing::list(&call, &state.vault),
        (method, ["secrets", id]) => {
            let id = existing(&call, &state.vault, id)?;
            match *method {
                Method::GET => secrets::metadata_or_payload(&call, &state.vault, id),
                Method::DELETE => secrets::delete(&call, &mut state.vault, id),
                _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
            }
        }
        (method, ["secrets", id, "payload"]) => {
            let id = existing(&call, &state.vault, id)?;
            match *method {
                Method::GET => secrets::payload(&call, &state.vault, id),
                _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
            }
        }
        (method, ["secrets", id, "acl"]) => {
            let id = existing(&call, &state.vault, id)?;
            match *method {
                Method::GET => acls::show(&call, &state.vault, id),
                Method::PUT => acls::replace(&call, &mut state.vault, id),
                Method::PATCH => acls::merge(&call, &mut state.vault, id),
                Method::DELETE => acls::delete(&call, &mut state.vault, id),
                _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
            }
        }
        (method, ["secrets", id, "consumers"]) => {
            let id = existing(&call, &state.vault, id)?;
            match *method {
                Method::GET => consumers::list(&call, &state.vault, id),
                Method::POST => consumers::register(&call, &mut state.vault, id),
                _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
            }
        }
        (_, ["secrets"]) => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "")),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "")),
    }
}

/// One authenticated request.
struct Call<'a> {
    shared: &'a Shared,
    request: &'a answer::Request,
    caller: &'a auth::Caller,
    minor: u8,
}

/// Barbican looks a secret up, in whatever project, before it asks whether the
/// caller may see it.
fn existing(call: &Call<'_>, vault: &Vault, id: &str) -> Result<Uuid, Refusal> {
    let canonical = Uuid::try_parse(id)
        .ok()
        .filter(|parsed| parsed.to_string() == id);
    let Some(id) = canonical else {
        let text = "Not Found. Provided secret id is invalid.";
        return Err(Refusal::new(StatusCode::NOT_FOUND, text));
    };
    let found = vault
        .get(id)
        .filter(|secret| secret.is_alive(call.shared.clock.now()));
    match found {
        Some(_) => Ok(id),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "Secret not found.")),
    }
}

fn versions(shared: &Shared, minor: u8) -> Response {
    let versions = match minor {
        0 => json!({"versions": {"values": [version(shared, minor)]}}),
        _ => json!({"versions": [version(shared, minor)]}),
    };
    answer::json(StatusCode::MULTIPLE_CHOICES, &versions)
}

fn version(shared: &Shared, minor: u8) -> Value {
    let mut version = json!({
        "id": "v1",
        "links": [
            {"rel": "self", "href": format!("{}/v1/", shared.host_href())},
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
        ],
    });
    if minor == 0 {
        version["status"] = json!("stable");
        version["media-types"] = json!([{
            "base": "application/json",
            "type": "application/vnd.openstack.key-manager-v1+json",
        }]);
    } else {
        version["status"] = json!("CURRENT");
        version["min_version"] = json!("1.0");
        version["max_version"] = json!("1.2");
    }
    version
}

/// A request that is not granted.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    description: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, description: impl Into<String>) -> Self {
        Self {
            status,
            description: Some(description.into()),
        }
    }

    /// No answer of a type that the caller takes; pecan gives no reason.
    fn not_acceptable() -> Self {
        Self {
            status: StatusCode::NOT_ACCEPTABLE,
            description: None,
        }
    }

    /// A role or ownership is missing.
    fn forbidden(operation: &str) -> Self {
        let text = "attempt not allowed - please review your user/project privileges";
        Self::new(StatusCode::FORBIDDEN, format!("{operation} {text}"))
    }

    /// Barbican's wording for a typed error within an operation.
    fn issue(status: StatusCode, operation: &str, reason: &str) -> Self {
        Self::new(status, format!("{operation} issue seen - {reason}."))
    }

    fn into_response(self) -> Response {
        let title = answer::title(self.status);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                let text = format!(
                    "503 {title}\n\n{}\n\n",
                    self.description.unwrap_or_default()
                );
                answer::with_body(self.status, "text/plain; charset=UTF-8", text)
            }
            status => answer::json(
                status,
                &json!({
                    "code": status.as_u16(),
                    "title": title,
                    "description": self.description,
                }),
            ),
        }
    }
}

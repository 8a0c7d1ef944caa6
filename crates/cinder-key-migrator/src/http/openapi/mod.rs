//! `/openapi.json`: what is answered, for those who write programs that ask.
//!
//! The shapes are written down here on their own, apart from what the program works with, so that
//! what others rely on does not change by accident: a test holds them against the real answers,
//! field by field, both ways. Closed lists are the program's own.

#![expect(dead_code, reason = "what is described here is never called or made")]

mod shapes;

use axum::Json;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use self::shapes::{Rows, Status};

/// The document.
pub(super) async fn document() -> Json<OpenApi> {
    Json(Document::openapi())
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "cinder-key-migrator",
        description = "State, progress and health of the migration of Cinder's rows off the fixed \
                       key, as one host sees it. It only reads, and knows GET and HEAD alone."
    ),
    paths(
        page,
        livez,
        readyz,
        healthcheck,
        metrics,
        status,
        rows,
        events,
        openapi
    ),
    components(schemas(Status, Rows))
)]
struct Document;

/// The page for people.
#[utoipa::path(get, path = "/", responses((status = 200, content_type = "text/html", body = String)))]
fn page() {}

/// Whether every loop moves. A service that is blocked is alive.
#[utoipa::path(
    get,
    path = "/livez",
    params(("verbose" = Option<String>, Query, description = "list what was checked")),
    responses(
        (status = 200, description = "alive", content_type = "text/plain", body = String),
        (status = 503, description = "not, and why", content_type = "text/plain", body = String)
    )
)]
fn livez() {}

/// Whether the configuration was read and the database reached, once.
#[utoipa::path(
    get,
    path = "/readyz",
    params(("verbose" = Option<String>, Query, description = "list what was checked")),
    responses(
        (status = 200, description = "ready", content_type = "text/plain", body = String),
        (status = 503, description = "not, and why", content_type = "text/plain", body = String)
    )
)]
fn readyz() {}

/// As oslo.middleware serves it; as text, HTML or JSON, whatever is accepted.
#[utoipa::path(
    get,
    path = "/healthcheck",
    responses(
        (status = 200, description = "healthy", content_type = "text/plain", body = String),
        (status = 503, description = "not, and why", content_type = "text/plain", body = String)
    )
)]
fn healthcheck() {}

/// What Prometheus reads.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, content_type = "application/openmetrics-text", body = String))
)]
fn metrics() {}

/// Everything as it is now.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
fn status() {}

/// Rows of this host that wait or failed, at most 10,000 of each service.
#[utoipa::path(get, path = "/v1/rows", responses((status = 200, body = Rows)))]
fn rows() {}

/// The status as server-sent events: at once, and then whenever it changes, once a second at most.
/// Each event's data is one `Status`.
#[utoipa::path(
    get,
    path = "/v1/events",
    responses(
        (status = 200, content_type = "text/event-stream", body = Status),
        (
            status = 503,
            description = "enough listen already",
            content_type = "text/plain",
            body = String,
            headers(("Retry-After" = u64, description = "seconds"))
        )
    )
)]
fn events() {}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object)))]
fn openapi() {}

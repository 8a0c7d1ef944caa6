//! `/openapi.json`: what is answered, for those who write programs that ask.
//!
//! The shapes are written down here on their own, apart from what the program works with, so that
//! what others rely on does not change by accident: a test holds them against the real answers,
//! field by field, both ways. Closed lists are the program's own.

#![expect(dead_code, reason = "the shapes are described, never made")]

use axum::Json;
use key_migration::ids::{ResourceKind, Service};
use key_migration::reasons::{Reason, RowReason, ServiceState};
use key_migration::verdict::{Item, Verdict};
use utoipa::openapi::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{OpenApi as _, ToSchema};

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

#[derive(ToSchema)]
struct Status {
    version: String,
    /// `[DEFAULT] host`
    host: String,
    #[schema(format = DateTime)]
    started_at: String,
    services: Vec<ServiceStatus>,
    /// Rows at zeros on all hosts; null before the first count.
    #[schema(required)]
    global: Option<Global>,
    /// Secrets of this program's that no row refers to and that are not going to be used.
    orphan_secrets: u64,
    fixed_key: FixedKey,
}

#[derive(ToSchema)]
struct ServiceStatus {
    #[schema(schema_with = services)]
    service: String,
    #[schema(schema_with = states)]
    state: String,
    /// Since when it is in that state, and for that reason.
    #[schema(format = DateTime)]
    since: String,
    /// The host, `host@backend` or `cluster@backend` names whose rows it owns.
    owned: Vec<String>,
    /// Why it is blocked or disabled.
    #[schema(required)]
    reason: Option<StatedReason>,
    /// What the operator can do about it.
    #[schema(required)]
    remedy: Option<String>,
    /// When it tries again by itself.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    pass: Pass,
    keys: Keys,
    /// Keys migrated a second, over the last minute.
    rate_per_second: f64,
    /// Seconds until nothing is left on this host at that rate.
    #[schema(required)]
    eta_seconds: Option<u64>,
}

#[derive(ToSchema)]
struct StatedReason {
    #[schema(schema_with = reasons)]
    code: String,
    message: String,
}

/// A walk over all rows of this host.
#[derive(ToSchema)]
struct Pass {
    /// Counted from 1 since the process started.
    number: u64,
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// Null while it is under way.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// Keys of this host.
#[derive(ToSchema)]
struct Keys {
    /// Rows at zeros.
    remaining: u64,
    /// Rows migrated since the process started.
    migrated: u64,
    /// Of those remaining, how many failed.
    failed: u64,
    /// Of those remaining, how many wait for something that passes by itself.
    deferred: u64,
    /// Keys that are being worked on now.
    in_flight: u64,
}

#[derive(ToSchema)]
struct Global {
    #[schema(format = DateTime)]
    counted_at: String,
    volumes: u64,
    snapshots: u64,
    backups: u64,
    unowned: Unowned,
}

/// Of these, rows of no service that is up.
#[derive(ToSchema)]
struct Unowned {
    volumes: u64,
    backups: u64,
}

/// Whether the fixed key may leave the configuration files.
#[derive(ToSchema)]
struct FixedKey {
    #[schema(schema_with = verdicts)]
    verdict: String,
    /// When the rows were counted that it rests on.
    #[schema(required, format = DateTime)]
    evaluated_at: Option<String>,
    /// Why it is not `yes`.
    blockers: Vec<Blocker>,
    /// What people answer for.
    attested: Vec<Attested>,
}

#[derive(ToSchema)]
struct Blocker {
    code: String,
    /// Null where nobody has counted.
    #[schema(required)]
    count: Option<u64>,
    message: String,
}

#[derive(ToSchema)]
struct Attested {
    #[schema(schema_with = items)]
    item: String,
    by: String,
    #[schema(format = DateTime)]
    at: String,
    statement: String,
}

#[derive(ToSchema)]
struct Rows {
    rows: Vec<Row>,
}

#[derive(ToSchema)]
struct Row {
    #[schema(schema_with = services)]
    service: String,
    #[schema(schema_with = resources)]
    resource: String,
    id: String,
    state: RowState,
    #[schema(schema_with = row_reasons)]
    reason: String,
    message: String,
    #[schema(format = DateTime)]
    since: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum RowState {
    Failed,
    Deferred,
}

fn services() -> Schema {
    one_of([Service::Volume, Service::Backup].map(Service::as_str))
}

fn states() -> Schema {
    one_of(ServiceState::ALL.map(ServiceState::as_str))
}

fn reasons() -> Schema {
    one_of(Reason::ALL.map(Reason::as_str))
}

fn row_reasons() -> Schema {
    one_of(RowReason::ALL.map(RowReason::as_str))
}

fn resources() -> Schema {
    let all = [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ];
    one_of(all.map(ResourceKind::as_str))
}

fn verdicts() -> Schema {
    one_of(Verdict::ALL.map(Verdict::as_str))
}

fn items() -> Schema {
    one_of(Item::ALL.map(Item::as_str))
}

fn one_of<const N: usize>(names: [&'static str; N]) -> Schema {
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names));
    names.build().into()
}

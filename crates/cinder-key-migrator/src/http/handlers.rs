//! The answers, each from memory.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, middleware};

use super::healthcheck::healthcheck;
use super::metrics::Metrics;
use super::snapshot::{RowTroubles, Snapshot, View};
use super::{events, openapi, page};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every path. Only GET and HEAD are answered.
pub(crate) fn router(view: Arc<View>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthcheck", get(healthcheck))
        .route("/v1/status", get(status))
        .route("/v1/rows", get(rows))
        .route("/openapi.json", get(openapi::document))
        .merge(page::router())
        .merge(events::router())
        .with_state(view)
        .route("/metrics", get(render_metrics).with_state(metrics))
        .layer(from_fn(read_only))
        .layer(middleware::map_response(about_now_and_here))
}

async fn read_only(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response(),
    }
}

/// Every answer is about this moment, and is nothing but what it says it is.
async fn about_now_and_here(mut response: Response) -> Response {
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// Whether every loop moves. That it waits for a role or for Barbican is no reason to restart it.
async fn livez(State(view): State<Arc<View>>, RawQuery(query): RawQuery) -> Response {
    let checks = view.loops.iter().map(|one| Check {
        name: one.service.as_str(),
        trouble: one.trouble(),
    });
    checked("livez", checks.collect(), query.as_deref())
}

/// Whether the configuration was read and the database reached, once.
async fn readyz(State(view): State<Arc<View>>, RawQuery(query): RawQuery) -> Response {
    let reached = *view.database_reached.borrow();
    let database = (!reached).then(|| "not reached yet".to_owned());
    let checks = vec![
        Check {
            name: "configuration",
            trouble: None,
        },
        Check {
            name: "database",
            trouble: database,
        },
    ];
    checked("readyz", checks, query.as_deref())
}

struct Check {
    name: &'static str,
    trouble: Option<String>,
}

/// In the form of Kubernetes' own: `ok`, or the list where something failed or `?verbose` asks.
fn checked(endpoint: &str, checks: Vec<Check>, query: Option<&str>) -> Response {
    let failed = checks.iter().any(|check| check.trouble.is_some());
    let parameters = query.unwrap_or_default().split('&');
    let verbose = parameters
        .into_iter()
        .any(|it| it.split('=').next() == Some("verbose"));
    if !failed && !verbose {
        return "ok".into_response();
    }
    let mut text = String::new();
    for Check { name, trouble } in checks {
        text += &match trouble {
            None => format!("[+]{name} ok\n"),
            Some(trouble) => format!("[-]{name} failed: {trouble}\n"),
        };
    }
    let (code, end) = if failed {
        (StatusCode::SERVICE_UNAVAILABLE, "failed")
    } else {
        (StatusCode::OK, "passed")
    };
    (code, format!("{text}{endpoint} check {end}\n")).into_response()
}

async fn render_metrics(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], metrics.render()).into_response()
}

async fn status(State(view): State<Arc<View>>) -> Json<Snapshot> {
    Json(view.snapshot())
}

/// Rows of this host that wait or failed.
async fn rows(State(view): State<Arc<View>>) -> Json<RowTroubles> {
    Json(view.row_troubles())
}

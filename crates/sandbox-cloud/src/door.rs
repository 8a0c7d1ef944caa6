//! The way of a request through either service: counted, delayed, made to fail
//! where a test wants it, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use axum::http::{HeaderName, Method, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;

use crate::faults::{Fault, Operation, Reply, When};
use crate::server::Connection;
use crate::shared::Shared;
use crate::traffic::LoggedRequest;
use crate::{answer, barbican, keystone};

/// Far above what either real service reads, far below what would hurt.
const MAX_BODY_BYTES: usize = 4 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// One of the cloud's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Identity.
    Keystone,
    /// Key manager.
    Barbican,
}

pub(crate) fn app(service: Service, shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(receive)
        .with_state((service, shared))
}

/// Reads the request whole and lets it take effect even when the caller goes
/// away meanwhile, as a real service does.
async fn receive(
    State((service, shared)): State<(Service, Arc<Shared>)>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return answer::empty(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let (method, uri, headers) = (head.method, head.uri, head.headers);
    let request = answer::Request {
        method,
        uri,
        headers,
        body,
    };
    let processed = tokio::spawn(process(service, shared, connection, request)).await;
    processed.unwrap_or_else(|_| answer::empty(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn process(
    service: Service,
    shared: Arc<Shared>,
    connection: Connection,
    request: answer::Request,
) -> Response {
    let operation = operation(service, &request);
    let request_id = format!("req-{}", shared.lock().random.uuid());
    let place = shared.traffic.arrive(LoggedRequest {
        operation,
        request_id: request_id.clone(),
        global_request_id: request.header(&REQUEST_ID).map(ToOwned::to_owned),
        target: format!("{} {}", request.method, request.uri),
        status: None,
    });
    let latency = shared.latency.load(Ordering::Relaxed);
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let faults = shared.faults.strike(operation);
    let Some(mut response) = answer_with(service, &shared, &request, &faults).await else {
        connection.close();
        shared.traffic.leave(place, None);
        return answer::empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    answer::set(&mut response, REQUEST_ID, &request_id);
    let date = shared
        .clock
        .now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    answer::set(&mut response, DATE, &date);
    shared
        .traffic
        .leave(place, Some(response.status().as_u16()));
    response
}

/// The answer, or none where the connection is to be closed.
async fn answer_with(
    service: Service,
    shared: &Shared,
    request: &answer::Request,
    faults: &[Fault],
) -> Option<Response> {
    for fault in faults {
        match fault {
            Fault::Delay(time) => tokio::time::sleep(*time).await,
            Fault::Hold(When::BeforeEffect, gate) => gate.pass().await,
            Fault::Answer(When::BeforeEffect, reply) => return Some(put_in_place(reply)),
            Fault::Drop(When::BeforeEffect) => return None,
            _ => {}
        }
    }
    let mut response = match service {
        Service::Keystone => keystone::serve(shared, request),
        Service::Barbican => barbican::serve(shared, request),
    };
    for fault in faults {
        match fault {
            Fault::Hold(When::AfterEffect, gate) => gate.pass().await,
            Fault::Answer(When::AfterEffect, reply) => response = put_in_place(reply),
            Fault::Drop(When::AfterEffect) => return None,
            Fault::TruncatedBody => response = truncated(response).await,
            Fault::MalformedBody => *response.body_mut() = Body::from("{\"secret_ref\": \"htt"),
            Fault::HugeBody(bytes) => *response.body_mut() = Body::from(vec![b' '; *bytes]),
            _ => {}
        }
    }
    Some(response)
}

fn put_in_place(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer::with_body(status, "application/json", reply.body.clone());
    for (name, value) in &reply.headers {
        if let Ok(name) = name.parse::<HeaderName>() {
            answer::set(&mut response, name, value);
        }
    }
    response
}

async fn truncated(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    // An empty body has no half: announce one and break it off.
    let announced = whole.len().max(2);
    let half: Bytes = whole.slice(..whole.len() / 2);
    head.headers.insert(CONTENT_LENGTH, announced.into());
    if !head.headers.contains_key(CONTENT_TYPE) {
        head.status = StatusCode::OK;
    }
    let parts = [
        Ok(half),
        Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
    ];
    let broken = futures_util::stream::iter(parts).then(async |part| {
        if part.is_err() {
            // The server writes out what it has only once the body keeps it waiting.
            tokio::task::yield_now().await;
        }
        part
    });
    Response::from_parts(head, Body::from_stream(broken))
}

fn operation(service: Service, request: &answer::Request) -> Operation {
    let path = request.segments();
    match (service, &request.method, path.as_slice()) {
        (_, &Method::GET, [] | ["v1" | "v3"]) => Operation::Discovery,
        (Service::Keystone, &Method::POST, ["v3", "auth", "tokens"]) => Operation::Token,
        (Service::Keystone, _, ["v3", "auth", "tokens"]) => Operation::TokenAdmin,
        (Service::Barbican, method, ["v1", "secrets", rest @ ..]) => secret_operation(method, rest),
        _ => Operation::Other,
    }
}

fn secret_operation(method: &Method, rest: &[&str]) -> Operation {
    match (method, rest) {
        (&Method::POST, []) => Operation::PostSecret,
        (&Method::GET, []) => Operation::ListSecrets,
        (&Method::GET, [_]) => Operation::GetSecret,
        (&Method::DELETE, [_]) => Operation::DeleteSecret,
        (&Method::GET, [_, "payload"]) => Operation::GetPayload,
        (&Method::GET, [_, "acl"]) => Operation::GetAcl,
        (&Method::PUT | &Method::PATCH, [_, "acl"]) => Operation::PutAcl,
        (&Method::DELETE, [_, "acl"]) => Operation::DeleteAcl,
        _ => Operation::Other,
    }
}

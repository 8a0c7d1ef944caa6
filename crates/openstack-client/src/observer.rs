//! What a metric may know of a request: closed lists, never an ID.

use std::time::Duration;

/// Is told of every request that came to an end. A request that is given up on half-way is not
/// told of.
pub trait RequestObserver: Send + Sync + 'static {
    /// One request ended. `duration` reaches from before the connection to the last byte of the
    /// answer.
    fn observe(&self, api: Api, operation: Operation, outcome: Outcome, duration: Duration);
}

/// Nobody wants to know.
impl RequestObserver for () {
    fn observe(&self, _: Api, _: Operation, _: Outcome, _: Duration) {}
}

/// The service that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Keystone.
    Keystone,
    /// Barbican.
    Barbican,
    /// Glance.
    Glance,
}

impl Api {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Keystone, Self::Barbican, Self::Glance];

    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keystone => "keystone",
            Self::Barbican => "barbican",
            Self::Glance => "glance",
        }
    }
}

/// What it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /v3/auth/tokens`
    SignIn,
    /// `POST /v1/secrets`
    Store,
    /// `PUT /v1/secrets/<id>/acl`
    SetReaders,
    /// `GET /v1/secrets/<id>/acl`
    Readers,
    /// `PATCH /v1/secrets/<id>/acl`
    AddReaders,
    /// `GET /v1/secrets/<id>`
    Describe,
    /// `GET /v1/secrets/<id>/consumers`
    Consumers,
    /// `GET /v1/secrets/<id>/payload`
    Payload,
    /// `DELETE /v1/secrets/<id>`
    Delete,
    /// `GET /v1/secrets`, looking for one name.
    Find,
    /// `GET /v1/secrets`, one page of everything.
    List,
    /// `GET /v1/secrets`, to see whether it answers.
    Probe,
    /// `GET /v2/images`, one page of everything. The daemon never asks it.
    ListImages,
}

impl Operation {
    /// Every one.
    pub const ALL: [Self; 13] = [
        Self::SignIn,
        Self::Store,
        Self::SetReaders,
        Self::Readers,
        Self::AddReaders,
        Self::Describe,
        Self::Consumers,
        Self::Payload,
        Self::Delete,
        Self::Find,
        Self::List,
        Self::Probe,
        Self::ListImages,
    ];

    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Store => "store",
            Self::SetReaders => "set_readers",
            Self::Readers => "readers",
            Self::AddReaders => "add_readers",
            Self::Describe => "describe",
            Self::Consumers => "consumers",
            Self::Payload => "payload",
            Self::Delete => "delete",
            Self::Find => "find",
            Self::List => "list",
            Self::Probe => "probe",
            Self::ListImages => "list_images",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 2xx
    Success,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 429
    Throttled,
    /// Any other answer below 500.
    Rejected,
    /// 5xx
    ServerError,
    /// Nothing was sent: no name, no connection, no TLS.
    NotSent,
    /// No answer, or not all of it, in time.
    TimedOut,
    /// The connection broke, or the answer was none that HTTP knows, or too large.
    Broken,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Success,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Throttled,
        Self::Rejected,
        Self::ServerError,
        Self::NotSent,
        Self::TimedOut,
        Self::Broken,
    ];

    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Throttled => "throttled",
            Self::Rejected => "rejected",
            Self::ServerError => "server_error",
            Self::NotSent => "not_sent",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
        }
    }
}

impl From<reqwest::StatusCode> for Outcome {
    fn from(status: reqwest::StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Success,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            429 => Self::Throttled,
            500.. => Self::ServerError,
            _ => Self::Rejected,
        }
    }
}

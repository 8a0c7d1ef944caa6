//! Faults on demand: what a test asks the cloud to do wrong, to which request,
//! and how often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// What a request is for; faults and counters are kept by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Version discovery of either service, without effect.
    Discovery,
    /// `POST /v3/auth/tokens`.
    Token,
    /// `GET`, `HEAD` or `DELETE /v3/auth/tokens`.
    TokenAdmin,
    /// `POST /v1/secrets`.
    PostSecret,
    /// `GET /v1/secrets`.
    ListSecrets,
    /// `GET /v1/secrets/<id>` (metadata).
    GetSecret,
    /// `GET /v1/secrets/<id>/payload`.
    GetPayload,
    /// `DELETE /v1/secrets/<id>`.
    DeleteSecret,
    /// `GET /v1/secrets/<id>/acl`.
    GetAcl,
    /// `PUT` or `PATCH /v1/secrets/<id>/acl`.
    PutAcl,
    /// `DELETE /v1/secrets/<id>/acl`.
    DeleteAcl,
    /// Anything else.
    Other,
}

/// Whether a fault strikes before or after the request has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The service never does what was asked.
    BeforeEffect,
    /// The service has done it; only the answer suffers.
    AfterEffect,
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The request waits this long before it is looked at.
    Delay(Duration),
    /// The request waits at a [`Gate`] until the test opens it.
    Hold(When, Gate),
    /// The service answers this instead of its own answer.
    Answer(When, Reply),
    /// The connection is closed without an answer.
    Drop(When),
    /// The body ends halfway through its announced length, then the connection.
    TruncatedBody,
    /// The right status, and a body that is not JSON.
    MalformedBody,
    /// The right status, and a body of this many bytes.
    HugeBody(usize),
}

/// An answer put in place of the service's own.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// Further headers, such as `Retry-After`.
    pub headers: Vec<(String, String)>,
    /// The body, sent as it is.
    pub body: String,
}

impl Fault {
    /// Answers `status` and does nothing.
    pub fn status_before(status: u16) -> Self {
        Self::Answer(When::BeforeEffect, Reply::status(status))
    }

    /// Does what was asked and answers `status` nevertheless.
    pub fn status_after(status: u16) -> Self {
        Self::Answer(When::AfterEffect, Reply::status(status))
    }

    /// Closes the connection and does nothing.
    pub fn drop_before() -> Self {
        Self::Drop(When::BeforeEffect)
    }

    /// Does what was asked and closes the connection without an answer.
    pub fn drop_after() -> Self {
        Self::Drop(When::AfterEffect)
    }
}

impl Reply {
    /// An answer with a body such as Barbican's own errors have.
    pub fn status(status: u16) -> Self {
        let description = "This fault was asked for.";
        Self {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: serde_json::json!({"code": status, "title": "Fault", "description": description})
                .to_string(),
        }
    }
}

/// Holds requests at one point until a test lets them go, so that a race can
/// be played in a chosen order.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    opened: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            arrived: Arc::new(watch::Sender::new(0)),
            opened: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Gate {
    /// Waits until `count` requests in all have come to the gate.
    pub async fn arrived(&self, count: usize) {
        // The sender lives in self, so the channel cannot close while waiting.
        let _ = self
            .arrived
            .subscribe()
            .wait_for(|seen| *seen >= count)
            .await;
    }

    /// Lets `count` requests through, waiting ones or later ones.
    pub fn release(&self, count: usize) {
        self.opened.add_permits(count);
    }

    /// Lets every request through from now on.
    pub fn open(&self) {
        self.opened.close();
    }

    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|seen| *seen += 1);
        if let Ok(permit) = self.opened.acquire().await {
            permit.forget();
        }
    }
}

/// The faults that were asked for and have not struck yet.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    planned: Mutex<Vec<Planned>>,
}

#[derive(Debug)]
struct Planned {
    operation: Operation,
    fault: Fault,
    skip: usize,
    left: Option<usize>,
}

impl FaultPlan {
    pub(crate) fn add(&self, operation: Operation, fault: Fault, skip: usize, left: Option<usize>) {
        self.lock().push(Planned {
            operation,
            fault,
            skip,
            left,
        });
    }

    pub(crate) fn clear(&self, operation: Operation) {
        self.lock().retain(|planned| planned.operation != operation);
    }

    pub(crate) fn clear_all(&self) {
        self.lock().clear();
    }

    /// The faults for a request that has just come. Delays and holds strike in
    /// the order in which they were asked for.
    pub(crate) fn strike(&self, operation: Operation) -> Vec<Fault> {
        let mut struck = Vec::new();
        self.lock().retain_mut(|planned| {
            if planned.operation != operation {
                return true;
            }
            if planned.skip > 0 {
                planned.skip -= 1;
                return true;
            }
            struck.push(planned.fault.clone());
            planned.left = planned.left.map(|left| left.saturating_sub(1));
            planned.left != Some(0)
        });
        struck
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

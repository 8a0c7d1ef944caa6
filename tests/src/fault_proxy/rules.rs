//! What goes wrong, with which request, how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Every one.
    Any,
    /// `POST /v1/secrets`.
    Store,
    /// `PUT .../acl`.
    SetReaders,
    /// `GET .../payload`.
    Payload,
    /// `GET /v1/secrets`.
    List,
    /// `DELETE` of a secret.
    Delete,
    /// `POST .../auth/tokens`.
    SignIn,
    /// `COMMIT`.
    Commit,
    /// A statement with `UPDATE`.
    Update,
    /// None of the others.
    Other,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is delivered and carried out; the answer is thrown away and the connection closed.
    ReplyLost,
    /// It is delivered and carried out; the answer waits until the client has given up, and is
    /// sent then.
    Late,
    /// It is delivered and carried out; the answer is an error. From an HTTP service it is a 500.
    /// From a database it is error 2013, which is what ProxySQL answers when the server's
    /// connection is lost while it waits for an answer.
    FailAfter,
    /// It is delivered and carried out; the answer ends in its middle.
    Truncate,
    /// It is not delivered; the client's connection is reset.
    ResetBefore,
    /// It is delivered and carried out; instead of an answer the client's connection is reset.
    ResetAfter,
    /// It is delivered and carried out; the client is sent an end of the stream instead of an
    /// answer, while its own side stays open until it closes it.
    HalfClose,
    /// It is not delivered, and nothing is answered until the client gives up; when it is healed
    /// before, the connection is reset, as whatever comes back knows nothing of it.
    Drop,
    /// It is not delivered: 503; from a database error 9001, which is what ProxySQL answers when
    /// no server can be reached.
    Unavailable,
    /// It is not delivered: 401, as if the token had expired. A database that is asked so is
    /// [`Fault::Unavailable`].
    Unauthorized,
    /// It is delivered and carried out; the answer comes later by this time.
    Delay(Duration),
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    request: Request,
    fault: Fault,
    /// How often; without a number, until it is healed.
    times: Option<u64>,
}

/// A rule at work.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Active>);

#[derive(Debug)]
struct Active {
    rule: Rule,
    fired: watch::Sender<u64>,
    healed: watch::Sender<bool>,
}

/// All rules of a proxy, and what has come.
#[derive(Debug, Default)]
pub(super) struct Rules {
    active: Mutex<Vec<Arc<Active>>>,
    seen: Mutex<Seen>,
}

/// A request has met a rule.
pub(super) struct Met {
    pub(super) fault: Fault,
    by: Arc<Active>,
}

/// How many requests of each kind.
pub(super) type Seen = BTreeMap<Request, u64>;

impl Rule {
    /// It happens once.
    #[must_use]
    pub fn once(request: Request, fault: Fault) -> Self {
        Self::times(1, request, fault)
    }

    /// It happens so often.
    #[must_use]
    pub fn times(times: u64, request: Request, fault: Fault) -> Self {
        Self {
            request,
            fault,
            times: Some(times),
        }
    }

    /// It happens each time until it is healed.
    #[must_use]
    pub fn until_healed(request: Request, fault: Fault) -> Self {
        Self {
            request,
            fault,
            times: None,
        }
    }
}

impl Handle {
    /// How often it has happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        *self.0.fired.borrow()
    }

    /// Waits until it has happened so often. It may be waited for before or after.
    ///
    /// # Panics
    ///
    /// Never: the rule outlives its handle.
    pub async fn fired(&self, times: u64) {
        let mut fired = self.0.fired.subscribe();
        fired
            .wait_for(|count| *count >= times)
            .await
            .expect("the sender is held by the handle");
    }

    /// From now on it does not happen any more.
    pub fn heal(&self) {
        self.0.healed.send_replace(true);
    }
}

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> Handle {
        let active = Arc::new(Active {
            rule,
            fired: watch::Sender::new(0),
            healed: watch::Sender::new(false),
        });
        let mut all = lock(&self.active);
        all.retain(|one| one.is_about(one.rule.request));
        all.push(Arc::clone(&active));
        Handle(active)
    }

    pub(super) fn requests(&self, request: Request) -> u64 {
        let seen = lock(&self.seen);
        match request {
            Request::Any => seen.values().sum(),
            one => seen.get(&one).copied().unwrap_or(0),
        }
    }

    /// Counts a request, and says what becomes of it.
    pub(super) fn meet(&self, request: Request) -> Option<Met> {
        *lock(&self.seen).entry(request).or_default() += 1;
        let active = lock(&self.active);
        let rule = active.iter().find(|active| active.is_about(request))?;
        rule.fired.send_modify(|fired| *fired += 1);
        Some(Met {
            fault: rule.rule.fault,
            by: Arc::clone(rule),
        })
    }
}

impl Met {
    /// Waits until the rule is healed.
    pub(super) async fn healed(&self) {
        let mut healed = self.by.healed.subscribe();
        // The sender is held by ourselves.
        let _ = healed.wait_for(|healed| *healed).await;
    }
}

impl Active {
    fn is_about(&self, request: Request) -> bool {
        let about = self.rule.request == Request::Any || self.rule.request == request;
        let left = self
            .rule
            .times
            .is_none_or(|times| *self.fired.borrow() < times);
        about && left && !*self.healed.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

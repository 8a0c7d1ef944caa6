//! What a failure means for what may be done next. This is decided here, where the answer is read,
//! and nowhere else.

use key_migration::ids::SecretId;
use key_migration::ports::{SecretError, StoreError};
use key_migration::reasons::{Fault, Reason};
use reqwest::header::LOCATION;
use url::Url;

use super::{BarbicanKeyManager, Heard};
use crate::answer::presentable;
use crate::remedy;

/// What barbican/common/exception.py, `QuotaReached`, says to the client; nothing else in the
/// answer tells it from a missing role.
const QUOTA_REACHED: &str = "a quota has been reached";

/// Barbican did not answer.
pub(super) enum Trouble {
    /// The request certainly had no effect, and the next one would fare no better.
    NotDone(Fault),
    /// Nobody knows what became of it.
    Unanswered(String),
}

/// Barbican answered, and not with success.
pub(super) enum Verdict {
    /// It would hit every request alike. Nothing took effect.
    Everyone(Fault),
    /// Barbican's policy does not let us; the fault is what that would be if we had no role for
    /// any such request. Nothing took effect.
    Forbidden(Fault),
    /// This very request is refused as it is. Nothing took effect.
    Refused(String),
    /// There is no such secret. Nothing took effect.
    NotFound(String),
    /// It failed, and may have taken effect.
    Failed(String),
}

impl Verdict {
    /// Reads the answer. `withheld` must not appear in any text of it.
    pub(super) fn of(heard: &Heard, withheld: &[&str]) -> Self {
        let said = heard.said(withheld);
        let token = &heard.token;
        match heard.answer.status.as_u16() {
            403 if !said.by_service => Self::Everyone(Fault::new(
                Reason::BarbicanFailing,
                format!("something before Barbican refuses requests: {}", said.text),
                "see what stands between this host and Barbican: a proxy or a firewall",
            )),
            403 if said.text.contains(QUOTA_REACHED) => Self::Everyone(Fault::new(
                Reason::QuotaReached,
                said.text,
                remedy::quota_reached(token),
            )),
            403 => Self::Forbidden(Fault::new(
                Reason::RoleMissing,
                said.text,
                remedy::role_missing(token),
            )),
            404 if said.by_service => Self::NotFound(said.text),
            // A 303 says that the request was carried out and its result is elsewhere.
            300..=302 | 304..=399 | 404 | 405 => Self::Everyone(not_barbican(heard, &said.text)),
            // These say that it came at a bad time; 499 is nginx's for a client that has gone.
            408 | 409 | 425 | 429 | 499 => Self::Failed(said.text),
            400..=498 => Self::Refused(said.text),
            _ => Self::Failed(said.text),
        }
    }

    /// For the request that stores a secret: everything that Barbican refuses about it, it would
    /// refuse about the next one.
    pub(super) fn of_store(self) -> StoreError {
        match self {
            Self::Everyone(fault) | Self::Forbidden(fault) => StoreError::NotStored(fault),
            Self::NotFound(text) => StoreError::NotStored(no_secrets_there(&text)),
            Self::Refused(text) => StoreError::NotStored(Fault::new(
                Reason::Configuration,
                text,
                "see that Barbican, and what stands before it, takes a key of this length: \
                 [key_manager] fixed_key, the secret store of Barbican, and \
                 max_allowed_secret_in_bytes in barbican.conf",
            )),
            Self::Failed(text) => StoreError::OutcomeUnknown(text),
        }
    }

    /// For a request about one stored secret.
    pub(super) fn of_secret(self, secret: SecretId) -> SecretError {
        match self {
            Self::Everyone(fault) => SecretError::Fault(fault),
            Self::Forbidden(fault) => SecretError::Forbidden(fault),
            Self::Refused(text) => SecretError::Refused(text),
            Self::NotFound(_) => SecretError::NotFound(secret),
            Self::Failed(text) => SecretError::Failed(text),
        }
    }

    /// For a listing, which either comes or does not.
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::Everyone(fault) | Self::Forbidden(fault) => fault,
            Self::Failed(text) => failing(text),
            Self::NotFound(text) => no_secrets_there(&text),
            Self::Refused(text) => Fault::new(
                Reason::BarbicanFailing,
                format!("Barbican refuses to list secrets: {text}"),
                "see that this is Barbican's API, version 1, and see Barbican's log",
            ),
        }
    }
}

/// A fault for a Barbican that answers with errors, or not at all.
pub(super) fn failing(text: String) -> Fault {
    Fault::new(
        Reason::BarbicanFailing,
        text,
        "see Barbican's log, and that its database and its secret store answer",
    )
}

fn not_barbican(heard: &Heard, text: &str) -> Fault {
    let elsewhere = heard
        .answer
        .headers
        .get(LOCATION)
        .and_then(|location| Url::parse(location.to_str().ok()?).ok())
        .map(|mut location| {
            location.set_query(None);
            location.set_fragment(None);
            presentable(&format!(", which points to {location}"))
        })
        .unwrap_or_default();
    no_secrets_there(&format!("{text}{elsewhere}"))
}

/// For an address that has no secrets: a wrong one, or one with a path too many.
fn no_secrets_there(text: &str) -> Fault {
    Fault::new(
        Reason::Configuration,
        format!("Barbican is not where it was looked for: {text}"),
        "set [barbican] barbican_endpoint, or the endpoint of service type key-manager in \
         Keystone's catalogue, to where Barbican is; redirects are not followed",
    )
}

impl Trouble {
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::NotDone(fault) => fault,
            Self::Unanswered(text) => failing(text),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotDone(fault) => Self::NotStored(fault),
            Trouble::Unanswered(text) => Self::OutcomeUnknown(text),
        }
    }
}

impl From<Trouble> for SecretError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotDone(fault) => Self::Fault(fault),
            Trouble::Unanswered(text) => Self::Failed(text),
        }
    }
}

impl BarbicanKeyManager {
    pub(super) fn unreachable(&self, base: &Url, text: &str) -> Fault {
        let option = if self.config.endpoint.is_some() {
            "[barbican] barbican_endpoint"
        } else {
            "the endpoint of service type key-manager in Keystone's catalogue"
        };
        Fault::new(
            Reason::BarbicanUnreachable,
            format!("Barbican at {base} cannot be reached: {text}"),
            remedy::service_away(
                option,
                "barbican",
                &self.config.trust,
                self.config.certificate.as_ref(),
                text,
            ),
        )
    }
}

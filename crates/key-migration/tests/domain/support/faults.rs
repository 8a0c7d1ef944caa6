//! What Keystone, Barbican and the database say when they refuse, as their adapters put it.

use std::time::Duration;

use key_migration::reasons::{Fault, Reason};

use super::Trouble;

pub(crate) const FORBIDDEN: &str =
    "Forbidden: Secret creation attempt not allowed - please review your user/project privileges";
pub(crate) const ROLE_REMEDY: &str = "openstack role add --user cinder --project service member";

pub(crate) fn role_missing() -> Trouble {
    Trouble::Fault(Fault::new(Reason::RoleMissing, FORBIDDEN, ROLE_REMEDY))
}

pub(crate) fn listing_refused() -> Trouble {
    let message = "Forbidden: Secrets retrieval attempt not allowed - please review your user/project privileges";
    Trouble::Fault(Fault::new(Reason::RoleMissing, message, ROLE_REMEDY))
}

/// A fault whose texts are made from its reason.
pub(crate) fn fault(reason: Reason) -> Fault {
    Fault::new(
        reason,
        format!("what {reason} looks like"),
        format!("what helps against {reason}"),
    )
}

pub(crate) fn faulty(reason: Reason) -> Trouble {
    Trouble::Fault(fault(reason))
}

/// Barbican does not let us do this with one secret.
pub(crate) fn forbidden() -> Trouble {
    let message =
        "Forbidden: Secret ACL(s) update not allowed - please review your user/project privileges";
    Trouble::Forbidden(Fault::new(Reason::RoleMissing, message, ROLE_REMEDY))
}

pub(crate) fn failing() -> Trouble {
    Trouble::Failed("Internal Server Error: Barbican failed".into())
}

pub(crate) fn refused() -> Trouble {
    Trouble::Refused("Bad Request: this one is not allowed".into())
}

/// No answer, and nothing was stored.
pub(crate) fn unanswered() -> Trouble {
    Trouble::Unanswered { lands_after: None }
}

/// No answer, and the secret was stored.
pub(crate) fn stored_unanswered() -> Trouble {
    stored_later(Duration::ZERO)
}

/// No answer, and the secret is stored this much later.
pub(crate) fn stored_later(lands_after: Duration) -> Trouble {
    Trouble::Unanswered {
        lands_after: Some(lands_after),
    }
}

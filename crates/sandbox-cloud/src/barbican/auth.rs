//! Who is calling, as keystonemiddleware's `auth_token` finds out.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Refusal;
use crate::answer;
use crate::shared::{Shared, State};

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The user, project and roles of a request's token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user_id: String,
    pub(crate) project_id: String,
    pub(crate) roles: BTreeSet<String>,
}

/// A validation as keystonemiddleware keeps it (`token_cache_time`): until it
/// lapses, roles granted or taken away meanwhile are not seen.
#[derive(Clone, Debug)]
pub(crate) struct CachedToken {
    caller: Caller,
    expires_at: Timestamp,
    validated_at: Timestamp,
}

pub(crate) fn authenticate(
    shared: &Shared,
    state: &mut State,
    request: &answer::Request,
) -> Result<Caller, Refusal> {
    let unauthorized = || Refusal::new(StatusCode::UNAUTHORIZED, "");
    let now = shared.clock.now();
    let text = request.header(&AUTH_TOKEN).ok_or_else(unauthorized)?.trim();
    let cache_time = SignedDuration::try_from(shared.settings.token_cache_time);
    let cache_time = cache_time.unwrap_or(SignedDuration::MAX);
    if let Some(cached) = state.token_cache.get(text)
        && now.duration_since(cached.validated_at) < cache_time
    {
        let alive = cached.expires_at > now;
        return alive
            .then(|| cached.caller.clone())
            .ok_or_else(unauthorized);
    }
    state.token_cache.remove(text);
    if !shared.keystone_is_up.load(Ordering::Relaxed) {
        let text = "The Keystone service is temporarily unavailable.";
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let token = state
        .identity
        .validate(text, now)
        .ok_or_else(unauthorized)?;
    let project_id = token.project_id.clone().ok_or_else(unauthorized)?;
    let roles = state.identity.roles(&token.user_id, &project_id);
    let roles = roles.into_iter().map(ToOwned::to_owned).collect();
    let caller = Caller {
        user_id: token.user_id.clone(),
        project_id,
        roles,
    };
    let cached = CachedToken {
        caller: caller.clone(),
        expires_at: token.expires_at,
        validated_at: now,
    };
    state.token_cache.insert(text.to_owned(), cached);
    Ok(caller)
}

pub(crate) fn unauthorized(shared: &Shared) -> Response {
    let message = "The request you have made requires authentication.";
    let body = json!({"error": {"code": 401, "title": "Unauthorized", "message": message}});
    let mut response = answer::json(StatusCode::UNAUTHORIZED, &body);
    let uri = shared.keystone_url();
    answer::set(
        &mut response,
        WWW_AUTHENTICATE,
        &format!("Keystone uri=\"{uri}\""),
    );
    response
}

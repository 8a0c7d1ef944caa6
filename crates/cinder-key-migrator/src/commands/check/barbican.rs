//! Keystone and Barbican: whether they let us in, and how much Barbican takes.

use std::sync::Arc;

use jiff::SignedDuration;
use key_migration::ids::RequestId;
use key_migration::ports::Clock as _;
use key_migration::rows::Census;
use openstack_client::{BarbicanKeyManager, Quota, Reached, Token};

use super::line::Line;
use crate::clock::SystemClock;

const KEYSTONE: &str = "Keystone";
pub(super) const BARBICAN: &str = "Barbican";
const CLOCK: &str = "Clock";
const QUOTA: &str = "Barbican quota";

/// Beyond this, times in logs of both sides do not go together. The answer's own is in whole
/// seconds.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// Barbican, which answers.
pub(super) struct Answering<'k> {
    pub(super) keys: &'k BarbicanKeyManager,
    pub(super) token: Arc<Token>,
    pub(super) reached: Reached,
    /// How far Barbican's clock is ahead of ours.
    ahead: Option<SignedDuration>,
}

/// Signs in and finds Barbican.
pub(super) async fn check<'k>(
    keys: Option<&'k BarbicanKeyManager>,
    lines: &mut Vec<Line>,
) -> Option<Answering<'k>> {
    let Some(keys) = keys else {
        lines.extend([KEYSTONE, BARBICAN].map(|it| Line::not_done(it, "Configuration")));
        return None;
    };
    let token = match keys.session().token(RequestId::random()).await {
        Ok(token) => token,
        Err(fault) => {
            lines.push(Line::of_fault(KEYSTONE, &fault));
            lines.push(Line::not_done(BARBICAN, KEYSTONE));
            return None;
        }
    };
    lines.push(Line::success(
        KEYSTONE,
        format!(
            "Signed in at {} as user {} ({}) in project {} ({}).",
            keys.keystone_config().auth_url,
            token.user(),
            token.user().id,
            token.project(),
            token.project().id,
        ),
    ));
    let reached = match keys.reach(RequestId::random()).await {
        Ok(reached) => reached,
        Err(fault) => {
            lines.push(Line::of_fault(BARBICAN, &fault));
            return None;
        }
    };
    let version = match reached.has_microversions {
        true => "API version 1, and knows microversions",
        false => "API version 1, without microversions",
    };
    let place = match keys.config().endpoint {
        Some(_) => "[barbican] barbican_endpoint",
        None => "Keystone's catalogue",
    };
    lines.push(Line::success(
        BARBICAN,
        format!("{} answers (from {place}) with {version}.", reached.url),
    ));
    let now = SystemClock.now();
    Some(Answering {
        keys,
        token,
        ahead: reached.date.map(|date| date.duration_since(now)),
        reached,
    })
}

pub(super) fn of_clock(barbican: Option<&Answering<'_>>) -> Line {
    let Some(barbican) = barbican else {
        return Line::not_done(CLOCK, BARBICAN);
    };
    let Some(ahead) = barbican.ahead else {
        return Line::success(CLOCK, "Barbican's answers show no time to compare with.");
    };
    let seconds = ahead.as_secs();
    if ahead.abs() <= SKEW {
        let details = "This host and Barbican agree on the time to a few seconds.";
        return Line::success(CLOCK, details);
    }
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    Line::warning(
        CLOCK,
        format!(
            "Barbican's clock is {} s {direction} this host's.",
            seconds.abs()
        ),
        "chronyc tracking, here and on Barbican's hosts; then, where it is wrong: chronyc makestep",
    )
}

/// Compares with what is left in the whole database: all hosts store into one project.
pub(super) async fn of_quota(barbican: Option<&Answering<'_>>, left: Option<Census>) -> Line {
    let Some(barbican) = barbican else {
        return Line::not_done(QUOTA, BARBICAN);
    };
    let Quota { limit, used } = match barbican.keys.secrets_quota(RequestId::random()).await {
        Err(fault) => return Line::of_fault(QUOTA, &fault),
        Ok(None) => {
            return Line::warning(
                QUOTA,
                "Not looked at: Barbican tells nothing of its quotas to a user with these roles. \
                 Most likely it wants another role.",
                "cinder-key-migrator check --probe, which tells the role",
            );
        }
        Ok(Some(quota)) => quota,
    };
    let project = barbican.token.project();
    let details = format!("Project {project} has {used} secrets");
    let Some(limit) = limit else {
        return Line::success(QUOTA, format!("{details} and no quota of secrets."));
    };
    let Some(left) = left else {
        return Line::not_done(QUOTA, super::database::CHECK);
    };
    let to_come = left.volumes + left.backups;
    let details = format!("{details}, may have {limit}, and {to_come} are to come.");
    if used + to_come <= limit {
        return Line::success(QUOTA, details);
    }
    let wanted = used + to_come + left.snapshots;
    Line::failure(
        QUOTA,
        details,
        format!(
            "as Barbican's service admin: PUT /v1/project-quotas/{} with {{\"project_quotas\": \
             {{\"secrets\": {wanted}}}}}, or [quotas] quota_secrets = {wanted} in barbican.conf",
            project.id
        ),
    )
}

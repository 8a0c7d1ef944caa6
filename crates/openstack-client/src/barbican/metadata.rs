//! What Barbican tells of a secret, in a listing and by itself.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use key_migration::ports::StoredSecret;
use reqwest::header::DATE;
use serde::Deserialize;

use super::Heard;
use super::wire::id_in;
use crate::token::Token;

/// A secret, and what its age was made of.
pub(super) struct Listed {
    pub(super) secret: StoredSecret,
    pub(super) created: Timestamp,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    secret_ref: String,
    name: Option<String>,
    created: String,
    creator_id: Option<String>,
    status: String,
}

impl Metadata {
    /// `None` where it makes no sense. `now` is Barbican's, from [`date`].
    pub(super) fn read(self, now: Option<Timestamp>, token: &Token) -> Option<Listed> {
        let created = created_at(&self.created)?;
        Some(Listed {
            secret: StoredSecret {
                id: id_in(&self.secret_ref)?,
                name: self.name.unwrap_or_default(),
                age: age(created, now),
                created_by_us: self.creator_id.as_deref() == Some(token.user().id.as_str()),
                active: self.status == "ACTIVE",
            },
            created,
        })
    }
}

/// Reads an answer that is about one secret.
pub(super) fn read_one(heard: &Heard) -> Option<StoredSecret> {
    let metadata: Metadata = serde_json::from_slice(&heard.answer.body).ok()?;
    let listed = metadata.read(date(heard), &heard.token)?;
    Some(listed.secret)
}

/// When Barbican answered, by its own clock.
pub(super) fn date(heard: &Heard) -> Option<Timestamp> {
    let date = heard.answer.headers.get(DATE)?;
    Some(rfc2822::parse(date.to_str().ok()?).ok()?.timestamp())
}

/// By Barbican's clock alone. An answer without a date, or from before the secret, makes it new:
/// too young for anything that only an old one may suffer.
fn age(created: Timestamp, now: Option<Timestamp>) -> Duration {
    now.and_then(|now| Duration::try_from(now.duration_since(created)).ok())
        .unwrap_or_default()
}

/// `created` is UTC without saying so (barbican/model/models.py, `isoformat`).
fn created_at(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_told_by_barbicans_clock_alone() {
        let now = rfc2822::parse("Mon, 23 Nov 2026 08:00:10 GMT").expect("an HTTP date");
        let now = Some(now.timestamp());
        let age_of = |created| age(created_at(created).expect("a time"), now);
        assert_eq!(age_of("2026-11-23T08:00:00"), Duration::from_secs(10));
        assert_eq!(
            age_of("2026-11-23T08:00:00.500000"),
            Duration::from_millis(9500)
        );
        assert_eq!(age_of("2026-11-23T08:00:00+00:00"), Duration::from_secs(10));
        assert_eq!(age_of("2026-11-23T09:00:00"), Duration::ZERO);
        let created = created_at("2026-11-23T08:00:00").expect("a time");
        assert_eq!(age(created, None), Duration::ZERO);
    }
}

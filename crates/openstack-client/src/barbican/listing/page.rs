//! One page of a listing, as Barbican answers it.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use key_migration::ports::StoredSecret;
use reqwest::header::DATE;
use serde::Deserialize;

use super::super::Heard;
use super::super::wire::id_in;
use crate::token::Token;

pub(super) struct Page {
    pub(super) secrets: Vec<Listed>,
    /// How many secrets the pattern matched when this page was made.
    pub(super) total: u64,
}

pub(super) struct Listed {
    pub(super) secret: StoredSecret,
    pub(super) created: Timestamp,
}

/// Reads a page; `None` where it makes no sense.
pub(super) fn read_page(heard: &Heard) -> Option<Page> {
    let body: PageBody = serde_json::from_slice(&heard.answer.body).ok()?;
    let date = heard.answer.headers.get(DATE);
    let now = date.and_then(|date| rfc2822::parse(date.to_str().ok()?).ok());
    let now = now.map(|now| now.timestamp());
    let secrets = body
        .secrets
        .into_iter()
        .map(|entry| entry.read(now, &heard.token))
        .collect::<Option<_>>()?;
    Some(Page {
        secrets,
        total: body.total,
    })
}

#[derive(Deserialize)]
struct PageBody {
    secrets: Vec<Entry>,
    total: u64,
}

#[derive(Deserialize)]
struct Entry {
    secret_ref: String,
    name: Option<String>,
    created: String,
    creator_id: Option<String>,
    status: String,
}

impl Entry {
    fn read(self, now: Option<Timestamp>, token: &Token) -> Option<Listed> {
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

//! Listing secrets, though Barbican pages by OFFSET over a table that changes meanwhile.
//!
//! A page begins before its predecessor's end, and must show something of it: then nothing lies
//! between the two. If it does not, or if `total` shrank, rows have moved forward under the walk
//! and it starts again. New rows come at the end, where the walk ends too; but one that was
//! stamped before it became visible may come a little before the end, so the tail is walked again
//! until `total` is the same at its start and its end.
//!
//! `created` has whole seconds on MySQL. Rows of one second have no order of their own, and two
//! pages might each leave out the same one, so `name` decides between them.

use std::collections::HashSet;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::rfc2822};
use key_migration::ids::{NAME_PREFIX, RequestId, ResourceKind, SecretId};
use key_migration::ports::StoredSecret;
use key_migration::reasons::Fault;
use reqwest::header::DATE;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::trouble::{Trouble, failing};
use super::wire::id_in;
use super::{Ask, BarbicanKeyManager, Heard, JSON};
use crate::observer::Operation;
use crate::token::Token;

/// The most that Barbican gives at once, as shipped (`max_limit_paging`).
const PAGE: u64 = 100;
/// How far a page reaches back into its predecessor.
const OVERLAP: u64 = 10;
/// How often a walk is made before it is given up.
const WALKS: u32 = 6;

/// What is listed.
struct Query {
    operation: Operation,
    /// Barbican's `name` filter, an SQL LIKE pattern.
    pattern: String,
    request: RequestId,
}

struct Page {
    secrets: Vec<Listed>,
    /// How many secrets the pattern matched when this page was made.
    total: u64,
}

struct Listed {
    secret: StoredSecret,
    created: Timestamp,
}

/// How a walk over all pages ended.
enum Walked {
    /// Nobody listens any more.
    Unwanted,
    /// Rows moved under it.
    Disturbed,
    /// It reached the end.
    Whole { first_total: u64, last_total: u64 },
}

/// Where the pages go.
enum Sink<'a> {
    /// Only secrets with exactly this name are kept.
    Named(&'a str, Vec<Listed>),
    /// Those whose name begins like this are passed on.
    Prefixed(&'a str, &'a mpsc::Sender<Vec<StoredSecret>>),
}

impl BarbicanKeyManager {
    /// Every secret with exactly this name, oldest first.
    pub(super) async fn find_exactly(
        &self,
        name: &str,
        request: RequestId,
    ) -> Result<Vec<StoredSecret>, Fault> {
        let query = Query {
            operation: Operation::Find,
            pattern: like_exactly(name),
            request,
        };
        let mut sink = Sink::Named(name, Vec::new());
        self.walk_all(&query, &mut sink).await?;
        let Sink::Named(_, mut found) = sink else {
            return Ok(Vec::new());
        };
        found.sort_by_key(|listed| (listed.created, listed.secret.id));
        found.dedup_by_key(|listed| listed.secret.id);
        Ok(found.into_iter().map(|listed| listed.secret).collect())
    }

    /// Every secret whose name was made for this kind of row.
    pub(super) async fn list_kind(
        &self,
        kind: ResourceKind,
        pages: &mpsc::Sender<Vec<StoredSecret>>,
        request: RequestId,
    ) -> Result<(), Fault> {
        let prefix = format!("{NAME_PREFIX}{kind}:");
        let query = Query {
            operation: Operation::List,
            pattern: format!("{}%", like_exactly(&prefix)),
            request,
        };
        self.walk_all(&query, &mut Sink::Prefixed(&prefix, pages))
            .await
    }

    /// Walks until nothing can have been left out.
    async fn walk_all(&self, query: &Query, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let mut from = 0;
        let mut least = 0;
        let mut disturbed = false;
        for _ in 0..WALKS {
            disturbed = false;
            match self.walk(query, from, sink).await? {
                Walked::Unwanted => return Ok(()),
                Walked::Whole {
                    first_total,
                    last_total,
                } if first_total >= least => {
                    if first_total == last_total {
                        return Ok(());
                    }
                    from = first_total.saturating_sub(PAGE);
                    least = last_total;
                }
                Walked::Whole { .. } | Walked::Disturbed => {
                    from = 0;
                    least = 0;
                    disturbed = true;
                }
            }
        }
        if disturbed {
            return Err(failing(format!(
                "secrets keep being deleted while Barbican lists them: {WALKS} listings were \
                 incomplete"
            )));
        }
        Ok(())
    }

    async fn walk(&self, query: &Query, from: u64, sink: &mut Sink<'_>) -> Result<Walked, Fault> {
        let mut offset = from;
        let mut first_total = None;
        let mut last_total = 0;
        let mut before: HashSet<SecretId> = HashSet::new();
        loop {
            let Page { secrets, total } = self.page(query, offset).await?;
            let first_total = *first_total.get_or_insert(total);
            let now: HashSet<SecretId> = secrets.iter().map(|listed| listed.secret.id).collect();
            let torn = !before.is_empty() && before.is_disjoint(&now);
            if torn || total < last_total || (now.is_empty() && offset < total) {
                return Ok(Walked::Disturbed);
            }
            let length = secrets.len() as u64;
            if !sink.take(secrets).await {
                return Ok(Walked::Unwanted);
            }
            if offset + length >= total {
                return Ok(Walked::Whole {
                    first_total,
                    last_total: total,
                });
            }
            let back = OVERLAP.min(length / 2);
            offset += length - back;
            last_total = total;
            before = if back == 0 { HashSet::new() } else { now };
        }
    }

    async fn page(&self, query: &Query, offset: u64) -> Result<Page, Fault> {
        let ask = Ask {
            query: vec![
                ("name", query.pattern.clone()),
                ("sort", "created:asc,name:asc".into()),
                ("limit", PAGE.to_string()),
                ("offset", offset.to_string()),
            ],
            ..Ask::get(query.operation, "secrets", JSON, query.request)
        };
        let heard = self.ask(ask).await.map_err(Trouble::into_fault)?;
        if !heard.answer.status.is_success() {
            return Err(self.verdict(&heard, &[]).into_fault());
        }
        read_page(&heard)
            .ok_or_else(|| failing("Barbican's listing of secrets cannot be read".into()))
    }
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

impl Sink<'_> {
    /// Takes what it wants of a page; answers whether it wants more.
    async fn take(&mut self, page: Vec<Listed>) -> bool {
        match self {
            Self::Named(name, found) => {
                found.extend(
                    page.into_iter()
                        .filter(|listed| listed.secret.name == *name),
                );
                true
            }
            Self::Prefixed(prefix, pages) => {
                let ours: Vec<StoredSecret> = page
                    .into_iter()
                    .map(|listed| listed.secret)
                    .filter(|secret| secret.name.starts_with(*prefix))
                    .collect();
                if ours.is_empty() {
                    return !pages.is_closed();
                }
                pages.send(ours).await.is_ok()
            }
        }
    }
}

/// Reads a page; `None` where it makes no sense.
fn read_page(heard: &Heard) -> Option<Page> {
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

/// A LIKE pattern for this text. Which character escapes depends on Barbican's database, and
/// Barbican decodes the name a second time, so whatever is not plain becomes `_`, any character;
/// names are compared again on our side.
fn like_exactly(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ':' | '-' | '.' => c,
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_text_whatever_escapes() {
        assert_eq!(
            like_exactly("cinder-key-migrator:v1:volume:a_b%c\\d+e é"),
            "cinder-key-migrator:v1:volume:a_b_c_d_e__"
        );
    }

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

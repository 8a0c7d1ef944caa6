//! The page at `/`: what an operator wants to see on one screen.
//!
//! It is rendered here in full, and needs nothing but itself. A script of its own, where one may
//! run, takes over what changed; without it the page is loaded anew every few seconds. Nothing is
//! ever fetched from elsewhere, and the policy that is sent along forbids it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use jiff::Timestamp;
use key_migration::ids::Service;
use key_migration::ports::Clock as _;
use key_migration::progress::{RowTrouble, ServiceProgress};
use key_migration::reasons::{RowReason, ServiceState};
use key_migration::verdict::Verdict;

use super::snapshot::{Snapshot, View};
use crate::clock::SecondsClock;

/// The most places that are shown one by one: those where most is left.
const MOST_HOSTS: usize = 12;

/// What a browser may do with anything that is served here.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The page and what it is made of.
pub(super) fn router() -> Router<Arc<View>> {
    let file = |kind: &'static str, text: &'static str| {
        get(move || std::future::ready(([(CONTENT_TYPE, kind)], text).into_response()))
    };
    let style = include_str!("../../templates/page.css");
    let script = include_str!("../../templates/page.js");
    let icon = include_str!("../../templates/page.svg");
    Router::new()
        .route("/", get(page))
        .route("/page.css", file("text/css; charset=utf-8", style))
        .route("/page.js", file("text/javascript; charset=utf-8", script))
        .route("/page.svg", file("image/svg+xml", icon))
}

async fn page(State(view): State<Arc<View>>) -> Html<String> {
    Html(Page::of(&view, SecondsClock.now()).render_all())
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    as_of: Timestamp,
    snapshot: Snapshot,
    /// What is wrong with the loops themselves.
    troubles: Vec<String>,
    rows: Vec<Rows>,
    /// By reason, of all services.
    since_start: BTreeMap<&'static str, u64>,
}

/// Rows that are in trouble for the same reason.
struct Rows {
    service: Service,
    reason: RowReason,
    failed: bool,
    count: u64,
    last: RowTrouble,
}

impl Page {
    fn of(view: &View, as_of: Timestamp) -> Self {
        let snapshot = view.snapshot();
        let mut rows: Vec<_> = snapshot.services.iter().flat_map(rows_by_reason).collect();
        rows.sort_by_key(|rows| (!rows.failed, std::cmp::Reverse(rows.count)));
        let mut since_start = BTreeMap::new();
        for totals in snapshot.services.iter().map(|one| &one.totals) {
            let rows = totals.row_failures.iter().map(|(it, n)| (it.as_str(), n));
            let faults = totals.faults.iter().map(|(it, n)| (it.as_str(), n));
            for (reason, times) in rows.chain(faults).filter(|(_, times)| **times > 0) {
                *since_start.entry(reason).or_default() += times;
            }
        }
        Self {
            as_of,
            troubles: view.troubles(),
            rows,
            since_start,
            snapshot,
        }
    }

    fn render_all(&self) -> String {
        self.render().expect("writing to a string cannot fail")
    }

    /// States first: that is what is left of a title in a row of tabs.
    fn title(&self) -> String {
        let services = self.snapshot.services.iter();
        let states: Vec<_> = services.map(|one| one.state.as_str()).collect();
        format!("{} – keys of {}", states.join(", "), self.snapshot.host)
    }

    /// What a screen reader is told when it changes: states, and no number.
    fn summary(&self) -> String {
        let services = self.snapshot.services.iter();
        let states = services.map(|one| {
            let code = one.reason.as_ref().map(|it| format!(", {}", it.code));
            let code = code.unwrap_or_default();
            format!("{} service: {}{code}. ", one.service, one.state.as_str())
        });
        let verdict = self.snapshot.fixed_key.verdict.as_str();
        states.collect::<String>() + &format!("May the fixed key go: {verdict}.")
    }
}

fn rows_by_reason(progress: &ServiceProgress) -> Vec<Rows> {
    let mut groups: BTreeMap<_, Rows> = BTreeMap::new();
    for trouble in progress.troubles.iter() {
        let group = groups.entry((trouble.failed, trouble.reason));
        let group = group.or_insert_with(|| Rows {
            service: progress.service,
            reason: trouble.reason,
            failed: trouble.failed,
            count: 0,
            last: trouble.clone(),
        });
        group.count += 1;
        if trouble.since > group.last.since {
            group.last = trouble.clone();
        }
    }
    groups.into_values().collect()
}

/// How the template shows what it is given.
#[expect(unreachable_pub, reason = "askama makes its filters public")]
mod filters {
    use super::*;

    type Shown<T> = askama::Result<T>;

    #[askama::filter_fn]
    pub(super) fn moment(at: &Timestamp, _: &dyn askama::Values) -> Shown<String> {
        Ok(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }

    /// With its thousands apart.
    #[askama::filter_fn]
    pub(super) fn count(number: &u64, _: &dyn askama::Values) -> Shown<String> {
        let digits = number.to_string();
        let mut shown = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                shown.push(',');
            }
            shown.push(digit);
        }
        Ok(shown)
    }

    #[askama::filter_fn]
    pub(super) fn rate(rate: &f64, _: &dyn askama::Values) -> Shown<String> {
        Ok(format!("{rate:.1}"))
    }

    /// The two largest units of a time.
    #[askama::filter_fn]
    pub(super) fn span(seconds: &u64, _: &dyn askama::Values) -> Shown<String> {
        let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
        let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
        Ok(match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds} s"),
            (0, 0, _) => format!("{minutes} min {seconds} s"),
            (0, _, _) => format!("{hours} h {minutes} min"),
            _ => format!("{days} d {hours} h"),
        })
    }

    #[askama::filter_fn]
    pub(super) fn looked_at(one: &ServiceProgress, _: &dyn askama::Values) -> Shown<bool> {
        Ok(one.pass.number > 0)
    }

    /// A message cut at its backticks, and of every piece whether it stands between two.
    #[askama::filter_fn]
    pub(super) fn pieces(message: &str, _: &dyn askama::Values) -> Shown<Vec<(bool, String)>> {
        let pieces = message.split('`').enumerate();
        Ok(pieces
            .map(|(at, piece)| (at % 2 == 1, piece.to_owned()))
            .collect())
    }

    /// As the length of the bar; one of length nothing would be indeterminate.
    #[askama::filter_fn]
    pub(super) fn all_keys(one: &ServiceProgress, _: &dyn askama::Values) -> Shown<u64> {
        Ok((one.keys.migrated + one.keys.remaining).max(1))
    }

    #[askama::filter_fn]
    pub(super) fn meaning(one: &ServiceProgress, _: &dyn askama::Values) -> Shown<&'static str> {
        Ok(match one.state {
            ServiceState::Starting => "No look at all rows of this host has ended yet.",
            ServiceState::Disabled if one.reason.is_none() => {
                "No row of its kind belongs to this host."
            }
            ServiceState::Disabled => "This host does not migrate.",
            ServiceState::Idle => "Nothing is left on this host; something is elsewhere.",
            ServiceState::Migrating => "Rows of this host are given secrets of their own.",
            ServiceState::Blocked => "Something hits every key; it is tried again by itself.",
            ServiceState::Paused => "The configuration says so ([key_migrator] paused).",
            ServiceState::Complete => "No row is left on any host.",
        })
    }

    #[askama::filter_fn]
    pub(super) fn verdict_meaning(
        verdict: &Verdict,
        _: &dyn askama::Values,
    ) -> Shown<&'static str> {
        Ok(match verdict {
            Verdict::Yes => {
                "It may leave the configuration files. Keep it offline; never destroy it."
            }
            Verdict::No => "Something still needs it.",
            Verdict::Unknown => "Not everything was looked at.",
        })
    }
}

//! What `fixed-key audit` prints on standard output: a line for each item, then the answer and what
//! to type next.

use std::fmt::Write as _;

use jiff::Timestamp;
use key_migration::verdict::{EvidenceBook, FixedKeyVerdict, Item, Verdict};
use serde::Serialize;

use super::super::super::output::{print as print_line, print_json};
use crate::cli::Format;

const MAY_GO: &str = "\
Yes: the fixed key may leave the configuration files of every node. Do not destroy it: keep it \
offline, for as long as any backup, dump or copy of the database from before may ever be read. The \
role with which Cinder's user stores secrets must stay: Cinder deletes a migrated volume's secret \
with it.";

/// The answer, in this format.
pub(super) fn print(verdict: &FixedKeyVerdict, book: &EvidenceBook, format: Format) {
    let items: Vec<Line> = Item::ALL
        .into_iter()
        .map(|item| Line::of(item, verdict, book))
        .collect();
    match format {
        Format::Json => print_json(&Report {
            verdict: verdict.verdict,
            evaluated_at: verdict.evaluated_at,
            message: conclusion(verdict),
            items,
        }),
        Format::Table => {
            for line in &items {
                let (state, item) = (line.state, line.item.as_str());
                print_line(&format!("{state:<9} {item:<22} {}", line.message));
            }
            print_line(&format!("\n{}", conclusion(verdict)));
        }
    }
}

#[derive(Serialize)]
struct Report {
    verdict: Verdict,
    evaluated_at: Option<Timestamp>,
    message: String,
    items: Vec<Line>,
}

/// One item.
#[derive(Serialize)]
struct Line {
    item: Item,
    /// `clear`, `blocking`, `unknown` or `attested`
    state: &'static str,
    /// How many stand in the way.
    count: Option<u64>,
    message: String,
    looked_at: Option<Timestamp>,
    attested_by: Option<String>,
    attested_at: Option<Timestamp>,
}

impl Line {
    fn of(item: Item, verdict: &FixedKeyVerdict, book: &EvidenceBook) -> Self {
        let seen = book.seen.get(&item);
        let mut line = Self {
            item,
            state: "clear",
            count: None,
            message: seen.map_or_else(|| "none left, on all hosts".into(), |it| it.message.clone()),
            looked_at: seen.map(|seen| seen.looked_at).or_else(|| {
                let is_counted = !item.may_be_attested() && item != Item::Payloads;
                verdict.evaluated_at.filter(|_| is_counted)
            }),
            attested_by: None,
            attested_at: None,
        };
        if let Some(blocker) = verdict.blockers.iter().find(|it| it.item == item) {
            line.state = match blocker.is_found() {
                true => "blocking",
                false => "unknown",
            };
            line.count = blocker.count;
            line.message.clone_from(&blocker.message);
        } else if let Some(attested) = verdict.attested.iter().find(|it| it.item == item) {
            let (by, at) = (&attested.attestation.by, attested.attestation.at);
            line.state = "attested";
            line.message = format!("{} ({by}, {at})", attested.statement);
            line.attested_by = Some(by.clone());
            line.attested_at = Some(at);
        }
        line
    }
}

fn conclusion(verdict: &FixedKeyVerdict) -> String {
    let found = verdict.blockers.iter().filter(|it| it.is_found()).count();
    let unknown = verdict.blockers.len() - found;
    let mut text = match verdict.verdict {
        Verdict::Yes => return MAY_GO.to_owned(),
        Verdict::No => format!(
            "No: the fixed key must stay. {found} of the items above still need it, and {unknown} \
             are unknown."
        ),
        Verdict::Unknown => format!(
            "Unknown: the fixed key must stay until {unknown} of the items above are known."
        ),
    };
    let is_open = |item: &Item| verdict.blockers.iter().any(|it| it.item == *item);
    let for_people: Vec<_> = Item::ALL
        .into_iter()
        .filter(|item| item.is_for_people_only() && is_open(item))
        .map(|item| format!("--attest {}", item.as_str()))
        .collect();
    let mut next = |what: &str| _ = write!(text, "\n{what}");
    if is_open(&Item::Payloads) {
        next("Next, type: cinder-key-migrator verify --all-hosts");
    }
    if is_open(&Item::Configuration) {
        next("Next, type: cinder-key-migrator fixed-key audit --config-tree DIR");
    }
    if is_open(&Item::EphemeralDisks) {
        next("Next, type: cinder-key-migrator fixed-key audit --nova-config-file FILE");
    }
    if !for_people.is_empty() {
        next(&format!(
            "Once it is so, type: cinder-key-migrator fixed-key audit {}",
            for_people.join(" ")
        ));
    }
    text
}

//! What came of looking so far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::{Code, Finding};
use super::judgement::Origin;
use super::mending::is_mendable;

/// Findings that are kept; further ones are only counted.
pub const MOST_FINDINGS: usize = 10_000;

/// Rows by what they turned out to be, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows that were looked at.
    pub examined: u64,
    /// Of these, rows that this program migrated, and that are as they should be.
    pub migrated_here: u64,
    /// Of these, rows that Cinder's own migrator migrated, and that are as they should be.
    pub migrated_upstream: u64,
    /// Of these, rows with keys of their owners.
    pub not_migrated: u64,
    /// Of these, rows that were deleted, or got another key, while they were looked at.
    pub changed: u64,
    /// Of these, rows with findings.
    pub wrong: u64,
    /// Of the rows with findings, those with an ACL that could be completed, and nothing else.
    #[serde(default)]
    pub mendable: u64,
    /// Of the rows that are as they should be, those whose ACL was completed now.
    #[serde(default)]
    pub mended: u64,
    /// Findings, by what is wrong.
    pub by_code: BTreeMap<Code, u64>,
    /// The findings, at most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
}

/// What a row turned out to be.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was looked at.
    Examined(Origin, Vec<Finding>),
    /// Its ACL was completed, and then all was right.
    Mended(Origin),
    /// It is not what it was.
    Changed,
}

impl Tally {
    /// Rows that are as they should be.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.migrated_here + self.migrated_upstream
    }

    /// How many findings there are, kept or not.
    #[must_use]
    pub fn findings_total(&self) -> u64 {
        self.by_code.values().sum()
    }

    /// How many of each, as in `missing 2, wrong_key 1`.
    #[must_use]
    pub fn codes(&self) -> String {
        let codes = self.by_code.iter();
        let codes: Vec<String> = codes
            .map(|(code, count)| format!("{} {count}", code.as_str()))
            .collect();
        codes.join(", ")
    }

    /// Adds what came of a row.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.examined += 1;
        let (origin, findings) = match outcome {
            Outcome::Examined(origin, findings) => (origin, findings),
            Outcome::Mended(origin) => {
                self.mended += 1;
                (origin, Vec::new())
            }
            Outcome::Changed => {
                self.changed += 1;
                return;
            }
        };
        let count = match origin {
            // What is wrong has to be put right, whoever's work it is.
            _ if !findings.is_empty() => &mut self.wrong,
            Origin::Ours => &mut self.migrated_here,
            Origin::Upstream => &mut self.migrated_upstream,
            Origin::NotMigrated => &mut self.not_migrated,
        };
        *count += 1;
        self.mendable += u64::from(is_mendable(&findings));
        for finding in findings {
            *self.by_code.entry(finding.code).or_default() += 1;
            if self.findings.len() < MOST_FINDINGS {
                self.findings.push(finding);
            }
        }
    }
}

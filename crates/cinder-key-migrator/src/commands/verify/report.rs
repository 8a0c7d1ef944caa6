//! What the command found, for people and for programs.

use std::path::Path;

use jiff::Timestamp;
use key_audit::verify::{Finding, Tally};
use key_migration::ports::Clock as _;
use key_migration::reasons::{Fault, Reason};
use serde::Serialize;

use super::super::output::{print, print_json, table};
use crate::cli::{Format, IncompleteAcls};
use crate::clock::SystemClock;

/// The report; its JSON is described in the command's help.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    scope: String,
    started_at: Timestamp,
    finished_at: Timestamp,
    /// Whether an earlier run was continued.
    resumed: bool,
    /// Whether all rows of the scope were looked at.
    complete: bool,
    sample: Option<Sample>,
    #[serde(skip)]
    incomplete_acls: IncompleteAcls,
    pub(super) rows: Counts,
    findings_total: u64,
    findings: Vec<Finding>,
}

/// How much of all was looked at.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) size: u64,
    pub(super) of: u64,
}

/// Rows by what they turned out to be.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    examined: u64,
    verified: u64,
    migrated_here: u64,
    migrated_upstream: u64,
    not_migrated: u64,
    changed: u64,
    pub(super) wrong: u64,
    mendable: u64,
    mended: u64,
}

impl Report {
    /// The report of a run that has just ended.
    pub(super) fn new(scope: &str, started_at: Timestamp, tally: Tally) -> Self {
        Self {
            scope: scope.to_owned(),
            started_at,
            finished_at: SystemClock.now(),
            resumed: false,
            complete: true,
            sample: None,
            incomplete_acls: IncompleteAcls::Told,
            rows: Counts {
                examined: tally.examined,
                verified: tally.verified(),
                migrated_here: tally.migrated_here,
                migrated_upstream: tally.migrated_upstream,
                not_migrated: tally.not_migrated,
                changed: tally.changed,
                wrong: tally.wrong,
                mendable: tally.mendable,
                mended: tally.mended,
            },
            findings_total: tally.findings_total(),
            findings: tally.findings,
        }
    }

    pub(super) fn resumed(self, resumed: bool) -> Self {
        Self { resumed, ..self }
    }

    pub(super) fn of_sample(self, sample: Sample) -> Self {
        Self {
            complete: sample.size == sample.of,
            sample: Some(sample),
            ..self
        }
    }

    pub(super) fn with_acls(self, incomplete_acls: IncompleteAcls) -> Self {
        Self {
            incomplete_acls,
            ..self
        }
    }

    /// Writes it to a file, as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), Fault> {
        let mut text = serde_json::to_string_pretty(self).expect("it always becomes JSON");
        text.push('\n');
        std::fs::write(path, text).map_err(|error| {
            let message = format!("cannot write the report to {}: {error}", path.display());
            Fault::new(
                Reason::Configuration,
                message,
                "name a file that can be written",
            )
        })
    }

    /// Prints it.
    pub(super) fn print(&self, format: Format) {
        match format {
            Format::Json => print_json(self),
            Format::Table => self.print_table(),
        }
    }

    fn print_table(&self) {
        if !self.findings.is_empty() {
            let mut table = table(["row", "secret", "code", "what is wrong, and what helps"]);
            for finding in &self.findings {
                let kind = finding.resource.as_deref().unwrap_or("?");
                table.add_row([
                    format!("{kind} {}", finding.resource_id),
                    finding.secret_id.clone().unwrap_or_else(|| "-".to_owned()),
                    finding.code.as_str().to_owned(),
                    format!("{}\nRemedy: {}", finding.message, finding.remedy),
                ]);
            }
            print(&table.to_string());
        }
        let listed = self.findings.len() as u64;
        if listed < self.findings_total {
            print(&format!(
                "{listed} of {} findings are listed.",
                self.findings_total
            ));
        }
        print(&self.summary());
    }

    fn summary(&self) -> String {
        let Counts {
            examined,
            verified,
            migrated_here,
            migrated_upstream,
            not_migrated,
            changed,
            wrong,
            ..
        } = self.rows;
        let mut text = match self.sample {
            None => format!("{examined} row(s) of {} looked at", self.scope),
            Some(Sample { of, .. }) => format!(
                "A sample of {examined} row(s), of the {of} of {} that hold a key, looked at",
                self.scope
            ),
        };
        text.push_str(&format!(
            ": {wrong} wrong, {verified} verified ({migrated_here} migrated by this program, \
             {migrated_upstream} by Cinder's own), {not_migrated} with a key of their owner"
        ));
        if changed > 0 {
            text.push_str(&format!(", {changed} changed meanwhile"));
        }
        text.push('.');
        text.push_str(&self.about_acls());
        if self.sample.is_some() {
            text.push_str(" A sample is no evidence for the removal of fixed_key.");
        }
        text
    }

    /// What was done about ACLs that lack somebody, or could be.
    fn about_acls(&self) -> String {
        let Counts {
            mendable, mended, ..
        } = self.rows;
        match self.incomplete_acls {
            IncompleteAcls::Mended => {
                format!(" {mended} of the verified had an ACL that was completed now.")
            }
            IncompleteAcls::WouldBeMended => format!(
                " Nothing was changed: --execute would complete the ACL of {mendable} of the wrong \
                 ones, which is all that is wrong with them."
            ),
            IncompleteAcls::Told if mendable > 0 => format!(
                " {mendable} of the wrong ones lack only readers: --mend-acl is about these."
            ),
            IncompleteAcls::Told => String::new(),
        }
    }
}

//! `check` on real services: each line failing and mended, with what to type and the exit code, and
//! nothing changed by it.

mod barbican;
mod configuration;
mod credentials;
mod database;
mod ledger;
mod stage;
mod tls;
mod unchanged;

use anyhow::{Context, Result};
use serde_json::Value;

use key_migrator_tests::program::Ended;

/// How a check ended, as its number in JSON.
const SUCCESS: u64 = 0;
const WARNING: u64 = 1;
const FAILURE: u64 = 2;

/// What `check` said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Said {
    fn read(ended: &Ended) -> Result<Self> {
        let text = ended.lines.join("\n");
        let start = text.find('{').with_context(|| format!("no JSON: {text}"))?;
        let report: Value = serde_json::from_str(&text[start..]).context(text.clone())?;
        anyhow::ensure!(report["name"] == "Key Migration Check Results", "{text}");
        Ok(Self {
            code: ended.code(),
            checks: report["checks"].as_array().context("checks")?.clone(),
        })
    }

    fn line(&self, check: &str) -> &Value {
        let found = self.checks.iter().find(|line| line["check"] == check);
        found.unwrap_or_else(|| panic!("no line {check}: {:#?}", self.checks))
    }

    fn details(&self, check: &str) -> &str {
        self.line(check)["details"].as_str().unwrap_or_default()
    }

    fn remedy(&self, check: &str) -> &str {
        self.line(check)["remedy"].as_str().unwrap_or_default()
    }

    /// Nothing is to be said of anything.
    #[track_caller]
    fn is_all_success(&self) {
        let other = self.checks.iter().filter(|line| line["result"] != SUCCESS);
        let other: Vec<_> = other.collect();
        assert!(other.is_empty(), "{other:#?}");
        assert_eq!(self.code, Some(0));
    }

    /// Of all checks this one alone found something, with these words in its details and remedy;
    /// others may say that they need it.
    #[track_caller]
    fn finds(&self, check: &str, level: u64, details: &str, remedy: &str) {
        let line = self.line(check);
        assert_eq!(line["result"], level, "{:#?}", self.checks);
        assert!(self.details(check).contains(details), "{details}: {line:#}");
        assert!(self.remedy(check).contains(remedy), "{remedy}: {line:#}");
        for other in self.checks.iter().filter(|line| line["check"] != check) {
            let text = other["details"].as_str().unwrap_or_default();
            let waits = other["result"] == WARNING && text.starts_with("Not looked at: it needs");
            assert!(
                other["result"] == SUCCESS || waits,
                "beside {check}: {other:#}"
            );
            assert_eq!(other["result"] == SUCCESS, other["remedy"].is_null());
        }
        assert_eq!(self.code, i32::try_from(level).ok(), "{:#?}", self.checks);
    }

    #[track_caller]
    fn fails(&self, check: &str, details: &str, remedy: &str) {
        self.finds(check, FAILURE, details, remedy);
    }

    #[track_caller]
    fn warns(&self, check: &str, details: &str, remedy: &str) {
        self.finds(check, WARNING, details, remedy);
    }
}

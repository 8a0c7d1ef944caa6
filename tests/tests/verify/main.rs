//! `verify` on real services: what it must catch, what it must let pass, and how it goes on.

mod bad_input;
mod evidence;
mod findings;
mod long;
mod mending;
mod resuming;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{CinderConf, Cloud, Scene, Volume, said};
use serde_json::Value;
use uuid::Uuid;

/// What `verify` said.
struct Said {
    code: Option<i32>,
    report: Value,
    log: Vec<String>,
}

/// Runs `verify` with these arguments, and reads its JSON.
async fn verify<C: Cloud>(scene: &Scene<C>, arguments: &[&str]) -> Result<Said> {
    verify_as(scene, &scene.conf, arguments).await
}

/// The same, with another configuration.
async fn verify_as<C: Cloud>(
    scene: &Scene<C>,
    conf: &CinderConf,
    arguments: &[&str],
) -> Result<Said> {
    let arguments = [&["verify", "-f", "json"], arguments].concat();
    let said = scene.types_with(conf, &arguments).await?;
    Said::read(&said)
}

impl Said {
    fn read(said: &said::Said) -> Result<Self> {
        Ok(Self {
            code: said.code(),
            report: said.json()?,
            log: said.log(),
        })
    }

    /// What was found, row by row.
    fn codes(&self) -> BTreeMap<String, Vec<String>> {
        let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for finding in self.report["findings"].as_array().into_iter().flatten() {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            assert_ne!(text("message"), "", "{finding}");
            assert_ne!(text("remedy"), "", "{finding}");
            codes
                .entry(text("resource_id"))
                .or_default()
                .push(text("code"));
        }
        codes
    }

    fn count(&self, what: &str) -> u64 {
        self.report["rows"][what].as_u64().unwrap_or(u64::MAX)
    }

    /// Nothing is wrong, and so many rows are verified.
    fn assert_right(&self, verified: u64) {
        assert_eq!(self.code, Some(0), "{:#?} {:#?}", self.report, self.log);
        assert_eq!(self.report["findings_total"], 0);
        assert_eq!(self.count("wrong"), 0);
        assert_eq!(self.count("verified"), verified, "{:#}", self.report);
    }

    /// Exactly this is wrong.
    fn assert_wrong(&self, expected: &[(Uuid, &[&str])]) {
        assert_eq!(self.code, Some(1), "{:#?} {:#?}", self.report, self.log);
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(row, codes)| {
                let codes = codes.iter().map(|code| (*code).to_owned());
                (row.to_string(), codes.collect())
            })
            .collect();
        assert_eq!(self.codes(), expected, "{:#}", self.report);
        assert_eq!(self.count("wrong"), expected.len() as u64);
    }
}

/// Where a full verification is kept for the verdict.
fn evidence<C: Cloud>(scene: &Scene<C>) -> PathBuf {
    let folder = scene.folder.path();
    folder.join("key-migrator/evidence/payloads.json")
}

fn name_of(volume: &Volume) -> Option<String> {
    Some(format!("cinder-key-migrator:v1:volume:{}", volume.id))
}

fn fixed_key() -> Vec<u8> {
    hex::decode(FIXED_KEY).expect("digits")
}

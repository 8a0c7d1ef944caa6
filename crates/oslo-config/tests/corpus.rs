//! What oslo.config 10.7.0 made of many configurations, and that this crate makes the same.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod case;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use case::{Case, outcome};

/// A case, and the line that this crate reports where oslo.config reports a later one.
#[derive(Deserialize)]
struct Recorded {
    #[serde(flatten)]
    case: Case,
    our_line: Option<usize>,
}

#[test]
fn every_case_of_the_corpus_comes_out_as_oslo_config_has_it() {
    let cases: Vec<Recorded> = serde_json::from_str(include_str!("corpus/cases.json")).unwrap();
    let expected: BTreeMap<String, Json> =
        serde_json::from_str(include_str!("corpus/expected.json")).unwrap();
    assert_eq!(cases.len(), expected.len());
    let differing: Vec<String> = cases
        .iter()
        .filter_map(|Recorded { case, our_line }| {
            let mut wanted = expected[&case.name].clone();
            if let Some(line) = our_line {
                wanted["syntax"] = json!(line);
            }
            let outcome = outcome(case);
            (outcome != wanted)
                .then(|| format!("{}\n  expected {wanted}\n  got      {outcome}", case.name))
        })
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

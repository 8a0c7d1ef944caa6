//! Holds docs/metrics.md and docs/runbook.md against the code: an item that is missing there, or one
//! too many, fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use key_migration::reasons::{Reason, RowReason};

use super::tests::process;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands in backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The rows of the table with this heading, cell by cell.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = page.lines().skip_while(|line| !line.starts_with(heading));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// A metric's type and the names of its labels.
type Described = (String, BTreeSet<String>);

/// Of each metric, by the name that queries know it by; and the values that each label takes.
fn served(
    text: &str,
) -> (
    BTreeMap<String, Described>,
    BTreeMap<String, BTreeSet<String>>,
) {
    let mut metrics = BTreeMap::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').expect("a name and a type");
            current = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            metrics.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            let labels = labels.map_or("", |(labels, _)| labels).split(',');
            for label in labels.filter(|label| !label.is_empty() && !label.starts_with("le=")) {
                let (label, value) = label.split_once('=').expect("a label and a value");
                let of_metric = metrics.get_mut(&current).expect("its type comes first");
                of_metric.1.insert(label.to_owned());
                let value = value.trim_matches('"').to_owned();
                let of = match label {
                    "reason" if current.ends_with("_blocked") => "reason of blocked",
                    "reason" => "reason of key_failures_total",
                    other => other,
                };
                values.entry(of.to_owned()).or_default().insert(value);
            }
        }
    }
    (metrics, values)
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_unit_labels_and_meaning() {
    let (_, text) = process().get("/metrics").await;
    let (metrics, _) = served(&text);
    let mut documented = BTreeMap::new();
    for row in table(&file("docs/metrics.md"), "| metric |") {
        let [name, kind, unit, labels, meaning] = &row[..] else {
            panic!("{row:?}");
        };
        assert!(kind == "info" || !unit.is_empty(), "{name} has no unit");
        assert!(!meaning.is_empty(), "{name} has no meaning");
        let name = name.trim_matches('`').to_owned();
        let twice = documented.insert(name, (kind.clone(), quoted(labels)));
        assert!(twice.is_none(), "{row:?} is there twice");
    }
    assert_eq!(documented, metrics);
}

#[tokio::test]
async fn every_value_of_a_label_is_documented() {
    let (_, text) = process().get("/metrics").await;
    let (_, mut values) = served(&text);
    // It is what runs.
    values.remove("version");
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table(&file("docs/metrics.md"), "| label |") {
        let [label, listed] = &row[..] else {
            panic!("{row:?}");
        };
        let listed = listed.split(';').next().expect("there is always one");
        let mut listed = quoted(listed);
        if label.contains("key_failures_total") {
            listed.extend(documented["reason of blocked"].clone());
        }
        documented.insert(label.replace('`', ""), listed);
    }
    assert_eq!(documented, values);
}

#[test]
fn every_alert_and_every_reason_has_its_entry_in_the_runbook() {
    let rules = file("deploy/prometheus/cinder-key-migrator.rules");
    let alerts = rules.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("- alert: ")?;
        Some(name.to_owned())
    });
    let alerts: BTreeSet<_> = alerts.collect();
    assert!(!alerts.is_empty());
    let runbook = file("docs/runbook.md");
    let below = |heading: &str| -> BTreeSet<String> {
        let lines = runbook.lines().skip_while(|line| *line != heading).skip(1);
        let lines = lines.take_while(|line| !line.starts_with("## "));
        let entries = lines.filter_map(|line| line.strip_prefix("### "));
        entries.map(str::to_owned).collect()
    };
    assert_eq!(below("## Alerts"), alerts);
    let reasons = Reason::ALL.map(|reason| reason.as_str().to_owned());
    assert_eq!(below("## Reasons of a whole service"), reasons.into());
    let reasons = RowReason::ALL.map(|reason| reason.as_str().to_owned());
    assert_eq!(below("## Reasons of a single row"), reasons.into());
}

#[test]
fn the_prometheus_operator_is_given_the_same_rules() {
    let rules = file("deploy/prometheus/cinder-key-migrator.rules");
    let groups = rules.lines().skip_while(|line| *line != "groups:");
    let indented = groups.map(|line| match line {
        "" => String::new(),
        line => format!("  {line}"),
    });
    let resource = file("deploy/prometheus/prometheusrule.yaml");
    let spec = resource.lines().skip_while(|line| *line != "spec:");
    let spec: Vec<_> = spec.skip(1).collect();
    assert!(!spec.is_empty());
    assert_eq!(spec, indented.collect::<Vec<_>>());
}

#[test]
fn every_alert_leads_to_an_entry_of_the_runbook() {
    let rules = file("deploy/prometheus/cinder-key-migrator.rules");
    let runbook = file("docs/runbook.md").to_lowercase();
    let alerts = rules.split("- alert: ").skip(1);
    for alert in alerts {
        let name = alert.lines().next().expect("its name");
        let url = alert
            .lines()
            .find(|line| line.trim().starts_with("runbook_url: "));
        let url = url.unwrap_or_else(|| panic!("{name} has no runbook_url"));
        let (page, anchor) = url
            .trim_end_matches('\'')
            .split_once('#')
            .expect("an anchor");
        assert!(page.ends_with("/docs/runbook.md"), "{url}");
        // A reason is filled in by Prometheus; that each has an entry is tested above.
        if anchor != "{{ $labels.reason }}" {
            assert_eq!(anchor, name.to_lowercase());
            assert!(runbook.contains(&format!("### {anchor}\n")), "{url}");
        }
    }
}

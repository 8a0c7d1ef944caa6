//! `use_json`: what oslo.log's own formatter writes is the measure.

use anyhow::{Context, Result};
use key_migrator_tests::Services;
use serde_json::{Map, Value};

use crate::run::eventful;

/// Facts of Python's, for which an event has no counterpart; oslo.log may have null there.
const UNKNOWN: [&str; 1] = ["thread"];
/// What belongs to the process and the source that speak, not to what is said.
const OWN: [&str; 8] = [
    "thread",
    "thread_name",
    "process_name",
    "relative_created",
    "pathname",
    "filename",
    "module",
    "funcname",
];

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The same names, with values of the same type.
#[track_caller]
fn assert_alike(ours: &Map<String, Value>, oslos: &Map<String, Value>, line: &str) {
    let names = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(oslos), "{line}");
    for (name, value) in ours
        .iter()
        .filter(|(name, _)| !UNKNOWN.contains(&name.as_str()))
    {
        assert_eq!(kind(value), kind(&oslos[name]), "{name}: {line}");
    }
}

#[tokio::test]
async fn every_line_is_what_oslo_log_writes_of_the_same_record_as_json() -> Result<()> {
    let log = eventful(|conf| {
        conf.set("DEFAULT", "use_json", "true")
            .set("DEFAULT", "debug", "true")
    })
    .await?;
    let python = Services::from_env().python();
    let oslos = python
        .run("oslo_log_json.py", &log.lines.join("\n"))
        .await?;
    let oslos: Vec<&str> = oslos.lines().collect();
    assert_eq!(oslos.len(), log.lines.len());
    let object = |line: &str| serde_json::from_str::<Map<String, Value>>(line);
    let mut of_requests = 0;
    for (line, oslos) in log.lines.iter().zip(oslos) {
        let ours = object(line).with_context(|| line.clone())?;
        let oslos = object(oslos)?;
        assert_alike(&ours, &oslos, line);
        for part in ["context", "extra"] {
            let (ours, oslos) = (ours[part].as_object(), oslos[part].as_object());
            let (ours, oslos) = (ours.context("an object")?, oslos.context("an object")?);
            if part == "context" {
                assert_eq!(ours, oslos, "{line}");
                of_requests += usize::from(!ours.is_empty());
            } else {
                // Its adapter's own, and the further fields.
                assert!(oslos.keys().all(|name| ours.contains_key(name)), "{line}");
            }
        }
        for (name, value) in &ours {
            if !OWN.contains(&name.as_str()) && name != "extra" {
                assert_eq!(value, &oslos[name], "{name}: {line}");
            }
        }
        assert_eq!(ours["process"], log.pid);
    }
    assert!(of_requests > 5 && of_requests < log.lines.len());
    Ok(())
}

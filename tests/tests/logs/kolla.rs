//! kolla-ansible's central logging, by its own regular expressions in a real Ruby.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::log::LogLine;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::run::{FILE, Log, eventful};

const ADDED: &str = "../deploy/kolla/fluentd/00-retag-cinder-key-migrator.conf";
/// What kolla tags as OpenStack's.
const OPENSTACK: &str = "openstack_python";
/// What fluentd would forward.
#[derive(Debug, Deserialize)]
struct Forwarded {
    tag: Option<String>,
    /// `None` for lines that no expression matches.
    records: Vec<Option<Map<String, Value>>>,
}

/// What kolla's fluentd makes of a file of this name in `/var/log/kolla/cinder`.
async fn forwarded(name: &str, added: Option<&str>, lines: &[String]) -> Result<Forwarded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut ruby = Command::new("ruby")
        .arg(folder.join("ruby/kolla_fluentd.rb"))
        .arg(format!("/var/log/kolla/cinder/{name}"))
        .args(added.map(|file| folder.join(file)))
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting ruby")?;
    let mut stdin = ruby.stdin.take().context("a standard input")?;
    let text = lines.join("\n");
    let write = async move { stdin.write_all(text.as_bytes()).await };
    let (written, output) = tokio::join!(write, ruby.wait_with_output());
    written?;
    let output = output?;
    ensure!(output.status.success(), "ruby: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn field<'r>(record: &'r Map<String, Value>, name: &str) -> &'r str {
    record.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Every line is a record of its own, with the fields that it shows.
#[track_caller]
fn assert_is(record: &Map<String, Value>, line: &str, pid: u32) {
    let shown = LogLine::parse(line).unwrap_or_else(|| panic!("not of oslo.log: {line}"));
    let timestamp = field(record, "Timestamp");
    assert!(line.starts_with(&format!("{timestamp} ")), "{line}");
    let time = format!("{}Z", timestamp.replacen(' ', "T", 1));
    let time: jiff::Timestamp = time.parse().expect("a time");
    let seconds = record["time"].as_f64().expect("a time");
    assert!(
        (time.as_duration().as_secs_f64() - seconds).abs() < 0.001,
        "{line}"
    );
    assert_eq!(field(record, "Pid"), pid.to_string(), "{line}");
    assert_eq!(field(record, "log_level"), shown.level, "{line}");
    assert_eq!(field(record, "python_module"), shown.logger, "{line}");
    let request_id = field(record, "request_id");
    let payload = if shown.context == "-" {
        assert_eq!(request_id, "", "{line}");
        format!("[-] {}", shown.message)
    } else {
        let context = format!("None req-{request_id} - - - - - -");
        assert_eq!(shown.context, context, "{line}");
        for nobody in [
            "user_id",
            "tenant_id",
            "domain_id",
            "user_domain",
            "project_domain",
        ] {
            assert_eq!(field(record, nobody), "-", "{line}");
        }
        format!(" {}", shown.message)
    };
    assert_eq!(field(record, "Payload"), payload, "{line}");
}

async fn every_line_is_a_record(log: &Log) -> Result<()> {
    let found = forwarded(FILE, Some(ADDED), &log.lines).await?;
    assert_eq!(found.tag.as_deref(), Some(OPENSTACK));
    for (line, record) in log.lines.iter().zip(&found.records) {
        let record = record
            .as_ref()
            .with_context(|| format!("no record: {line}"))?;
        assert_is(record, line, log.pid);
    }
    assert_eq!(found.records.len(), log.lines.len());
    Ok(())
}

/// Something of each kind was said.
fn assert_eventful(log: &Log, levels: &[&str]) {
    let parsed: Vec<_> = log
        .lines
        .iter()
        .filter_map(|line| LogLine::parse(line))
        .collect();
    for level in levels {
        assert!(parsed.iter().any(|line| line.level == *level), "no {level}");
    }
    for words in [
        "Error migrating encryption key: Forbidden: ",
        "cinder\\nof the region",
        "Migrating volume ",
        "Migrating Backup ",
        "(transitional)",
        "user_id is NULL",
        "the one from before stays in use",
    ] {
        let said = |line: &LogLine| line.message.contains(words);
        assert!(parsed.iter().any(said), "no `{words}`: {:#?}", log.lines);
    }
    let of_requests = parsed.iter().filter(|line| line.context != "-").count();
    assert!(
        of_requests > 5 && of_requests < parsed.len(),
        "{:#?}",
        log.lines
    );
}

#[tokio::test]
async fn kollas_expressions_take_every_line_of_a_run_for_a_record_with_its_fields() -> Result<()> {
    let log = eventful(|conf| conf).await?;
    assert_eventful(&log, &["ERROR", "WARNING", "INFO"]);
    every_line_is_a_record(&log).await
}

#[tokio::test]
async fn kollas_expressions_take_every_line_of_a_run_with_debug_for_a_record() -> Result<()> {
    let log = eventful(|conf| conf.set("DEFAULT", "debug", "true")).await?;
    assert_eventful(&log, &["ERROR", "WARNING", "INFO", "DEBUG"]);
    every_line_is_a_record(&log).await
}

#[tokio::test]
async fn the_shipped_filter_makes_the_log_one_of_openstacks_and_touches_no_other() -> Result<()> {
    let line = ["2026-11-23 08:50:12.105 7 INFO cinder.volume.manager [-] started".to_owned()];
    for (name, without, with) in [
        (FILE, "unmatched", OPENSTACK),
        ("cinder-volume.log", OPENSTACK, OPENSTACK),
        ("cinder-key-migrator-2.log", "unmatched", "unmatched"),
    ] {
        for (added, expected) in [(None, without), (Some(ADDED), with)] {
            let found = forwarded(name, added, &line).await?;
            assert_eq!(found.tag.as_deref(), Some(expected), "{name} {added:?}");
        }
    }
    // kolla-ansible sorts the filters by these names.
    let name = Path::new(ADDED).file_name().and_then(|name| name.to_str());
    let name = name.context("a name")?;
    assert!("00-record_transformer.conf.j2" < name && name < "01-rewrite.conf.j2");
    // Its own names for files that it gives to nobody.
    for excluded in [
        "-access.log",
        "-error.log",
        "_access.log",
        "_error.log",
        "-uwsgi.log",
    ] {
        assert!(!FILE.ends_with(excluded));
    }
    Ok(())
}

//! The tables of `status`.

use std::time::Duration;

use key_migration::verdict::{FixedKeyVerdict, Verdict};
use serde_json::Value;

use super::super::output::{print, span, table};
use super::{Daemon, HostRow, Seen, Trend};

/// Prints everything.
pub(super) fn print_all(seen: &Seen) {
    for daemon in &seen.daemons {
        print_daemon(daemon);
    }
    print_hosts(seen);
    print_verdict(&seen.fixed_key);
}

fn print_daemon(daemon: &Daemon) {
    let Some(status) = &daemon.status else {
        let error = daemon.error.as_deref().unwrap_or("it does not answer");
        print(&format!("Daemon at {}: {error}\n", daemon.address));
        return;
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    print(&format!(
        "Daemon at {}: {} on {}, since {}",
        daemon.address,
        text(&status["version"]),
        text(&status["host"]),
        text(&status["started_at"]),
    ));
    let services = status["services"].as_array().map_or(&[][..], Vec::as_slice);
    let mut table = table([
        "service",
        "state",
        "since",
        "remaining",
        "migrated",
        "failed",
        "deferred",
        "keys/s",
        "ETA",
    ]);
    for one in services {
        let keys = |name: &str| one["keys"][name].to_string();
        table.add_row([
            text(&one["service"]),
            text(&one["state"]),
            text(&one["since"]),
            keys("remaining"),
            keys("migrated"),
            keys("failed"),
            keys("deferred"),
            format!("{:.1}", one["rate_per_second"].as_f64().unwrap_or_default()),
            eta(&one["eta_seconds"]),
        ]);
    }
    print(&table.to_string());
    for one in services {
        print_reason(one);
    }
    print("");
}

fn print_reason(service: &Value) {
    let name = service["service"].as_str().unwrap_or("-");
    if let Some(code) = service["reason"]["code"].as_str() {
        let message = service["reason"]["message"].as_str().unwrap_or_default();
        print(&format!("{name}: {code}: {message}"));
    }
    if let Some(remedy) = service["remedy"].as_str() {
        print(&format!("{name}: remedy: {remedy}"));
    }
}

fn eta(seconds: &Value) -> String {
    let seconds = seconds.as_u64().map(Duration::from_secs);
    seconds.map_or_else(|| "-".to_owned(), span)
}

fn print_hosts(seen: &Seen) {
    let trend = match seen.trend {
        Trend::Nothing => "nothing is left",
        Trend::Falling => "falling",
        Trend::StandingStill => "standing still",
        Trend::Growing => "growing",
        Trend::Unknown => "not counted before; --watch shows whether it falls",
    };
    print(&format!(
        "All hosts: {} volume(s), {} snapshot(s), {} backup(s) at zeros ({trend})",
        seen.volumes, seen.snapshots, seen.backups
    ));
    if seen.hosts.is_empty() {
        print("");
        return;
    }
    let mut table = table(["host", "volumes", "snapshots", "backups", "Cinder service"]);
    for row in &seen.hosts {
        table.add_row([
            place(row),
            row.volumes.to_string(),
            row.snapshots.to_string(),
            row.backups.to_string(),
            if row.service_up { "up" } else { "not up" }.to_owned(),
        ]);
    }
    print(&table.to_string());
    if seen.hosts.iter().any(|row| !row.service_up) {
        print(
            "Nobody migrates what no service owns that is up: `rows --state unowned` says what to do.",
        );
    }
    print("");
}

fn place(row: &HostRow) -> String {
    super::super::desk::place(&cinder_db::Place {
        host: row.host.clone(),
        cluster: row.cluster.clone(),
    })
}

fn print_verdict(verdict: &FixedKeyVerdict) {
    let answer = match verdict.verdict {
        Verdict::Yes => "yes. It may leave the configuration files; keep it offline.",
        Verdict::No => "no",
        Verdict::Unknown => "unknown: not everything was looked at",
    };
    print(&format!("May fixed_key be removed? {answer}"));
    for blocker in &verdict.blockers {
        print(&format!("  {}: {}", blocker.code, blocker.message));
    }
    for attested in &verdict.attested {
        let (by, at) = (&attested.attestation.by, attested.attestation.at);
        print(&format!(
            "  attested by {by} at {at}: {}",
            attested.statement
        ));
    }
}

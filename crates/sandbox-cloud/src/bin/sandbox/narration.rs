//! What the reader sees: headings, explanations, the program's lines, tables.

use sandbox_cloud::cinder::{Planted, Report};

/// Faults shown for one line of the table; the rest is counted.
const FAULTS_SHOWN: usize = 5;

pub(crate) fn heading(text: &str) {
    println!("\n== {text}\n");
}

pub(crate) fn say(text: &str) {
    println!("   {text}");
}

pub(crate) fn command(text: &str) {
    println!("   $ {text}");
}

/// A line that the program on `host` wrote.
pub(crate) fn quote(host: &str, line: &str) {
    println!("   {host} | {line}");
}

/// What was planted, by host and kind.
pub(crate) fn planted(rows: &[(String, [usize; 3])]) {
    println!(
        "   {:<44} {:>8} {:>10} {:>8}",
        "keys that are all zeros", "volumes", "snapshots", "backups"
    );
    for (place, [volumes, snapshots, backups]) in rows {
        println!("   {place:<44} {volumes:>8} {snapshots:>10} {backups:>8}");
    }
}

pub(crate) fn bystanders(planted: &Planted) {
    let all = planted.before.rows.len();
    let zeros = planted
        .before
        .rows
        .values()
        .filter(|row| row.is_live_zero())
        .count();
    say(&format!(
        "Beside them {} rows that must stay as they are: with keys of their own, unencrypted, deleted.",
        all - zeros
    ));
}

pub(crate) fn report(report: &Report) {
    println!("   {:<68} {:>7}  result", "what has to hold", "checked");
    for line in &report.lines {
        let result = match line.faults.len() {
            0 => "ok".to_owned(),
            faults => format!("{faults} WRONG"),
        };
        println!("   {:<68} {:>7}  {result}", line.claim, line.examined);
        for fault in line.faults.iter().take(FAULTS_SHOWN) {
            println!("     - {fault}");
        }
        if line.faults.len() > FAULTS_SHOWN {
            println!("     - and {} more", line.faults.len() - FAULTS_SHOWN);
        }
    }
}

//! `status --watch`: a progress bar where there is a terminal, a line a change where there is none.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use key_migration::inventory_fault;
use serde_json::Value;

use super::super::desk::Desk;
use super::super::output::{print, span};
use super::Daemon;
use crate::exit::Failure;
use crate::settings::Listen;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(2);

/// Shows how the rows of all hosts become fewer, until none is left or Ctrl-C.
pub(super) async fn run(desk: &Desk, addresses: &[Listen]) -> Result<ExitCode, Failure> {
    let bar = std::io::stderr().is_terminal().then(bar);
    let mut most = 0;
    let mut said = String::new();
    loop {
        let counts = desk
            .rows
            .zero_rows_by_host()
            .await
            .map_err(inventory_fault)?;
        let left: u64 = counts.iter().map(|count| count.rows).sum();
        most = most.max(left);
        let daemons: Vec<_> = addresses.iter().map(Daemon::ask).collect();
        let line = format!("{left} row(s) left on all hosts; {}", in_words(&daemons));
        match &bar {
            Some(bar) => {
                bar.set_length(most);
                bar.set_position(most - left);
                bar.set_message(line);
            }
            None if line != said => {
                print(&line);
                said = line;
            }
            None => {}
        }
        if left == 0 {
            if let Some(bar) = bar {
                bar.finish();
            }
            print("Nothing is left on any host.");
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {percent}%  {msg}");
    let bar = ProgressBar::new(0);
    bar.set_style(style.expect("a template that indicatif knows"));
    bar
}

/// What each daemon does, in a few words each.
fn in_words(daemons: &[Daemon]) -> String {
    let words = daemons.iter().flat_map(|daemon| match &daemon.status {
        None => vec![format!("no daemon at {}", daemon.address)],
        Some(status) => {
            let host = status["host"].as_str().unwrap_or("-").to_owned();
            let services = status["services"].as_array().map_or(&[][..], Vec::as_slice);
            services.iter().map(|one| service(&host, one)).collect()
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

fn service(host: &str, status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut words = format!(
        "{host} {} {}",
        text(&status["service"]),
        text(&status["state"])
    );
    if let Some(code) = status["reason"]["code"].as_str() {
        words += &format!(" ({code})");
    }
    let rate = status["rate_per_second"].as_f64().unwrap_or_default();
    if rate > 0.0 {
        words += &format!(" {rate:.1} keys/s");
    }
    if let Some(seconds) = status["eta_seconds"].as_u64() {
        words += &format!(" ETA {}", span(Duration::from_secs(seconds)));
    }
    words
}

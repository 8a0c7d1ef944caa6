//! A real Prometheus that scrapes programs under test, with the rules and the scrape snippet that are
//! shipped; only their times are shorter.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::deploy;
use crate::free_port::free_port;
use crate::http;
use crate::program::{DEADLINE, Program};

/// Where Debian has it.
const PROGRAM: &str = "/usr/bin/prometheus";
const PROMTOOL: &str = "/usr/bin/promtool";
const RULES: &str = "cinder-key-migrator.rules";
/// How often it scrapes and looks at its rules.
const INTERVAL: &str = "250ms";
/// What rules look back over: several scrapes, and several passes of a program that looks each second.
const MOMENT: &str = "[4s]";

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    _process: Child,
    _folder: TempDir,
    url: String,
}

impl Prometheus {
    /// Starts one that scrapes this program, with `deploy/prometheus`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn scraping(program: &Program) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let rules = std::fs::read_to_string(deploy::folder().join("prometheus").join(RULES))?;
        std::fs::write(folder.path().join(RULES), at_once(&rules))?;
        let snippet =
            std::fs::read_to_string(deploy::folder().join("prometheus/scrape-static.yml"))?;
        let target = program.url().trim_start_matches("http://");
        let configuration = folder.path().join("prometheus.yml");
        std::fs::write(&configuration, scraping(&snippet, target)?)?;
        let port = free_port()?;
        let mut process = Command::new(PROGRAM)
            .arg("--config.file")
            .arg(&configuration)
            .arg("--storage.tsdb.path")
            .arg(folder.path().join("data"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {PROGRAM}, which tests/run installs"))?;
        let url = format!("http://127.0.0.1:{port}");
        let ready = async {
            let client = http::client();
            loop {
                let answer = client.get(format!("{url}/-/ready")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(());
                }
                if let Some(status) = process.try_wait()? {
                    bail!("{PROGRAM} ended with {status}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, ready)
            .await
            .context("Prometheus is not ready")??;
        Ok(Self {
            _process: process,
            _folder: folder,
            url,
        })
    }

    /// What the query answers now: one value a series.
    ///
    /// # Errors
    ///
    /// When it is no query.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/query", self.url);
        let answer = self
            .get(Url::parse_with_params(&url, [("query", query)])?)
            .await?;
        let series = answer["data"]["result"].as_array();
        Ok(series.with_context(|| answer.to_string())?.clone())
    }

    /// Waits until the query answers with any series.
    ///
    /// # Errors
    ///
    /// When it is no query, or none comes in time.
    pub async fn answers(&self, query: &str) -> Result<()> {
        let asking = async {
            while self.query(query).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(DEADLINE, asking)
            .await
            .with_context(|| format!("nothing for {query}"))?
    }

    /// Waits until this alert fires, and returns what it says.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub async fn fires(&self, name: &str) -> Result<Value> {
        let firing = self.until(name, |alerts| alerts.first().cloned());
        firing
            .await
            .with_context(|| format!("{name} does not fire"))
    }

    /// Waits until this alert does not fire.
    ///
    /// # Errors
    ///
    /// When it goes on doing so.
    pub async fn clears(&self, name: &str) -> Result<()> {
        let quiet = self.until(name, |alerts| alerts.is_empty().then_some(()));
        quiet
            .await
            .with_context(|| format!("{name} goes on firing"))
    }

    /// The names of the alerts that fire now.
    ///
    /// # Errors
    ///
    /// When Prometheus does not answer.
    pub async fn firing(&self) -> Result<Vec<String>> {
        let alerts = self.alerts().await?.into_iter();
        Ok(alerts
            .filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned()))
            .collect())
    }

    async fn until<T>(&self, name: &str, wanted: impl Fn(&[Value]) -> Option<T>) -> Result<T> {
        let looking = async {
            loop {
                let alerts = self.alerts().await?.into_iter();
                let named: Vec<_> = alerts
                    .filter(|alert| alert["labels"]["alertname"] == name)
                    .collect();
                if let Some(found) = wanted(&named) {
                    return anyhow::Ok(found);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await?
    }

    async fn alerts(&self) -> Result<Vec<Value>> {
        let answer = self
            .get(Url::parse(&format!("{}/api/v1/alerts", self.url))?)
            .await?;
        let alerts = answer["data"]["alerts"].as_array();
        let alerts = alerts.with_context(|| answer.to_string())?.iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        Ok(firing.cloned().collect())
    }

    async fn get(&self, url: Url) -> Result<Value> {
        let text = http::client().get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&text)?;
        ensure!(answer["status"] == "success", "{text}");
        Ok(answer)
    }
}

/// Runs promtool, which must find nothing wrong.
///
/// # Errors
///
/// What it finds.
pub async fn promtool(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(PROMTOOL);
    let output = command.args(arguments).current_dir(folder).output().await;
    let output = output.with_context(|| format!("starting {PROMTOOL}"))?;
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The rules, without their patience: what they look back over is a moment, and they wait for nothing.
fn at_once(rules: &str) -> String {
    let line = |line: &str| match line.split_once("for: ") {
        Some((indentation, _)) if indentation.trim().is_empty() => format!("{indentation}for: 0s"),
        _ => ["[1h]", "[15m]"]
            .iter()
            .fold(line.to_owned(), |line, range| line.replace(range, MOMENT)),
    };
    let lines: Vec<_> = rules.lines().map(line).collect();
    lines.join("\n")
}

/// The scrape snippet, for this target alone.
fn scraping(snippet: &str, target: &str) -> Result<String> {
    ensure!(snippet.contains("- host1:18776") && snippet.contains("scrape_interval: 30s"));
    let lines = snippet.lines().filter(|line| !line.contains("host2"));
    let snippet = lines.collect::<Vec<_>>().join("\n");
    let snippet = snippet.replace("host1:18776", target).replace(
        "scrape_interval: 30s",
        &format!("scrape_interval: {INTERVAL}"),
    );
    Ok(format!(
        "global:\n  evaluation_interval: {INTERVAL}\n  scrape_timeout: {INTERVAL}\n{snippet}\n"
    ))
}

//! What the figures were measured on, and with what.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::process::Command;

/// A paragraph of Markdown.
pub(crate) async fn description(home: &Path) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let models: Vec<_> = values(&cpus, "model name").collect();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = values(&memory, "MemTotal")
        .next()
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .context("MemTotal")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mariadb = first_line("/usr/sbin/mariadbd", "--version").await?;
    let python = first_line(home.join("python/bin/python"), "--version").await?;
    let packages = fs::read_to_string(home.join("python/installed"))?;
    let packages = packages.lines().filter(|line| {
        ["barbican==", "keystone==", "cinder==", "gunicorn=="]
            .iter()
            .any(|name| line.starts_with(name))
    });
    let mut packages: Vec<_> = packages.map(|line| line.replace("==", " ")).collect();
    packages.dedup();
    packages.sort();
    packages.dedup();
    Ok(format!(
        "{date}, {processors} x {model}, {memory:.1} GiB, Linux {kernel}. cinder-key-migrator \
         {version} ({profile}), {mariadb}, {python}, {packages}.\n",
        date = today(),
        processors = models.len(),
        model = models.first().unwrap_or(&"unknown processor"),
        memory = f64::from(u32::try_from(kib / 1024)?) / 1024.0,
        kernel = kernel.trim(),
        version = env!("CARGO_PKG_VERSION"),
        profile = if cfg!(debug_assertions) {
            "debug build: these figures mean nothing"
        } else {
            "release build, default options"
        },
        mariadb = mariadb_name(&mariadb),
        packages = packages.join(", "),
    ))
}

/// The values of a name in a file of `name : value`.
fn values<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

/// `MariaDB 10.11.14` of `mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu ...`.
fn mariadb_name(version: &str) -> String {
    let number = version
        .split_whitespace()
        .find(|word| word.contains("-MariaDB"));
    let number = number.and_then(|word| word.split('-').next());
    format!("MariaDB {}", number.unwrap_or("of unknown version"))
}

async fn first_line(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> Result<String> {
    let output = Command::new(&program).arg(argument).output().await;
    let output = output.with_context(|| format!("running {}", program.as_ref().display()))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement bears the date of the machine that it was made on"
)]
fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

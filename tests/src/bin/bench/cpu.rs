//! Who used the processors during a run: client, Barbican, Keystone, MariaDB, and everybody else
//! on this machine, who would make the figures worth little.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Linux counts processor time in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor seconds, by who used them, since some instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu {
    by_name: BTreeMap<String, f64>,
    /// Of the whole machine.
    busy: f64,
}

impl Cpu {
    /// What the descendants of the services' process have used so far, each under the name of its
    /// log, and the client.
    pub(crate) fn now(services: u32, client: u32) -> Result<Self> {
        let mut by_name = BTreeMap::from([("client".to_owned(), used_by(client)?)]);
        for pid in descendants(services) {
            // A process that ends meanwhile has nothing to say.
            if let (Ok(seconds), Some(name)) = (used_by(pid), log_of(pid)) {
                *by_name.entry(name).or_default() += seconds;
            }
        }
        Ok(Self {
            by_name,
            busy: busy()?,
        })
    }

    /// What was used since an earlier instant.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let by_name = self.by_name.iter().map(|(name, seconds)| {
            let before = earlier.by_name.get(name).copied().unwrap_or_default();
            (name.clone(), (seconds - before).max(0.0))
        });
        Self {
            by_name: by_name.collect(),
            busy: self.busy - earlier.busy,
        }
    }

    /// What was used in this time and in another.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut by_name = self.by_name.clone();
        for (name, seconds) in &other.by_name {
            *by_name.entry(name.clone()).or_default() += seconds;
        }
        Self {
            by_name,
            busy: self.busy + other.busy,
        }
    }

    /// What one of them used, in seconds.
    pub(crate) fn of(&self, name: &str) -> f64 {
        self.by_name
            .iter()
            .filter(|(of, _)| of.starts_with(name))
            .map(|(_, seconds)| seconds)
            .sum()
    }

    /// What nobody of ours used.
    pub(crate) fn others(&self) -> f64 {
        (self.busy - self.by_name.values().sum::<f64>()).max(0.0)
    }
}

fn descendants(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        if let Some(parent) = stat(pid).and_then(|stat| stat.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// User and system time of a process and of its children that have ended.
fn used_by(pid: u32) -> Result<f64> {
    let stat = stat(pid).with_context(|| format!("reading the times of process {pid}"))?;
    let ticks = stat.iter().skip(11).take(4).map(|it| it.parse::<f64>());
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_A_SECOND)
}

/// The fields of `/proc/PID/stat` that follow the name, of which the first is the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// A service writes to a log of its own name.
fn log_of(pid: u32) -> Option<String> {
    let path: PathBuf = fs::read_link(format!("/proc/{pid}/fd/1")).ok()?;
    let is_log = path.extension() == Some("log".as_ref());
    let stem = path.file_stem().filter(|_| is_log).map(Path::new)?;
    Some(stem.to_str()?.to_owned())
}

/// Time that the machine was not idle, in seconds over all its processors.
fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().context("/proc/stat")?;
    let ticks: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq; the rest is not this machine's or counted
    // twice.
    let busy: f64 = [0, 1, 2, 5, 6].iter().map(|&place| ticks[place]).sum();
    Ok(busy / TICKS_A_SECOND)
}

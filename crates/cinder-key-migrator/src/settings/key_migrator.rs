//! `[key_migrator]`: the program's own options.

use std::path::PathBuf;
use std::time::Duration;

use key_migration::ids::{Service, UserId};
use oslo_config::{Config, Opt, OptionError, Registry};

use super::{Faults, Listen};

const GROUP: &str = "key_migrator";

/// No wait is longer than this, in seconds.
const YEAR: u32 = 365 * 24 * 60 * 60;

const SERVICES: Opt<Vec<String>> = Opt::list(GROUP, "services").default(&["volume", "backup"]);
const INTERVAL: Opt<Duration> = Opt::seconds(GROUP, "interval").range(1, YEAR).default(60);
const SUMMARY_INTERVAL: Opt<Duration> = Opt::seconds(GROUP, "summary_interval")
    .range(1, YEAR)
    .default(3600);
const MAX_CONCURRENCY: Opt<i64> = Opt::integer(GROUP, "max_concurrency")
    .range(1, 1024)
    .default(32);
const MAX_RATE: Opt<String> = Opt::string(GROUP, "max_rate").default("0");
const PAUSED: Opt<bool> = Opt::boolean(GROUP, "paused").default(false);
const UNKNOWN_OUTCOME_WAIT: Opt<Duration> = Opt::seconds(GROUP, "unknown_outcome_wait")
    .range(0, YEAR)
    .default(120);
const STATE_DIR: Opt<String> = Opt::string(GROUP, "state_dir").default("$state_path/key-migrator");
pub(super) const LISTEN: Opt<String> = Opt::string(GROUP, "listen").default("127.0.0.1:18776");
const EXTRA_HOSTS: Opt<Vec<String>> = Opt::list(GROUP, "extra_hosts").default(&[]);
const EXTRA_ACL_USERS: Opt<Vec<String>> = Opt::list(GROUP, "extra_acl_users").default(&[]);

/// The section, typed.
#[derive(Debug)]
pub(super) struct KeyMigratorSection {
    pub(super) services: Vec<Service>,
    pub(super) interval: Duration,
    pub(super) summary_interval: Duration,
    pub(super) max_concurrency: usize,
    pub(super) max_rate: Option<f64>,
    pub(super) paused: bool,
    pub(super) unknown_outcome_wait: Duration,
    pub(super) state_dir: PathBuf,
    pub(super) extra_hosts: Vec<String>,
    pub(super) extra_acl_users: Vec<UserId>,
}

pub(super) fn register(registry: &mut Registry) {
    registry
        .add(&SERVICES)
        .add(&INTERVAL)
        .add(&SUMMARY_INTERVAL)
        .add(&MAX_CONCURRENCY)
        .add(&MAX_RATE)
        .add(&PAUSED)
        .add(&UNKNOWN_OUTCOME_WAIT)
        .add(&STATE_DIR)
        .add(&LISTEN)
        .add(&EXTRA_HOSTS)
        .add(&EXTRA_ACL_USERS);
}

pub(super) fn read(conf: &Config, faults: &mut Faults) -> Option<KeyMigratorSection> {
    let services = faults.check(conf.get(&SERVICES));
    let services = services.and_then(|names| faults.check(parse_services(conf, &names)));
    let interval = faults.check(conf.get(&INTERVAL));
    let summary_interval = faults.check(conf.get(&SUMMARY_INTERVAL));
    let max_concurrency = faults.check(conf.get(&MAX_CONCURRENCY));
    let max_rate = faults.check(conf.get(&MAX_RATE));
    let max_rate = max_rate.and_then(|rate| faults.check(parse_rate(conf, &rate)));
    let paused = faults.check(conf.get(&PAUSED));
    let unknown_outcome_wait = faults.check(conf.get(&UNKNOWN_OUTCOME_WAIT));
    let state_dir = faults.check(conf.get(&STATE_DIR));
    let state_dir = state_dir.and_then(|path| faults.check(parse_state_dir(conf, path)));
    let extra_hosts = faults.check(conf.get(&EXTRA_HOSTS));
    let extra_acl_users = faults.check(conf.get(&EXTRA_ACL_USERS));
    Some(KeyMigratorSection {
        services: services?,
        interval: interval?,
        summary_interval: summary_interval?,
        max_concurrency: usize::try_from(max_concurrency?).unwrap_or(1),
        max_rate: max_rate?,
        paused: paused?,
        unknown_outcome_wait: unknown_outcome_wait?,
        state_dir: state_dir?,
        extra_hosts: not_empty(extra_hosts?).collect(),
        extra_acl_users: not_empty(extra_acl_users?).map(UserId::from).collect(),
    })
}

/// Where HTTP is served: all that `healthcheck` has to know.
pub(super) fn read_listen(conf: &Config, faults: &mut Faults) -> Option<Listen> {
    let text = faults.check(conf.get(&LISTEN))?;
    let expected = "expected HOST:PORT or unix:PATH, the path from the root";
    faults.check(text.parse().map_err(|_| conf.fault(&LISTEN, expected)))
}

fn parse_services(conf: &Config, names: &[String]) -> Result<Vec<Service>, OptionError> {
    let mut services = Vec::new();
    for name in names {
        let service = match name.as_str() {
            "volume" => Service::Volume,
            "backup" => Service::Backup,
            _ => return Err(conf.fault(&SERVICES, "expected only volume and backup")),
        };
        if !services.contains(&service) {
            services.push(service);
        }
    }
    if services.is_empty() {
        return Err(conf.fault(&SERVICES, "expected volume, backup or both"));
    }
    Ok(services)
}

/// Keys a second; `None` for 0, which is no limit.
fn parse_rate(conf: &Config, text: &str) -> Result<Option<f64>, OptionError> {
    let rate: Option<f64> = text.trim().parse().ok();
    match rate.filter(|rate| rate.is_finite() && *rate >= 0.0) {
        Some(rate) => Ok((rate > 0.0).then_some(rate)),
        None => Err(conf.fault(
            &MAX_RATE,
            "expected a number of keys a second, 0 for no limit",
        )),
    }
}

/// A daemon's working directory is no place that anybody thinks of, so the path begins at the root.
fn parse_state_dir(conf: &Config, text: String) -> Result<PathBuf, OptionError> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(conf.fault(&STATE_DIR, "expected a directory, its path from the root"))
    }
}

fn not_empty(items: Vec<String>) -> impl Iterator<Item = String> {
    items.into_iter().filter(|item| !item.is_empty())
}

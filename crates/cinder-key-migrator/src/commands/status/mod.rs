//! `status`: where the migration stands. This host's part comes from its daemon, the rest from the
//! database, so that it works without a daemon and for hosts that have none.

mod report;
mod watch;

use std::process::ExitCode;

use cinder_db::{HostCount, ServiceRecord};
use jiff::Timestamp;
use key_migration::inventory_fault;
use key_migration::ports::Clock as _;
use key_migration::verdict::FixedKeyVerdict;
use serde::Serialize;
use serde_json::Value;

use super::desk::{Desk, Log};
use super::{block_on, daemon_client, verdict};
use crate::cli::{Format, Status};
use crate::clock::SecondsClock;
use crate::exit::Failure;
use crate::settings::Listen;

/// Shows it, once or until nothing is left.
pub(super) fn run(command: Status) -> Result<ExitCode, Failure> {
    let desk = Desk::open(&command.origin, Log::ToTerminal)?;
    let mut addresses = vec![desk.listen.clone()];
    addresses.extend(
        command
            .daemons
            .into_iter()
            .filter(|one| *one != desk.listen),
    );
    if command.watch {
        return block_on(watch::run(&desk, &addresses));
    }
    let seen = block_on(Seen::now(&desk, &addresses))?;
    match command.format {
        Format::Json => super::output::print_json(&seen),
        Format::Table => report::print_all(&seen),
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is shown.
#[derive(Serialize)]
pub(super) struct Seen {
    host: String,
    counted_at: Timestamp,
    volumes: u64,
    snapshots: u64,
    backups: u64,
    trend: Trend,
    hosts: Vec<HostRow>,
    fixed_key: FixedKeyVerdict,
    daemons: Vec<Daemon>,
}

/// A daemon and what it says of itself.
#[derive(Serialize)]
struct Daemon {
    address: String,
    /// Why it does not answer.
    error: Option<String>,
    /// Its `/v1/status`.
    status: Option<Value>,
}

/// Rows at zeros at one place.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct HostRow {
    /// `None` where the rows have none.
    host: Option<String>,
    cluster: Option<String>,
    volumes: u64,
    snapshots: u64,
    backups: u64,
    /// Whether the Cinder services that own them are up.
    service_up: bool,
}

/// Where the number of rows is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Trend {
    /// Nothing is left.
    Nothing,
    Falling,
    StandingStill,
    Growing,
    /// Nobody has counted before.
    Unknown,
}

impl Seen {
    async fn now(desk: &Desk, addresses: &[Listen]) -> Result<Self, Failure> {
        let daemons = addresses.iter().map(Daemon::ask).collect::<Vec<_>>();
        let counts = desk
            .rows
            .zero_rows_by_host()
            .await
            .map_err(inventory_fault)?;
        let services = desk.rows.services(desk.service_down_time()).await;
        let services = services.map_err(inventory_fault)?;
        let fixed_key = verdict::evaluate(
            &desk.rows,
            desk.service_down_time(),
            &desk.state_dir,
            &SecondsClock,
        );
        let fixed_key = fixed_key.await?;
        let total = |kind| {
            let of_kind = counts
                .iter()
                .filter(|count: &&HostCount| count.kind == kind);
            of_kind.map(|count| count.rows).sum()
        };
        let [volumes, snapshots, backups] = [
            key_migration::ids::ResourceKind::Volume,
            key_migration::ids::ResourceKind::Snapshot,
            key_migration::ids::ResourceKind::Backup,
        ]
        .map(total);
        let counted_at = SecondsClock.now();
        Ok(Self {
            host: desk.host.clone(),
            trend: trend(volumes + snapshots + backups, counted_at, &daemons),
            counted_at,
            volumes,
            snapshots,
            backups,
            hosts: by_host(&counts, &services),
            fixed_key,
            daemons,
        })
    }
}

impl Daemon {
    fn ask(address: &Listen) -> Self {
        let answer = daemon_client::get_json(address, "/v1/status");
        let (error, status) = match answer {
            Ok(status) => (None, Some(status)),
            Err(error) => (Some(error.to_string()), None),
        };
        Self {
            address: address.to_string(),
            error,
            status,
        }
    }
}

/// A count of a daemon at least this old tells whether the number stands still.
const STILL_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Held against what daemons counted a while ago, and whether any of them is migrating.
fn trend(total: u64, now: Timestamp, daemons: &[Daemon]) -> Trend {
    if total == 0 {
        return Trend::Nothing;
    }
    let mut trend = Trend::Unknown;
    for status in daemons.iter().filter_map(|daemon| daemon.status.as_ref()) {
        let services = status["services"].as_array().map_or(&[][..], Vec::as_slice);
        let rate = services
            .iter()
            .filter_map(|one| one["rate_per_second"].as_f64());
        if rate.sum::<f64>() > 0.0 {
            return Trend::Falling;
        }
        let global = &status["global"];
        let count = |kind| global[kind].as_u64();
        let (Some(volumes), Some(snapshots), Some(backups)) =
            (count("volumes"), count("snapshots"), count("backups"))
        else {
            continue;
        };
        let at = global["counted_at"]
            .as_str()
            .and_then(|at| at.parse::<Timestamp>().ok());
        let is_old = at.is_some_and(|at| now.duration_since(at) >= STILL_AFTER);
        match total.cmp(&(volumes + snapshots + backups)) {
            std::cmp::Ordering::Less => return Trend::Falling,
            std::cmp::Ordering::Greater => trend = Trend::Growing,
            std::cmp::Ordering::Equal if is_old => trend = Trend::StandingStill,
            std::cmp::Ordering::Equal => {}
        }
    }
    trend
}

/// One row a place, those that nobody migrates first.
fn by_host(counts: &[HostCount], services: &[ServiceRecord]) -> Vec<HostRow> {
    let mut hosts: Vec<HostRow> = Vec::new();
    for count in counts {
        let service_up = super::desk::is_owned(count.kind, &count.place, services);
        let same = hosts.iter_mut().find(|row| {
            row.host == count.place.host
                && row.cluster == count.place.cluster
                && row.service_up == service_up
        });
        let row = match same {
            Some(row) => row,
            None => {
                hosts.push(HostRow {
                    host: count.place.host.clone(),
                    cluster: count.place.cluster.clone(),
                    volumes: 0,
                    snapshots: 0,
                    backups: 0,
                    service_up,
                });
                hosts.last_mut().expect("one was just added")
            }
        };
        match count.kind {
            key_migration::ids::ResourceKind::Volume => row.volumes += count.rows,
            key_migration::ids::ResourceKind::Snapshot => row.snapshots += count.rows,
            key_migration::ids::ResourceKind::Backup => row.backups += count.rows,
        }
    }
    hosts.sort_by(|one, other| {
        (one.service_up, &one.host, &one.cluster).cmp(&(
            other.service_up,
            &other.host,
            &other.cluster,
        ))
    });
    hosts
}

#[cfg(test)]
mod tests {
    use cinder_db::Place;
    use key_migration::ids::ResourceKind;
    use serde_json::json;

    use super::*;

    fn daemon(status: Value) -> Daemon {
        Daemon {
            address: "127.0.0.1:18776".into(),
            error: None,
            status: Some(status),
        }
    }

    #[test]
    fn the_trend_is_held_against_what_daemons_counted_before() {
        let now: Timestamp = "2026-11-26T12:00:00Z".parse().expect("a time");
        let counted = |at: &str, volumes: u64| {
            daemon(json!({
                "services": [{"rate_per_second": 0.0}],
                "global": {"counted_at": at, "volumes": volumes, "snapshots": 2, "backups": 0},
            }))
        };
        let (old, young) = ("2026-11-26T11:58:00Z", "2026-11-26T11:59:30Z");
        assert_eq!(trend(0, now, &[counted(old, 3)]), Trend::Nothing);
        assert_eq!(trend(4, now, &[counted(young, 3)]), Trend::Falling);
        assert_eq!(trend(5, now, &[counted(young, 3)]), Trend::Unknown);
        assert_eq!(trend(5, now, &[counted(old, 3)]), Trend::StandingStill);
        assert_eq!(trend(6, now, &[counted(old, 3)]), Trend::Growing);
        assert_eq!(
            trend(6, now, &[daemon(json!({"global": null}))]),
            Trend::Unknown
        );
        let at_work = daemon(json!({"services": [{"rate_per_second": 1.5}], "global": null}));
        assert_eq!(trend(6, now, &[at_work]), Trend::Falling);
    }

    #[test]
    fn rows_are_shown_by_place_and_those_that_nobody_migrates_first() {
        let count = |kind, host: Option<&str>, rows| HostCount {
            kind,
            place: Place {
                host: host.map(Into::into),
                cluster: None,
            },
            rows,
        };
        let up = ServiceRecord {
            binary: "cinder-volume".into(),
            host: "a@b".into(),
            cluster: None,
            is_up: true,
        };
        let counts = [
            count(ResourceKind::Volume, Some("a@b"), 3),
            count(ResourceKind::Snapshot, Some("a@b"), 4),
            count(ResourceKind::Volume, None, 1),
            count(ResourceKind::Backup, Some("a"), 2),
        ];
        let shown = by_host(&counts, &[up]);
        let shown: Vec<_> = shown
            .iter()
            .map(|row| {
                (
                    row.host.as_deref(),
                    row.volumes,
                    row.snapshots,
                    row.backups,
                    row.service_up,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (None, 1, 0, 0, false),
                (Some("a"), 0, 0, 2, false),
                (Some("a@b"), 3, 4, 0, true),
            ]
        );
    }
}

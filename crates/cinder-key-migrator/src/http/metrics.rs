//! `/metrics`, in OpenMetrics. All but the request durations is rendered from the snapshot when it
//! is asked for. Labels come from closed lists only, and every series is there from the start, so
//! that a rule never waits for the first failure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use key_migration::progress::ServiceProgress;
use key_migration::reasons::{Reason, RowReason, ServiceState};
use key_migration::verdict::Verdict;
use openstack_client::{Api, Operation, Outcome, RequestObserver};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::snapshot::{Snapshot, View};

/// From an answer out of a cache to the limit of a whole request, in seconds.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Metrics of this process.
    pub(crate) fn new(view: Arc<View>, requests: &RequestDurations) -> Self {
        let mut registry = Registry::with_prefix("cinder_key_migrator");
        registry.register_with_unit(
            "request_duration",
            "Time from before the connection to the last byte of the answer",
            Unit::Seconds,
            requests.0.clone(),
        );
        registry.register_collector(Box::new(Progress(view)));
        Self(registry)
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)
            .expect("writing to a string cannot fail");
        text
    }
}

/// How long requests took.
#[derive(Clone, Debug)]
pub(crate) struct RequestDurations(Family<RequestLabels, Histogram, NewHistogram>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    api: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug)]
struct NewHistogram;

impl MetricConstructor<Histogram> for NewHistogram {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

impl RequestDurations {
    /// With an empty histogram for everything that can happen.
    pub(crate) fn new() -> Self {
        let durations = Self(Family::new_with_constructor(NewHistogram));
        for operation in Operation::ALL {
            let api = match operation {
                Operation::SignIn => Api::Keystone,
                Operation::ListImages => continue,
                _ => Api::Barbican,
            };
            for outcome in Outcome::ALL {
                drop(durations.of(api, operation, outcome));
            }
        }
        durations
    }

    fn of(&self, api: Api, operation: Operation, outcome: Outcome) -> Histogram {
        self.0.get_or_create_owned(&RequestLabels {
            api: api.as_str(),
            operation: operation.as_str(),
            outcome: outcome.as_str(),
        })
    }
}

impl RequestObserver for RequestDurations {
    fn observe(&self, api: Api, operation: Operation, outcome: Outcome, duration: Duration) {
        self.of(api, operation, outcome)
            .observe(duration.as_secs_f64());
    }
}

/// Renders the snapshot.
#[derive(Debug)]
struct Progress(Arc<View>);

impl Collector for Progress {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        let mut page = Page(encoder);
        page.about_the_process(&snapshot)?;
        page.states(&snapshot.services)?;
        page.keys(&snapshot.services)?;
        page.failures(&snapshot.services)?;
        page.global(&snapshot)
    }
}

type Label<'a> = (&'static str, &'a str);

/// A metric of several series, or of one without labels.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn about_the_process(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let mut info = self.begin("build", "The version that runs", None, MetricType::Info)?;
        info.encode_info(&[("version", snapshot.version)])
    }

    fn states(&mut self, services: &[ServiceProgress]) -> fmt::Result {
        let states = services.iter().flat_map(|one| {
            ServiceState::ALL.map(|state| {
                let labels = [("service", one.service.as_str()), ("state", state.as_str())];
                (labels, u64::from(one.state == state))
            })
        });
        self.gauges(
            "service_state",
            "1 for the state that the service is in",
            states,
        )?;
        let blocked = services.iter().flat_map(|one| {
            let blocked = one.state == ServiceState::Blocked;
            let code = one.reason.as_ref().filter(|_| blocked).map(|it| it.code);
            Reason::ALL.map(|reason| {
                let labels = [
                    ("service", one.service.as_str()),
                    ("reason", reason.as_str()),
                ];
                (labels, u64::from(code == Some(reason)))
            })
        });
        self.gauges("blocked", "1 for what the service waits for", blocked)
    }

    fn keys(&mut self, services: &[ServiceProgress]) -> fmt::Result {
        let mut each = |name, help, value: fn(&ServiceProgress) -> f64| {
            let series = services.iter().map(|one| ([service(one)], value(one)));
            self.gauges(name, help, series)
        };
        each(
            "keys_remaining",
            "Rows of this host at zeros; NaN before the first look",
            |one| {
                if one.pass.number == 0 && one.state != ServiceState::Disabled {
                    f64::NAN
                } else {
                    float(one.keys.remaining)
                }
            },
        )?;
        each(
            "keys_deferred",
            "Of these, rows that wait for something that passes",
            |one| float(one.keys.deferred),
        )?;
        each(
            "keys_failed",
            "Of these, rows that failed in the last pass, or in this one",
            |one| float(one.keys.failed),
        )?;
        each("keys_in_flight", "Keys that are being worked on", |one| {
            float(one.keys.in_flight)
        })?;
        each(
            "concurrency_limit",
            "Most keys in flight that are allowed now",
            |one| float(one.totals.concurrency_limit),
        )?;
        let last_pass = services.iter().map(|one| {
            let at = one
                .totals
                .last_pass_at
                .map_or(0.0, |at| at.as_duration().as_secs_f64());
            ([service(one)], at)
        });
        let help = "When the last pass ended; 0 for never";
        self.gauges_of("last_pass_timestamp", help, Some(&Unit::Seconds), last_pass)
    }

    fn failures(&mut self, services: &[ServiceProgress]) -> fmt::Result {
        let migrated = services
            .iter()
            .map(|one| ([service(one)], one.keys.migrated));
        self.counters(
            "keys_migrated",
            "Rows that got a secret of their own",
            migrated,
        )?;
        let failures = services.iter().flat_map(|one| {
            let rows = RowReason::ALL.map(|reason| {
                let count = one.totals.row_failures.get(&reason);
                (reason.as_str(), count.copied().unwrap_or(0))
            });
            let faults = Reason::ALL.map(|reason| {
                let count = one.totals.faults.get(&reason);
                (reason.as_str(), count.copied().unwrap_or(0))
            });
            rows.into_iter()
                .chain(faults)
                .map(|(reason, count)| ([service(one), ("reason", reason)], count))
        });
        let help = "Failures of single rows, and of what would hit every row";
        self.counters("key_failures", help, failures)
    }

    fn global(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let census = snapshot.global.as_ref().map(|counted| &counted.census);
        let or_unknown = |count: Option<u64>| count.map_or(f64::NAN, float);
        let remaining = [
            ("volume", census.map(|it| it.volumes)),
            ("snapshot", census.map(|it| it.snapshots)),
            ("backup", census.map(|it| it.backups)),
        ];
        let remaining = remaining.map(|(kind, n)| ([("resource", kind)], or_unknown(n)));
        let help = "Rows at zeros on all hosts, the same on every host; NaN before the first count";
        self.gauges("global_remaining", help, remaining)?;
        let unowned = [
            ("volume", census.map(|it| it.unowned_volumes)),
            ("backup", census.map(|it| it.unowned_backups)),
        ];
        let unowned = unowned.map(|(kind, n)| ([("resource", kind)], or_unknown(n)));
        let help = "Of these, rows of no service that is up; NaN before the first count";
        self.gauges("unowned_rows", help, unowned)?;
        self.single(
            "orphan_secrets",
            "Superseded secrets",
            None,
            snapshot.orphan_secrets,
        )?;
        let counted_at = snapshot.global.as_ref().map(|counted| counted.counted_at);
        let counted_at = counted_at.map_or(0.0, |at| at.as_duration().as_secs_f64());
        let help = "When rows were last counted on all hosts; 0 for never";
        self.single(
            "last_count_timestamp",
            help,
            Some(&Unit::Seconds),
            counted_at,
        )?;
        let verdict = snapshot.fixed_key.verdict;
        let verdicts =
            Verdict::ALL.map(|one| ([("verdict", one.as_str())], u64::from(one == verdict)));
        self.gauges(
            "fixed_key_verdict",
            "1 for whether the fixed key may go",
            verdicts,
        )
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'l>; N], impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        self.gauges_of(name, help, None, series)
    }

    fn gauges_of<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        series: impl IntoIterator<Item = ([Label<'l>; N], impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn single(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.begin(name, help, unit, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }
}

fn service(progress: &ServiceProgress) -> Label<'static> {
    ("service", progress.service.as_str())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows no other number"
)]
fn float(count: u64) -> f64 {
    count as f64
}

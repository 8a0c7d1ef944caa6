use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use key_migration::ids::Service;
use key_migration::progress::{Counted, ServiceProgress, StatedReason};
use key_migration::reasons::{Reason, RowReason, ServiceState};
use key_migration::rows::Census;
use key_migration::service::Heartbeat;
use openstack_client::{Api, Operation, Outcome, RequestObserver as _};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::*;

mod events;
mod openapi;
mod page;

/// A process as HTTP sees it, and the ends that move it.
pub(super) struct Process {
    router: axum::Router,
    requests: RequestDurations,
    volume: watch::Sender<ServiceProgress>,
    backup: watch::Sender<ServiceProgress>,
    view: Arc<View>,
    counted: watch::Sender<Option<Counted>>,
    reached: watch::Sender<bool>,
    host: watch::Sender<String>,
    _known: watch::Sender<Known>,
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(super) fn process() -> Process {
    process_that_knows(Known::default())
}

fn process_that_knows(known: Known) -> Process {
    let started_at = at("2026-11-23T08:00:00Z");
    let progress = |service, owned: &str| {
        watch::channel(ServiceProgress::starting(
            service,
            vec![owned.into()],
            started_at,
        ))
    };
    let (volume, of_volume) = progress(Service::Volume, "host1@lvm");
    let (backup, of_backup) = progress(Service::Backup, "host1");
    let (counted, of_counted) = watch::channel(None);
    let (reached, of_reached) = watch::channel(false);
    let (known, evidence) = watch::channel(known);
    let (host, of_host) = watch::channel("host1".to_owned());
    let one = |service, progress| Loop {
        service,
        progress,
        heartbeat: Arc::new(Heartbeat::new()),
        through: CancellationToken::new(),
    };
    let view = Arc::new(View {
        started_at,
        host: of_host,
        loops: vec![
            one(Service::Volume, of_volume),
            one(Service::Backup, of_backup),
        ],
        counted: of_counted,
        evidence,
        database_reached: of_reached,
    });
    let requests = RequestDurations::new();
    let metrics = Arc::new(Metrics::new(Arc::clone(&view), &requests));
    Process {
        router: router(Arc::clone(&view), metrics),
        view,
        requests,
        volume,
        backup,
        counted,
        reached,
        host,
        _known: known,
    }
}

impl Process {
    /// The end that the loop of the backup service moves, so that nobody else holds it.
    fn take_backup(&mut self) -> watch::Sender<ServiceProgress> {
        std::mem::replace(&mut self.backup, self.volume.clone())
    }

    async fn send(&self, request: Request<Body>) -> Response {
        let router = self.router.clone();
        router.oneshot(request).await.expect("a router never fails")
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        text(self.send(request).await).await
    }

    async fn status(&self) -> Value {
        let (code, body) = self.get("/v1/status").await;
        assert_eq!(code, StatusCode::OK);
        serde_json::from_str(&body).expect("JSON")
    }

    /// The value of a series without the prefix, as it is written.
    async fn metric(&self, series: &str) -> Option<String> {
        let (code, body) = self.get("/metrics").await;
        assert_eq!(code, StatusCode::OK);
        let start = format!("cinder_key_migrator_{series} ");
        let mut lines = body.lines();
        lines.find_map(|line| line.strip_prefix(&start).map(str::to_owned))
    }
}

async fn text(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("a body");
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

fn ok(text: &str) -> (StatusCode, String) {
    (StatusCode::OK, text.to_owned())
}

fn blocked_for_a_role(progress: &mut ServiceProgress) {
    progress.state = ServiceState::Blocked;
    progress.since = at("2026-11-23T08:01:00Z");
    progress.reason = Some(StatedReason {
        code: Reason::RoleMissing,
        message: "Forbidden: Secret creation attempt not allowed".into(),
    });
    progress.remedy = Some("openstack role add --user cinder --project service creator".into());
    progress.next_attempt_at = Some(at("2026-11-23T08:02:00Z"));
    progress.pass.number = 3;
    progress.pass.started_at = Some(at("2026-11-23T08:01:00Z"));
    progress.keys.remaining = 35;
}

#[tokio::test]
async fn status_is_what_the_design_shows() {
    let process = process();
    process.volume.send_modify(blocked_for_a_role);
    let counted_at = at("2026-11-23T08:01:02Z");
    let census = Census {
        volumes: 35,
        snapshots: 70,
        backups: 4,
        ..Census::default()
    };
    process
        .counted
        .send_replace(Some(Counted { counted_at, census }));
    let status = process.status().await;
    let mut services = status["services"].as_array().expect("services").clone();
    services.truncate(1);
    let expected = json!([{
        "service": "volume",
        "state": "blocked",
        "since": "2026-11-23T08:01:00Z",
        "owned": ["host1@lvm"],
        "reason": {
            "code": "role_missing",
            "message": "Forbidden: Secret creation attempt not allowed",
        },
        "remedy": "openstack role add --user cinder --project service creator",
        "next_attempt_at": "2026-11-23T08:02:00Z",
        "pass": {"number": 3, "started_at": "2026-11-23T08:01:00Z", "finished_at": null},
        "keys": {"remaining": 35, "migrated": 0, "failed": 0, "deferred": 0, "in_flight": 0},
        "rate_per_second": 0.0,
        "eta_seconds": null,
    }]);
    assert_eq!(Value::Array(services), expected);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["host"], "host1");
    assert_eq!(status["started_at"], "2026-11-23T08:00:00Z");
    let global = json!({
        "counted_at": "2026-11-23T08:01:02Z",
        "volumes": 35,
        "snapshots": 70,
        "backups": 4,
        "unowned": {"volumes": 0, "backups": 0},
        "hosts": [],
        "more_hosts": 0,
    });
    assert_eq!(status["global"], global);
    assert_eq!(status["orphan_secrets"], 0);
    assert_eq!(status["fixed_key"]["verdict"], "no");
    assert_eq!(status["fixed_key"]["evaluated_at"], "2026-11-23T08:01:02Z");
    let blocker = &status["fixed_key"]["blockers"][0];
    assert_eq!(blocker["code"], "volumes_remaining");
    assert_eq!(blocker["count"], 35);
    let names: BTreeSet<_> = status.as_object().expect("an object").keys().collect();
    let all = [
        "fixed_key",
        "global",
        "host",
        "orphan_secrets",
        "services",
        "started_at",
        "version",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn before_anything_was_counted_status_says_so() {
    let process = process();
    let status = process.status().await;
    assert_eq!(status["global"], Value::Null);
    assert_eq!(status["services"][1]["state"], "starting");
    assert_eq!(status["fixed_key"]["verdict"], "unknown");
    assert_eq!(status["fixed_key"]["evaluated_at"], Value::Null);
}

#[tokio::test]
async fn orphans_of_all_services_are_added() {
    let process = process();
    process
        .volume
        .send_modify(|it| it.totals.orphan_secrets = 2);
    process
        .backup
        .send_modify(|it| it.totals.orphan_secrets = 3);
    assert_eq!(process.status().await["orphan_secrets"], 5);
    assert_eq!(process.metric("orphan_secrets").await.as_deref(), Some("5"));
}

#[tokio::test]
async fn a_service_in_any_state_is_alive_and_shown_by_one_series() {
    let process = process();
    for state in ServiceState::ALL {
        process.volume.send_modify(|it| it.state = state);
        assert_eq!(process.get("/livez").await, ok("ok"));
        for other in ServiceState::ALL {
            let series = format!(
                "service_state{{service=\"volume\",state=\"{}\"}}",
                other.as_str()
            );
            let value = if other == state { "1" } else { "0" };
            assert_eq!(process.metric(&series).await.as_deref(), Some(value));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_move_for_a_minute_is_not_alive() {
    let process = process();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(process.get("/livez").await, ok("ok"));
    tokio::time::advance(Duration::from_secs(2)).await;
    let (code, body) = process.get("/livez").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        "[-]volume failed: the loop of the volume service has not moved for 62 s\n\
         [-]backup failed: the loop of the backup service has not moved for 62 s\n\
         livez check failed\n"
    );
}

#[tokio::test]
async fn a_loop_that_crashed_is_not_alive() {
    let mut process = process();
    let progress = process.take_backup();
    let task = process.view.loops[1].watch(progress, async { panic!("on purpose") });
    tokio::spawn(task).await.expect_err("a crash");
    let (code, body) = process.get("/livez").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        "[+]volume ok\n[-]backup failed: the loop of the backup service has ended\n\
         livez check failed\n"
    );
    let (code, body) = process.get("/healthcheck").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, "the loop of the backup service has ended");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_through_is_not_dead_however_long_the_other_takes() {
    let mut process = process();
    let progress = process.take_backup();
    let (finish, finished) = oneshot::channel();
    let task = process.view.loops[1].watch(progress, finished);
    let task = tokio::spawn(task);
    assert_eq!(process.get("/livez").await, ok("ok"));
    finish.send(()).expect("the loop waits");
    task.await.expect("no crash").expect("it was told");
    tokio::time::advance(Duration::from_secs(120)).await;
    let (_, body) = process.get("/livez").await;
    assert_eq!(
        body,
        "[-]volume failed: the loop of the volume service has not moved for 120 s\n\
         [+]backup ok\nlivez check failed\n"
    );
    let (_, body) = process.get("/healthcheck").await;
    assert_eq!(
        body,
        "the loop of the volume service has not moved for 120 s"
    );
}

#[tokio::test]
async fn readiness_comes_with_the_first_answer_of_the_database_and_stays() {
    let process = process();
    let (code, body) = process.get("/readyz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        body,
        "[+]configuration ok\n[-]database failed: not reached yet\nreadyz check failed\n"
    );
    process.reached.send_replace(true);
    process.volume.send_modify(blocked_for_a_role);
    assert_eq!(process.get("/readyz").await, ok("ok"));
    let verbose = "[+]configuration ok\n[+]database ok\nreadyz check passed\n";
    for query in ["verbose", "verbose=", "a=b&verbose=true"] {
        assert_eq!(process.get(&format!("/readyz?{query}")).await, ok(verbose));
    }
    assert_eq!(process.get("/readyz?quiet").await, ok("ok"));
}

#[tokio::test]
async fn healthcheck_answers_as_oslo_middleware_does() {
    let process = process();
    assert_eq!(process.get("/healthcheck").await, ok("OK"));
    let head = Request::head("/healthcheck")
        .body(Body::empty())
        .expect("a request");
    let (code, body) = text(process.send(head).await).await;
    assert_eq!((code, body.as_str()), (StatusCode::NO_CONTENT, ""));
    for (accept, content_type) in [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
    ] {
        let request = Request::get("/healthcheck").header("accept", accept);
        let answer = process
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(answer.headers()["content-type"], content_type);
        let (code, body) = text(answer).await;
        assert_eq!(code, StatusCode::OK);
        match accept {
            "text/html" => assert!(body.contains("<td>OK</td>"), "{body}"),
            "application/json" => assert_eq!(
                serde_json::from_str::<Value>(&body).expect("JSON"),
                json!({"detailed": false, "reasons": ["OK"]})
            ),
            _ => assert_eq!(body, "OK"),
        }
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let process = process();
    for path in ["/livez", "/v1/status", "/metrics", "/nowhere"] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let request = Request::builder().method(method).uri(path);
            let answer = process
                .send(request.body(Body::empty()).expect("a request"))
                .await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.headers()["allow"], "GET, HEAD");
        }
    }
    let head = Request::head("/v1/status")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(text(process.send(head).await).await, ok(""));
    assert_eq!(process.get("/nowhere").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn metrics_are_open_metrics_and_those_of_the_design() {
    let process = process();
    let request = Request::get("/metrics")
        .body(Body::empty())
        .expect("a request");
    let answer = process.send(request).await;
    assert_eq!(
        answer.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let (_, body) = text(answer).await;
    assert!(body.ends_with("# EOF\n"));
    let series = body.lines().filter(|line| !line.starts_with('#'));
    let mut seen = BTreeSet::new();
    for line in series {
        let (name, rest) = line.split_once(['{', ' ']).expect("a series");
        let labels = rest.split_once('}').map_or("", |(labels, _)| labels);
        let labels: Vec<_> = labels
            .split("\",")
            .filter_map(|label| label.split_once('=').map(|(name, _)| name))
            .filter(|name| *name != "le")
            .collect();
        let name = name
            .strip_prefix("cinder_key_migrator_")
            .expect("our prefix");
        seen.insert(format!("{name}{{{}}}", labels.join(",")));
    }
    let design = [
        "blocked{service,reason}",
        "build_info{version}",
        "concurrency_limit{service}",
        "fixed_key_verdict{verdict}",
        "global_remaining{resource}",
        "key_failures_total{service,reason}",
        "keys_deferred{service}",
        "keys_failed{service}",
        "keys_in_flight{service}",
        "keys_migrated_total{service}",
        "keys_remaining{service}",
        "last_count_timestamp_seconds{}",
        "last_pass_timestamp_seconds{service}",
        "orphan_secrets{}",
        "request_duration_seconds_bucket{api,operation,outcome}",
        "request_duration_seconds_count{api,operation,outcome}",
        "request_duration_seconds_sum{api,operation,outcome}",
        "service_state{service,state}",
        "unowned_rows{resource}",
    ];
    assert_eq!(seen, design.map(str::to_owned).into());
}

#[tokio::test]
async fn every_reason_has_a_series_from_the_start() {
    let process = process();
    let rows = RowReason::ALL.map(RowReason::as_str);
    let faults = Reason::ALL.map(Reason::as_str);
    for reason in rows.into_iter().chain(faults) {
        let series = format!("key_failures_total{{service=\"backup\",reason=\"{reason}\"}}");
        assert_eq!(
            process.metric(&series).await.as_deref(),
            Some("0"),
            "{reason}"
        );
    }
    for reason in faults {
        let series = format!("blocked{{service=\"backup\",reason=\"{reason}\"}}");
        assert_eq!(
            process.metric(&series).await.as_deref(),
            Some("0"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn metrics_follow_the_snapshot() {
    let process = process();
    process.volume.send_modify(|it| {
        blocked_for_a_role(it);
        it.keys.migrated = 7;
        it.keys.deferred = 2;
        it.totals.concurrency_limit = 32;
        it.totals.faults.insert(Reason::RoleMissing, 4);
        it.totals.row_failures.insert(RowReason::Raced, 5);
        it.totals.last_pass_at = Some(at("1970-01-01T00:01:00.5Z"));
    });
    for (series, value) in [
        ("blocked{service=\"volume\",reason=\"role_missing\"}", "1"),
        ("blocked{service=\"volume\",reason=\"quota_reached\"}", "0"),
        ("blocked{service=\"backup\",reason=\"role_missing\"}", "0"),
        ("keys_remaining{service=\"volume\"}", "35.0"),
        ("keys_remaining{service=\"backup\"}", "NaN"),
        ("keys_deferred{service=\"volume\"}", "2.0"),
        ("keys_migrated_total{service=\"volume\"}", "7"),
        ("concurrency_limit{service=\"volume\"}", "32.0"),
        (
            "key_failures_total{service=\"volume\",reason=\"role_missing\"}",
            "4",
        ),
        (
            "key_failures_total{service=\"volume\",reason=\"raced\"}",
            "5",
        ),
        ("last_pass_timestamp_seconds{service=\"volume\"}", "60.5"),
        ("last_pass_timestamp_seconds{service=\"backup\"}", "0.0"),
        ("fixed_key_verdict{verdict=\"unknown\"}", "1"),
    ] {
        assert_eq!(
            process.metric(series).await.as_deref(),
            Some(value),
            "{series}"
        );
    }
}

#[tokio::test]
async fn what_was_not_counted_yet_is_no_number() {
    let process = process();
    let series = "global_remaining{resource=\"snapshot\"}";
    assert_eq!(process.metric(series).await.as_deref(), Some("NaN"));
    let census = Census {
        snapshots: 3,
        unowned_backups: 2,
        ..Census::default()
    };
    let counted_at = at("1970-01-01T00:02:00Z");
    process
        .counted
        .send_replace(Some(Counted { counted_at, census }));
    assert_eq!(process.metric(series).await.as_deref(), Some("3.0"));
    for (series, value) in [
        ("unowned_rows{resource=\"backup\"}", "2.0"),
        ("last_count_timestamp_seconds", "120.0"),
        ("fixed_key_verdict{verdict=\"no\"}", "1"),
        ("fixed_key_verdict{verdict=\"unknown\"}", "0"),
    ] {
        assert_eq!(
            process.metric(series).await.as_deref(),
            Some(value),
            "{series}"
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_closed_lists() {
    let process = process();
    let count = "request_duration_seconds_count{api=\"barbican\",operation=\"store\",\
         outcome=\"success\"}";
    assert_eq!(process.metric(count).await.as_deref(), Some("0"));
    let took = Duration::from_millis(20);
    process
        .requests
        .observe(Api::Barbican, Operation::Store, Outcome::Success, took);
    assert_eq!(process.metric(count).await.as_deref(), Some("1"));
    let bucket = |le: &str| {
        let labels = "api=\"barbican\",operation=\"store\",outcome=\"success\"";
        format!("request_duration_seconds_bucket{{le=\"{le}\",{labels}}}")
    };
    assert_eq!(process.metric(&bucket("0.01")).await.as_deref(), Some("0"));
    assert_eq!(process.metric(&bucket("0.025")).await.as_deref(), Some("1"));
}

//! The shapes of the answers.

use key_migration::ids::{ResourceKind, Service};
use key_migration::reasons::{Reason, RowReason, ServiceState};
use key_migration::verdict::{Item, Verdict};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

#[derive(ToSchema)]
pub(super) struct Status {
    version: String,
    /// `[DEFAULT] host`
    host: String,
    #[schema(format = DateTime)]
    started_at: String,
    services: Vec<ServiceStatus>,
    /// Rows at zeros on all hosts; null before the first count.
    #[schema(required)]
    global: Option<Global>,
    /// Secrets of this program's that no row refers to and that are not going to be used.
    orphan_secrets: u64,
    fixed_key: FixedKey,
}

#[derive(ToSchema)]
struct ServiceStatus {
    #[schema(schema_with = services)]
    service: String,
    #[schema(schema_with = states)]
    state: String,
    /// Since when it is in that state, and for that reason.
    #[schema(format = DateTime)]
    since: String,
    /// The host, `host@backend` or `cluster@backend` names whose rows it owns.
    owned: Vec<String>,
    /// Why it is blocked or disabled.
    #[schema(required)]
    reason: Option<StatedReason>,
    /// What the operator can do about it.
    #[schema(required)]
    remedy: Option<String>,
    /// When it tries again by itself.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    pass: Pass,
    keys: Keys,
    /// Keys migrated a second, over the last minute.
    rate_per_second: f64,
    /// Seconds until nothing is left on this host at that rate.
    #[schema(required)]
    eta_seconds: Option<u64>,
}

#[derive(ToSchema)]
struct StatedReason {
    #[schema(schema_with = reasons)]
    code: String,
    message: String,
}

/// A walk over all rows of this host.
#[derive(ToSchema)]
struct Pass {
    /// Counted from 1 since the process started.
    number: u64,
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    /// Null while it is under way.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

/// Keys of this host.
#[derive(ToSchema)]
struct Keys {
    /// Rows at zeros.
    remaining: u64,
    /// Rows migrated since the process started.
    migrated: u64,
    /// Of those remaining, how many failed.
    failed: u64,
    /// Of those remaining, how many wait for something that passes by itself.
    deferred: u64,
    /// Keys that are being worked on now.
    in_flight: u64,
}

#[derive(ToSchema)]
struct Global {
    #[schema(format = DateTime)]
    counted_at: String,
    volumes: u64,
    snapshots: u64,
    backups: u64,
    unowned: Unowned,
    /// Where the volumes and backups are: first those that nobody migrates, then those with most.
    /// Snapshots are where their volume is.
    hosts: Vec<HostRows>,
    /// How many places more there are than the 100 that are told.
    more_hosts: u64,
}

/// Rows at zeros at one place.
#[derive(ToSchema)]
struct HostRows {
    /// `host@backend` of volumes, the host alone of backups; null where the rows have none.
    #[schema(required)]
    host: Option<String>,
    /// `cluster@backend`, of volumes only.
    #[schema(required)]
    cluster: Option<String>,
    volumes: u64,
    backups: u64,
    /// Whether a Cinder service that is up owns them.
    service_up: bool,
}

/// Of these, rows of no service that is up.
#[derive(ToSchema)]
struct Unowned {
    volumes: u64,
    backups: u64,
}

/// Whether the fixed key may leave the configuration files.
#[derive(ToSchema)]
struct FixedKey {
    #[schema(schema_with = verdicts)]
    verdict: String,
    /// When the rows were counted that it rests on.
    #[schema(required, format = DateTime)]
    evaluated_at: Option<String>,
    /// Why it is not `yes`.
    blockers: Vec<Blocker>,
    /// What people answer for.
    attested: Vec<Attested>,
}

#[derive(ToSchema)]
struct Blocker {
    code: String,
    /// Null where nobody has counted.
    #[schema(required)]
    count: Option<u64>,
    message: String,
}

#[derive(ToSchema)]
struct Attested {
    #[schema(schema_with = items)]
    item: String,
    by: String,
    #[schema(format = DateTime)]
    at: String,
    statement: String,
}

#[derive(ToSchema)]
pub(super) struct Rows {
    rows: Vec<Row>,
}

#[derive(ToSchema)]
struct Row {
    #[schema(schema_with = services)]
    service: String,
    #[schema(schema_with = resources)]
    resource: String,
    id: String,
    state: RowState,
    #[schema(schema_with = row_reasons)]
    reason: String,
    message: String,
    #[schema(format = DateTime)]
    since: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum RowState {
    Failed,
    Deferred,
}

fn services() -> Schema {
    one_of([Service::Volume, Service::Backup].map(Service::as_str))
}

fn states() -> Schema {
    one_of(ServiceState::ALL.map(ServiceState::as_str))
}

fn reasons() -> Schema {
    one_of(Reason::ALL.map(Reason::as_str))
}

fn row_reasons() -> Schema {
    one_of(RowReason::ALL.map(RowReason::as_str))
}

fn resources() -> Schema {
    let all = [
        ResourceKind::Volume,
        ResourceKind::Snapshot,
        ResourceKind::Backup,
    ];
    one_of(all.map(ResourceKind::as_str))
}

fn verdicts() -> Schema {
    one_of(Verdict::ALL.map(Verdict::as_str))
}

fn items() -> Schema {
    one_of(Item::ALL.map(Item::as_str))
}

fn one_of<const N: usize>(names: [&'static str; N]) -> Schema {
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names));
    names.build().into()
}

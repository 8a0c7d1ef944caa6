//! The state of the cloud, what was asked of it, and what goes wrong in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef, SecretId, SecretName};
use key_migration::reasons::Fault;
use key_migration::rows::{Readers, RowStatus};
use tokio::time::Instant;

pub(crate) const ALICE: &str = "alice";
pub(crate) const BOB: &str = "bob";

/// The bytes of the fixed key of every host here.
pub(crate) const KEY: [u8; 32] = [0x5a; 32];

pub(crate) fn volume(id: &str) -> RowRef {
    row(ResourceKind::Volume, id)
}

pub(crate) fn snapshot(id: &str) -> RowRef {
    row(ResourceKind::Snapshot, id)
}

pub(crate) fn backup(id: &str) -> RowRef {
    row(ResourceKind::Backup, id)
}

fn row(kind: ResourceKind, id: &str) -> RowRef {
    RowRef {
        kind,
        id: id.into(),
    }
}

/// Everything that can be asked of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Probe,
    Store,
    SetReaders,
    Payload,
    Delete,
    Find,
    List,
    AnyRow,
    CountZero,
    ZeroRows,
    Row,
    Keys,
    RefersTo,
    Switch,
    Census,
}

impl Op {
    pub(crate) const BARBICAN: [Self; 7] = [
        Self::Probe,
        Self::Store,
        Self::SetReaders,
        Self::Payload,
        Self::Delete,
        Self::Find,
        Self::List,
    ];
    pub(crate) const DATABASE: [Self; 8] = [
        Self::AnyRow,
        Self::CountZero,
        Self::ZeroRows,
        Self::Row,
        Self::Keys,
        Self::RefersTo,
        Self::Switch,
        Self::Census,
    ];
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Refused or not reached, for a reason that hits every request like it.
    Fault(Fault),
    /// Barbican fails, having done nothing.
    Failed(String),
    /// Barbican does not accept this request.
    Refused(String),
    /// Barbican does not see the secret.
    NotFound,
    /// No answer to a POST; perhaps it takes effect all the same.
    Unanswered { lands_after: Option<Duration> },
    /// The payload reads differently.
    Corrupt,
    /// The database did it, and its answer was lost.
    ReplyLost(Fault),
    /// Others kept the row locked.
    Contended,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: Op,
    /// The row that it was about, or nothing.
    pub(crate) about: String,
    /// Since the cloud was made.
    pub(crate) at: Duration,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} @{}s", self.op, self.about, self.at.as_secs())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) id: SecretId,
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) readers: Option<Readers>,
    pub(crate) ours: bool,
    pub(crate) active: bool,
    pub(crate) deleted: bool,
    pub(crate) stored_at: Instant,
    /// How old it was when this story began.
    pub(crate) older_by: Duration,
    /// Which daemon was told that it is stored.
    pub(crate) told_to: Option<u64>,
    pub(crate) read_equal_at: Option<Instant>,
}

impl Secret {
    pub(crate) fn age(&self) -> Duration {
        self.older_by + self.stored_at.elapsed()
    }

    pub(crate) fn row(&self) -> Option<RowRef> {
        SecretName::row(&self.name)
    }
}

/// A row of any of the three tables.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) status: RowStatus,
    pub(crate) host: String,
    pub(crate) deleted: bool,
    pub(crate) volume: Option<String>,
    pub(crate) unowned: bool,
    /// When it last left all zeros.
    pub(crate) left_zeros: Option<Instant>,
}

impl Row {
    pub(crate) fn is_zero(&self) -> bool {
        !self.deleted && self.key.as_deref() == Some(ALL_ZEROS)
    }
}

struct Rule {
    op: Op,
    about: Option<String>,
    left: u32,
    trouble: Trouble,
}

type Hook = Box<dyn FnOnce(&mut World) + Send>;
type Chaos = Box<dyn FnMut(&mut World, Op) -> Option<Trouble> + Send>;

/// Everything there is.
pub(crate) struct World {
    pub(crate) rows: BTreeMap<RowRef, Row>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) calls: Vec<Call>,
    pub(crate) most_in_flight: usize,
    pub(crate) violations: Vec<String>,
    pub(crate) daemons: u64,
    pub(crate) page_size: usize,
    /// When this daemon last looked for secrets of a row, successfully.
    pub(crate) looked: BTreeMap<String, Instant>,
    pub(crate) listed: Option<Instant>,
    in_flight: usize,
    born: Instant,
    ids: u128,
    rules: Vec<Rule>,
    hooks: Vec<(Op, Hook)>,
    latencies: Vec<(Op, Option<String>, Duration)>,
    chaos: Option<Chaos>,
}

/// The cloud that daemons and tests share.
#[derive(Clone)]
pub(crate) struct Cloud(Arc<Mutex<World>>);

impl Cloud {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            rows: BTreeMap::new(),
            secrets: Vec::new(),
            calls: Vec::new(),
            most_in_flight: 0,
            violations: Vec::new(),
            daemons: 0,
            page_size: 100,
            looked: BTreeMap::new(),
            listed: None,
            in_flight: 0,
            born: Instant::now(),
            ids: 0,
            rules: Vec::new(),
            hooks: Vec::new(),
            latencies: Vec::new(),
            chaos: None,
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Volumes `v1`, `v2`, ... of Alice at zeros, on this host.
    pub(crate) fn with_volumes(self, count: usize) -> Self {
        for number in 1..=count {
            self.world().add(volume(&format!("v{number}")), None);
        }
        self
    }

    /// Backups `b1`, `b2`, ... of Alice at zeros, on this host.
    pub(crate) fn with_backups(self, count: usize) -> Self {
        for number in 1..=count {
            self.world().add(backup(&format!("b{number}")), None);
        }
        self
    }

    /// A snapshot at zeros.
    pub(crate) fn with_snapshot(self, id: &str, of: &str, user: &str) -> Self {
        self.world().add_snapshot(id, of, user);
        self
    }

    /// A secret under the name of a row, stored by an earlier run.
    pub(crate) fn with_secret(self, of: &RowRef, age: Duration) -> (Self, SecretId) {
        let secret = self.world().insert_secret(SecretName::of(of).as_str());
        self.world().secret(secret).older_by = age;
        (self, secret)
    }

    /// From now on, requests of this kind go wrong.
    pub(crate) fn always(&self, op: Op, trouble: Trouble) {
        self.rule(op, None, u32::MAX, trouble);
    }

    /// So many requests of this kind go wrong.
    pub(crate) fn times(&self, times: u32, op: Op, trouble: Trouble) {
        self.rule(op, None, times, trouble);
    }

    /// From now on, requests of this kind for one row go wrong.
    pub(crate) fn always_for(&self, row: &str, op: Op, trouble: Trouble) {
        self.rule(op, Some(row), u32::MAX, trouble);
    }

    fn rule(&self, op: Op, about: Option<&str>, left: u32, trouble: Trouble) {
        self.world().rules.push(Rule {
            op,
            about: about.map(Into::into),
            left,
            trouble,
        });
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        let mut world = self.world();
        world.rules.clear();
        world.chaos = None;
    }

    /// Just before the next request of this kind takes effect, this happens; given more than once,
    /// one happens before each.
    pub(crate) fn before(&self, op: Op, hook: impl FnOnce(&mut World) + Send + 'static) {
        self.world().hooks.push((op, Box::new(hook)));
    }

    /// Decides for every request what goes wrong with it.
    pub(crate) fn with_chaos(
        &self,
        chaos: impl FnMut(&mut World, Op) -> Option<Trouble> + Send + 'static,
    ) {
        self.world().chaos = Some(Box::new(chaos));
    }

    /// Requests of this kind take this long.
    pub(crate) fn slow(&self, op: Op, latency: Duration) {
        self.world().latencies.push((op, None, latency));
    }

    /// Requests of this kind for one row take this long.
    pub(crate) fn slow_for(&self, row: &str, op: Op, latency: Duration) {
        self.world().latencies.push((op, Some(row.into()), latency));
    }

    /// What was asked, of this kind.
    pub(crate) fn calls(&self, op: Op) -> Vec<Call> {
        let world = self.world();
        let calls = world.calls.iter().filter(|call| call.op == op);
        calls.cloned().collect()
    }

    /// The seconds at which requests of this kind came in.
    pub(crate) fn seconds_of(&self, op: Op) -> Vec<u64> {
        let calls = self.calls(op);
        calls.iter().map(|call| call.at.as_secs()).collect()
    }

    /// The secret that a row refers to, if it refers to one that exists.
    pub(crate) fn secret_of(&self, row: &RowRef) -> Option<Secret> {
        let world = self.world();
        let key = world.rows[row].key.as_deref()?.parse().ok()?;
        let secret = world.secrets.iter().find(|secret| secret.id == key)?;
        (!secret.deleted).then(|| secret.clone())
    }

    pub(crate) fn key_of(&self, row: &RowRef) -> Option<String> {
        self.world().rows[row].key.clone()
    }

    /// The secrets that exist.
    pub(crate) fn live_secrets(&self) -> Vec<SecretId> {
        let world = self.world();
        let live = world.secrets.iter().filter(|secret| !secret.deleted);
        live.map(|secret| secret.id).collect()
    }

    pub(crate) async fn enter(&self, op: Op, about: &str) -> (InFlight, Option<Trouble>) {
        let in_flight = InFlight::new(self, op);
        let latency = {
            let mut world = self.world();
            let at = world.born.elapsed();
            let about = about.to_owned();
            let latency = world.latency(op, &about);
            world.calls.push(Call { op, about, at });
            latency
        };
        tokio::time::sleep(latency / 2).await;
        (in_flight, self.world().happens(op, about))
    }

    pub(crate) async fn leave(&self, op: Op, about: &str, in_flight: InFlight) {
        let latency = self.world().latency(op, about);
        tokio::time::sleep(latency / 2).await;
        drop(in_flight);
    }
}

impl World {
    /// What happens just before a request takes effect, and what goes wrong with it.
    fn happens(&mut self, op: Op, about: &str) -> Option<Trouble> {
        if let Some(next) = self.hooks.iter().position(|(when, _)| *when == op) {
            let (_, hook) = self.hooks.remove(next);
            hook(self);
        }
        self.trouble(op, about)
    }

    pub(crate) fn add(&mut self, row: RowRef, volume: Option<&str>) {
        let host = match row.kind {
            ResourceKind::Backup => "host1",
            _ => "host1@lvm#pool",
        };
        let fresh = Row {
            key: Some(ALL_ZEROS.into()),
            user_id: Some(ALICE.into()),
            status: RowStatus {
                status: Some("available".into()),
                migration_status: None,
            },
            host: host.into(),
            deleted: false,
            volume: volume.map(Into::into),
            unowned: false,
            left_zeros: None,
        };
        self.rows.insert(row, fresh);
    }

    pub(crate) fn add_snapshot(&mut self, id: &str, of: &str, user: &str) {
        self.add(snapshot(id), Some(of));
        self.row(&snapshot(id)).user_id = Some(user.into());
    }

    pub(crate) fn row(&mut self, row: &RowRef) -> &mut Row {
        self.rows.get_mut(row).expect("a row that the test made")
    }

    /// Somebody gives the row a key of its own.
    pub(crate) fn rekey(&mut self, row: &RowRef, key: &str) {
        let now = Instant::now();
        let row = self.row(row);
        row.left_zeros = Some(now);
        row.key = Some(key.into());
    }

    pub(crate) fn delete(&mut self, row: &RowRef) {
        let now = Instant::now();
        let row = self.row(row);
        row.left_zeros = Some(now);
        row.deleted = true;
    }

    pub(crate) fn set_status(&mut self, row: &RowRef, status: &str) {
        self.row(row).status.status = Some(status.into());
    }

    /// The secret exists from now on.
    pub(crate) fn insert_secret(&mut self, name: &str) -> SecretId {
        self.ids += 1;
        let id = SecretId::new(uuid::Uuid::from_u128(self.ids)).expect("not nil");
        self.secrets.push(Secret {
            id,
            name: name.into(),
            payload: KEY.to_vec(),
            readers: None,
            ours: true,
            active: true,
            deleted: false,
            stored_at: Instant::now(),
            older_by: Duration::ZERO,
            told_to: None,
            read_equal_at: None,
        });
        id
    }

    pub(crate) fn secret(&mut self, id: SecretId) -> &mut Secret {
        let mut secrets = self.secrets.iter_mut();
        secrets
            .find(|secret| secret.id == id)
            .expect("a secret that was stored")
    }

    /// Whether a row that is not deleted refers to it.
    pub(crate) fn is_referred_to(&self, secret: SecretId) -> bool {
        let key = secret.to_string();
        let mut live = self.rows.values().filter(|row| !row.deleted);
        live.any(|row| row.key.as_deref() == Some(&key))
    }

    /// The ID of the row that a secret was stored for.
    pub(crate) fn about(&self, secret: SecretId) -> String {
        let found = self.secrets.iter().find(|known| known.id == secret);
        let row = found.and_then(Secret::row);
        row.map(|row| row.id.to_string()).unwrap_or_default()
    }

    fn latency(&self, op: Op, about: &str) -> Duration {
        let matching = self
            .latencies
            .iter()
            .rev()
            .find(|(of, row, _)| *of == op && row.as_deref().is_none_or(|row| row == about));
        matching.map_or(Duration::ZERO, |(_, _, latency)| *latency)
    }

    fn trouble(&mut self, op: Op, about: &str) -> Option<Trouble> {
        if let Some(mut chaos) = self.chaos.take() {
            let trouble = chaos(self, op);
            self.chaos = Some(chaos);
            return trouble;
        }
        let rule = self.rules.iter_mut().find(|rule| {
            rule.op == op && rule.left > 0 && rule.about.as_deref().is_none_or(|row| row == about)
        })?;
        rule.left -= 1;
        Some(rule.trouble.clone())
    }
}

/// Counts the keys that wait for Barbican at the same time.
pub(crate) struct InFlight(Option<Cloud>);

impl InFlight {
    fn new(cloud: &Cloud, op: Op) -> Self {
        if op != Op::Store {
            return Self(None);
        }
        let mut world = cloud.world();
        world.in_flight += 1;
        world.most_in_flight = world.most_in_flight.max(world.in_flight);
        Self(Some(cloud.clone()))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(cloud) = &self.0 {
            cloud.world().in_flight -= 1;
        }
    }
}

//! The state of the cloud, what was asked of it, and what goes wrong in it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use key_migration::ids::{RowRef, SecretId, SecretName};
use key_migration::ports::Holds;
use key_migration::reasons::Fault;

use super::world::{Rule, Secret, World, backup, volume};

/// Everything that can be asked of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Probe,
    Store,
    SetReaders,
    LetRead,
    Readers,
    Describe,
    Payload,
    Delete,
    Find,
    List,
    AnyRow,
    CountZero,
    ZeroRows,
    Row,
    Keys,
    Referred,
    Holders,
    ReferredByDeleted,
    SharedRows,
    WhileUnneeded,
    Switch,
    Census,
}

impl Op {
    pub(crate) const BARBICAN: [Self; 10] = [
        Self::Probe,
        Self::Store,
        Self::SetReaders,
        Self::LetRead,
        Self::Readers,
        Self::Describe,
        Self::Payload,
        Self::Delete,
        Self::Find,
        Self::List,
    ];
    pub(crate) const DATABASE: [Self; 12] = [
        Self::AnyRow,
        Self::CountZero,
        Self::ZeroRows,
        Self::Row,
        Self::Keys,
        Self::Referred,
        Self::Holders,
        Self::ReferredByDeleted,
        Self::SharedRows,
        Self::WhileUnneeded,
        Self::Switch,
        Self::Census,
    ];
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Refused or not reached, for a reason that hits every request like it.
    Fault(Fault),
    /// Barbican does not let us do this with this secret.
    Forbidden(Fault),
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

/// The cloud that daemons and tests share.
#[derive(Clone)]
pub(crate) struct Cloud(Arc<Mutex<World>>);

impl Holds for Cloud {
    fn is_held(&self, row: &RowRef) -> bool {
        self.world().held.contains(row)
    }
}

impl Cloud {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World::new())))
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

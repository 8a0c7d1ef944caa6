//! What the cloud holds: rows, secrets, what was asked, and what is to go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef, SecretId, SecretName};
use key_migration::ports::StoredSecret;
use key_migration::rows::{Holder, Readers, RowKey, RowStatus};
use tokio::time::Instant;

use super::cloud::{Call, Op, Trouble};
use super::daemon::TestClock;
use super::ledger::MemoryLedger;

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

    /// What a listing shows of it.
    pub(crate) fn shown(&self) -> StoredSecret {
        StoredSecret {
            id: self.id,
            name: self.name.clone(),
            age: self.age(),
            created_by_us: self.ours,
            active: self.active,
        }
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
    /// When it was deleted in this story.
    pub(crate) deleted_at: Option<Instant>,
    /// How long before this story it was deleted.
    pub(crate) deleted_earlier_by: Duration,
    pub(crate) volume: Option<String>,
    pub(crate) unowned: bool,
    /// When it last left all zeros.
    pub(crate) left_zeros: Option<Instant>,
}

impl Row {
    pub(crate) fn is_zero(&self) -> bool {
        !self.deleted && self.key.as_deref() == Some(ALL_ZEROS)
    }

    pub(crate) fn held(&self) -> RowKey {
        RowKey::from_column(self.key.clone())
    }

    /// What `orphans` sees of it; deleted just now, where nobody knows since when.
    pub(crate) fn holder(&self) -> Holder {
        let here = self.deleted_at.map(|at| at.elapsed()).unwrap_or_default();
        Holder {
            key: self.held(),
            deleted_for: self.deleted.then_some(self.deleted_earlier_by + here),
        }
    }
}

pub(super) struct Rule {
    pub(super) op: Op,
    pub(super) about: Option<String>,
    pub(super) left: u32,
    pub(super) trouble: Trouble,
}

pub(super) type Hook = Box<dyn FnOnce(&mut World) + Send>;
pub(super) type Chaos = Box<dyn FnMut(&mut World, Op) -> Option<Trouble> + Send>;

/// Everything there is.
pub(crate) struct World {
    pub(crate) rows: BTreeMap<RowRef, Row>,
    /// Rows that the operator holds at zeros.
    pub(crate) held: BTreeSet<RowRef>,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) calls: Vec<Call>,
    pub(crate) most_in_flight: usize,
    pub(crate) violations: Vec<String>,
    pub(crate) daemons: u64,
    pub(crate) page_size: usize,
    /// Hosts with a service that is up.
    pub(crate) hosts: u64,
    /// Where secrets are kept, and whose they are.
    pub(crate) identity: String,
    /// When this daemon looked for secrets of a row, successfully.
    pub(crate) looked: BTreeMap<String, Vec<Instant>>,
    /// When this daemon got no answer to its last request to store a row's secret.
    pub(crate) unanswered: BTreeMap<String, Instant>,
    /// When it listed all secrets of a kind, successfully.
    pub(crate) listed: BTreeMap<ResourceKind, Instant>,
    /// Secrets that may be deleted now, as their rows are held locked.
    pub(crate) unneeded: BTreeSet<SecretId>,
    pub(super) in_flight: usize,
    pub(crate) born: Instant,
    /// The ledger of this host; daemons come and go.
    pub(crate) ledger: MemoryLedger,
    ids: u128,
    pub(super) rules: Vec<Rule>,
    pub(super) hooks: Vec<(Op, Hook)>,
    pub(super) latencies: Vec<(Op, Option<String>, Duration)>,
    pub(super) chaos: Option<Chaos>,
    /// What takes its time takes up to half as long again, or less by as much.
    pub(crate) uneven: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let born = Instant::now();
        Self {
            ledger: MemoryLedger::new(TestClock(born)),
            rows: BTreeMap::new(),
            held: BTreeSet::new(),
            secrets: Vec::new(),
            calls: Vec::new(),
            most_in_flight: 0,
            violations: Vec::new(),
            daemons: 0,
            page_size: 100,
            hosts: 1,
            identity: "cinder at this Barbican".into(),
            looked: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            listed: BTreeMap::new(),
            unneeded: BTreeSet::new(),
            in_flight: 0,
            born,
            ids: 0,
            rules: Vec::new(),
            hooks: Vec::new(),
            latencies: Vec::new(),
            chaos: None,
            uneven: false,
        }
    }

    /// What happens just before a request takes effect, and what goes wrong with it.
    pub(super) fn happens(&mut self, op: Op, about: &str) -> Option<Trouble> {
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
            deleted_at: None,
            deleted_earlier_by: Duration::ZERO,
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
        row.deleted_at = Some(now);
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

    /// Nothing is slow any more.
    pub(crate) fn fast_again(&mut self) {
        self.latencies.clear();
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

    pub(super) fn latency(&self, op: Op, about: &str) -> Duration {
        let matching = self
            .latencies
            .iter()
            .rev()
            .find(|(of, row, _)| *of == op && row.as_deref().is_none_or(|row| row == about));
        let latency = matching.map_or(Duration::ZERO, |(_, _, latency)| *latency);
        if self.uneven {
            latency.mul_f64(0.5 + fastrand::f64())
        } else {
            latency
        }
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

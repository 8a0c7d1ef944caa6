//! Cinder's tables and Barbican, small, and what must hold of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef, SecretId, SecretName, UserId};
use key_migration::ports::StoredSecret;
use key_migration::rows::{FreshRow, FreshVolume, Readers, RowKey, RowStatus, Swap, SwapOutcome};

use crate::lies::{Lie, Lies};

/// The rows that there are: a volume with its snapshot, and another volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Which {
    V1,
    S1,
    V2,
}

pub(crate) const ROWS: [Which; 3] = [Which::V1, Which::S1, Which::V2];

static REFS: LazyLock<[RowRef; 3]> = LazyLock::new(|| {
    let row = |kind, id: &str| RowRef {
        kind,
        id: id.into(),
    };
    [
        row(ResourceKind::Volume, "v1"),
        row(ResourceKind::Snapshot, "s1"),
        row(ResourceKind::Volume, "v2"),
    ]
});

impl Which {
    pub(crate) fn row(self) -> &'static RowRef {
        &REFS[self as usize]
    }

    pub(crate) fn of(row: &RowRef) -> Self {
        let which = ROWS.into_iter().find(|which| which.row() == row);
        which.expect("one of the three")
    }
}

/// A secret by its place in the order in which they were stored.
pub(crate) type Secret = u8;

pub(crate) fn id(secret: Secret) -> SecretId {
    let id = uuid::Uuid::from_u128(u128::from(secret) + 1);
    SecretId::new(id).expect("not nil")
}

pub(crate) fn number(id: SecretId) -> Secret {
    let id: uuid::Uuid = id.to_string().parse().expect("a UUID");
    u8::try_from(id.as_u128() - 1).expect("few secrets")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum User {
    Alice,
    Bob,
}

impl User {
    fn id(self) -> UserId {
        match self {
            Self::Alice => "alice".into(),
            Self::Bob => "bob".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    /// `None` is all zeros.
    pub(crate) key: Option<Secret>,
    pub(crate) user: User,
    pub(crate) alive: bool,
    /// Cinder is at work on it.
    pub(crate) busy: bool,
    /// Cinder or its migrator changed its key, or deleted it.
    pub(crate) touched: bool,
}

impl Row {
    pub(crate) fn is_zero(&self) -> bool {
        self.alive && self.key.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    /// The row that its name tells, if it is one of ours.
    pub(crate) name: Option<Which>,
    /// Whether its payload is the fixed key.
    pub(crate) good: bool,
    readers: Option<BTreeSet<User>>,
    pub(crate) alive: bool,
    at: u32,
    /// The daemon that stored it.
    pub(crate) by: usize,
    /// It was stored after everybody had given up on its request.
    pub(crate) late: bool,
    /// All record of its request was lost before it was stored.
    pub(crate) forgotten: bool,
    /// All record of it was lost after it was stored.
    pub(crate) unrecorded: bool,
    /// A row that referred to it does no longer, by somebody else's hand.
    pub(crate) released: bool,
}

/// What must never happen, and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Broken {
    /// I1: a key that is not zeros was overwritten.
    Overwritten,
    /// I2: a row points to a secret with another payload.
    WrongPayload,
    /// I2: its user cannot read the secret.
    Unreadable,
    /// I2: a row points to a secret that does not exist.
    Dangling,
    /// I3: a zero snapshot stayed behind.
    HalfMoved,
    /// I4: a secret that a row refers to was deleted.
    DeletedInUse,
    /// W12: a row was switched while Cinder was at work on it.
    SwitchedWhileBusy,
    /// Two rows share a secret that are not a volume and its snapshot.
    Shared,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) rows: [Row; 3],
    pub(crate) secrets: Vec<Stored>,
    pub(crate) broken: Option<Broken>,
    /// In seconds.
    pub(crate) elapsed: u32,
}

impl World {
    pub(crate) fn new(with_snapshot: bool) -> Self {
        let row = |user, alive| Row {
            key: None,
            user,
            alive,
            busy: false,
            touched: false,
        };
        Self {
            rows: [
                row(User::Alice, true),
                row(User::Bob, with_snapshot),
                row(User::Alice, true),
            ],
            secrets: Vec::new(),
            broken: None,
            elapsed: 0,
        }
    }

    pub(crate) fn row(&self, which: Which) -> &Row {
        &self.rows[which as usize]
    }

    pub(crate) fn row_mut(&mut self, which: Which) -> &mut Row {
        &mut self.rows[which as usize]
    }

    pub(crate) fn store(&mut self, name: Option<Which>, good: bool, by: usize) -> Secret {
        let secret = u8::try_from(self.secrets.len()).expect("few secrets");
        self.secrets.push(Stored {
            name,
            good,
            readers: None,
            alive: true,
            at: self.elapsed,
            by,
            late: false,
            forgotten: false,
            unrecorded: false,
            released: false,
        });
        secret
    }

    pub(crate) fn secret(&self, secret: SecretId) -> &Stored {
        &self.secrets[usize::from(number(secret))]
    }

    fn secret_mut(&mut self, secret: SecretId) -> &mut Stored {
        &mut self.secrets[usize::from(number(secret))]
    }

    /// What stands under this name, oldest first.
    pub(crate) fn find(&self, which: Which, lies: &Lies) -> Vec<StoredSecret> {
        let secrets = self.secrets.iter().enumerate();
        secrets
            .filter(|(_, stored)| stored.alive && stored.name == Some(which))
            .map(|(number, stored)| StoredSecret {
                id: id(u8::try_from(number).expect("few secrets")),
                name: SecretName::of(which.row()).as_str().into(),
                age: match lies.tells(Lie::AnHourOld) {
                    true => Duration::from_secs(60 * 60),
                    false => Duration::from_secs((self.elapsed - stored.at).into()),
                },
                created_by_us: true,
                active: true,
            })
            .collect()
    }

    pub(crate) fn set_readers(&mut self, secret: SecretId, readers: &Readers) {
        let users = [User::Alice, User::Bob];
        let may = users
            .into_iter()
            .filter(|user| readers.contains(&user.id()));
        self.secret_mut(secret).readers = Some(may.collect());
    }

    pub(crate) fn let_read(&mut self, secret: SecretId, readers: &Readers) {
        let before = self.secret(secret).readers.clone().unwrap_or_default();
        self.set_readers(secret, readers);
        let stored = self.secret_mut(secret);
        stored.readers.get_or_insert_default().extend(before);
    }

    pub(crate) fn refers(&self, secret: Secret) -> impl Iterator<Item = Which> {
        let rows = ROWS.into_iter();
        rows.filter(move |which| self.row(*which).alive && self.row(*which).key == Some(secret))
    }

    /// Whether the row has something else than zeros, and no row refers to the secret.
    pub(crate) fn needs_nothing(&self, which: Which, secret: SecretId, lies: &Lies) -> bool {
        if lies.tells(Lie::NoLock) {
            return true;
        }
        let row = self.row(which);
        (!row.alive || row.key.is_some()) && self.referred(&[secret], lies).is_empty()
    }

    pub(crate) fn referred(&self, secrets: &[SecretId], lies: &Lies) -> BTreeSet<SecretId> {
        if lies.tells(Lie::NobodyRefers) {
            return BTreeSet::new();
        }
        let secrets = secrets.iter().copied();
        secrets
            .filter(|secret| self.refers(number(*secret)).next().is_some())
            .collect()
    }

    pub(crate) fn delete(&mut self, secret: SecretId) {
        if self.refers(number(secret)).next().is_some() {
            self.broken.get_or_insert(Broken::DeletedInUse);
        }
        self.secret_mut(secret).alive = false;
    }

    pub(crate) fn fresh(&self, which: Which) -> Option<FreshRow> {
        let row = self.row(which);
        let snapshot = self.row(Which::S1);
        row.alive.then(|| FreshRow {
            key: key(row),
            status: RowStatus {
                status: Some(if row.busy { "retyping" } else { "available" }.into()),
                migration_status: None,
            },
            user_id: Some(row.user.id()),
            dependent_users: (which == Which::V1 && snapshot.alive)
                .then(|| snapshot.user.id())
                .into_iter()
                .collect(),
            volume: (which == Which::S1).then(|| self.volume()).flatten(),
        })
    }

    /// The snapshot's volume.
    fn volume(&self) -> Option<Box<FreshVolume>> {
        let volume = self.row(Which::V1);
        volume.alive.then(|| {
            Box::new(FreshVolume {
                id: Which::V1.row().id.clone(),
                key: key(volume),
                user_id: Some(volume.user.id()),
            })
        })
    }

    /// The one change that is ours.
    pub(crate) fn switch(&mut self, swap: &Swap, lies: &Lies) -> SwapOutcome {
        let which = Which::of(&swap.row);
        let row = self.row(which);
        let refuses = |guard| !lies.tells(guard);
        if !row.alive {
            return SwapOutcome::Gone;
        }
        if row.key == Some(number(swap.secret)) {
            return SwapOutcome::AlreadyHolds;
        }
        if row.key.is_some() && refuses(Lie::SwapWithoutCompare) {
            return SwapOutcome::Lost;
        }
        if row.busy && which != Which::S1 && refuses(Lie::BusyIsFine) {
            return SwapOutcome::Transitional("status 'retyping'".into());
        }
        let with_it = self.zero_snapshot_of(which);
        let user_changed = Some(row.user.id()) != swap.user_id;
        let unread = with_it.is_some_and(|it| !swap.readers.contains(&self.row(it).user.id()));
        if (user_changed || unread) && refuses(Lie::ReadersAreFine) {
            return SwapOutcome::ReadersChanged;
        }
        let volume_key = self.row(Which::V1).key;
        let shares = swap.shared_with.is_some();
        if shares && volume_key != Some(number(swap.secret)) && refuses(Lie::VolumeIsFine) {
            return SwapOutcome::VolumeChanged;
        }
        self.judge(swap, which, with_it);
        self.row_mut(which).key = Some(number(swap.secret));
        let moved = with_it.filter(|_| refuses(Lie::SnapshotStaysBehind));
        if let Some(snapshot) = moved {
            self.row_mut(snapshot).key = Some(number(swap.secret));
        }
        if with_it != moved {
            self.broken.get_or_insert(Broken::HalfMoved);
        }
        self.secret_mut(swap.secret).released = false;
        SwapOutcome::Switched {
            snapshots: moved.iter().len() as u64,
        }
    }

    fn zero_snapshot_of(&self, which: Which) -> Option<Which> {
        (which == Which::V1 && self.row(Which::S1).is_zero()).then_some(Which::S1)
    }

    fn judge(&mut self, swap: &Swap, which: Which, with_it: Option<Which>) {
        let secret = self.secret(swap.secret);
        let readers = secret.readers.clone().unwrap_or_default();
        let mut moved = with_it.into_iter().chain([which]);
        // A volume and its snapshot may share one; another volume may not.
        let is_foreign = |other| (other == Which::V2) != (which == Which::V2);
        let others: Vec<Which> = self.refers(number(swap.secret)).collect();
        let broken = if self.row(which).key.is_some() {
            Some(Broken::Overwritten)
        } else if self.row(which).busy && which != Which::S1 {
            Some(Broken::SwitchedWhileBusy)
        } else if !secret.alive {
            Some(Broken::Dangling)
        } else if !secret.good {
            Some(Broken::WrongPayload)
        } else if moved.any(|which| !readers.contains(&self.row(which).user)) {
            Some(Broken::Unreadable)
        } else if others.into_iter().any(is_foreign) {
            Some(Broken::Shared)
        } else {
            None
        };
        self.broken = self.broken.or(broken);
    }

    /// Somebody else gives the row this key.
    pub(crate) fn set_key(&mut self, which: Which, key: Option<Secret>) {
        let before = std::mem::replace(&mut self.row_mut(which).key, key);
        self.row_mut(which).touched = true;
        self.release(before);
    }

    /// Cinder deletes the secret of a volume that it deletes or gives another.
    pub(crate) fn drop_key(&mut self, which: Which) {
        let key = self.row(which).key.filter(|_| which != Which::S1);
        let others = key.map_or(0, |key| self.refers(key).filter(|it| *it != which).count());
        if let Some(key) = key
            && others == 0
        {
            self.secrets[usize::from(key)].alive = false;
        }
        self.release(self.row(which).key);
    }

    fn release(&mut self, secret: Option<Secret>) {
        if let Some(secret) = secret
            && self.refers(secret).next().is_none()
        {
            self.secrets[usize::from(secret)].released = true;
        }
    }
}

fn key(row: &Row) -> RowKey {
    let key = row
        .key
        .map_or(ALL_ZEROS.into(), |secret| id(secret).to_string());
    RowKey::from_column(Some(key))
}

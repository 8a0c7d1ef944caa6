//! The state machine of one key: the only place where it is decided what is done next for a row.
//!
//! It is pure. It asks for one [`Step`], is told the [`Answer`], and asks for the next, until it
//! says how the key ended. Whoever drives it does what it asks: the program through its ports, the
//! model in `tests/model` by exploring every order in which the world can answer. It can be dropped
//! at any step, as a killed process drops it.

mod answers;
mod candidate;
mod end;
mod step;
mod volume_secret;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

pub use self::candidate::{Candidate, DELETABLE_AGE, Origin};
pub use self::end::KeyEnd;
pub use self::step::{Answer, Step};
use crate::ids::{ResourceKind, RowRef, SecretId, UserId};
use crate::ports::StoredSecret;
use crate::reasons::RowReason;
use crate::rows::{FreshRow, Readers, RowKey, Swap};

/// A payload that was read longer ago than this is read again before the swap.
pub const READBACK_VALID: Duration = Duration::from_secs(5 * 60);

/// A secret of another run, or of another process, may be adopted once it is this old by
/// Barbican's clock: nobody is at work on it any more.
pub const ADOPTABLE_AGE: Duration = Duration::from_secs(60 * 60);

/// A row that was read longer ago than this is read again before its secret is stored.
const ROW_VALID: Duration = Duration::from_secs(1);

/// How often the row may change under one key before it is left for the next pass.
const MOST_CHANGES: u8 = 3;

/// How often a request that may be repeated is, and after which time at first.
const MOST_REPEATS: u8 = 3;
const FIRST_REPEAT: Duration = Duration::from_millis(200);

/// Why a held row waits.
pub(crate) const HELD: &str = "the operator has set it back to zeros and holds it there";

/// What to do for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Store a secret and switch the row to it.
    StoreAndSwitch,
    /// Store a secret and keep it: what is stored already could not be listed yet.
    StoreOnly,
    /// Switch the row to a secret that exists.
    Switch(Candidate),
    /// Look for a secret under the row's name and switch the row to it.
    LookUp,
}

/// Which step is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    ReadRow,
    Intend,
    Find,
    Weigh,
    Store,
    CheckUse,
    LetRead,
    SetReaders,
    ReadPayload,
    Swap,
    CheckUnused,
    Delete,
    Ended,
}

/// Why it does not simply go on.
enum Turn {
    /// The same step again, after a while.
    Repeat,
    End(KeyEnd),
}

/// One row's key on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyMachine {
    row: RowRef,
    task: Task,
    extra_acl_users: Vec<UserId>,
    at: At,
    /// Repeats of the step so far, and whether the next one is waited for.
    repeats: u8,
    waiting: bool,
    /// Times that the database did not answer since a swap was asked for.
    doubts: u8,
    changes: u8,
    candidate: Option<Candidate>,
    /// The row as it was read last, and when.
    fresh: Option<(FreshRow, Instant)>,
    /// The intent is recorded.
    intended: bool,
    /// Secrets that the ledger knows as the row's before.
    earlier: Vec<SecretId>,
    /// Secrets stored for the row that are known not to become its key.
    superseded: BTreeSet<SecretId>,
    /// What of ours stands under the row's name, oldest first, until it is known which is unused.
    under_its_name: Vec<StoredSecret>,
    /// Of that, what is.
    found: Vec<StoredSecret>,
    read_equal_at: Option<Instant>,
    /// No other row refers to what was found.
    unused: bool,
    /// Who can read the candidate, once that was acknowledged.
    readers: Option<Readers>,
    /// The snapshot takes its volume's secret.
    shared: bool,
    /// The volume's secret cannot be used.
    own: bool,
    /// What the row holds instead of zeros.
    holds: Option<SecretId>,
}

impl KeyMachine {
    /// A key whose work has not begun.
    #[must_use]
    pub fn new(row: RowRef, task: Task, extra_acl_users: Vec<UserId>) -> Self {
        let (at, candidate) = match task {
            Task::StoreAndSwitch | Task::StoreOnly => (At::ReadRow, None),
            Task::Switch(candidate) => (At::ReadRow, Some(candidate)),
            // What a look-up finds has to be accounted for even where the row needs nothing.
            Task::LookUp => (At::Find, None),
        };
        Self {
            row,
            task,
            extra_acl_users,
            at,
            repeats: 0,
            waiting: false,
            doubts: 0,
            changes: 0,
            candidate,
            fresh: None,
            intended: false,
            earlier: Vec::new(),
            superseded: BTreeSet::new(),
            under_its_name: Vec::new(),
            found: Vec::new(),
            read_equal_at: None,
            unused: false,
            readers: None,
            shared: false,
            own: false,
            holds: None,
        }
    }

    /// W10: these were stored for the row and lost it. Each is accounted for: until it may be adopted
    /// like anybody's, it is passed over, and nothing waits for it.
    #[must_use]
    pub fn knowing(mut self, superseded: BTreeSet<SecretId>) -> Self {
        self.superseded = superseded;
        self
    }

    /// What is to be done now. Asking twice changes nothing.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.waiting {
            return Step::Wait(FIRST_REPEAT * 2_u32.pow(u32::from(self.repeats.saturating_sub(1))));
        }
        match self.at {
            At::ReadRow => Step::ReadRow,
            At::Intend => Step::Intend,
            At::Find => Step::Find,
            At::Weigh => Step::Referred(self.under_its_name.iter().map(|found| found.id).collect()),
            At::Store => Step::Store,
            At::CheckUse | At::CheckUnused => Step::Referred(vec![self.secret()]),
            At::LetRead => Step::LetRead(self.secret(), self.readers_wanted()),
            At::SetReaders => Step::SetReaders(self.secret(), self.readers_wanted()),
            At::ReadPayload => Step::ReadPayload(self.secret()),
            At::Swap => Step::Swap(self.swap()),
            At::Delete => Step::Delete(self.secret()),
            At::Ended => Step::Wait(Duration::ZERO),
        }
    }

    /// Takes the answer to the step that was asked for, and says how the key ended, if it has.
    pub fn hear(&mut self, answer: Answer, now: Instant) -> Option<KeyEnd> {
        if std::mem::take(&mut self.waiting) {
            if self.at == At::Swap {
                // It may have happened, and Cinder may have changed the row since.
                self.at = At::ReadRow;
            }
            return None;
        }
        match self.judge(answer, now) {
            Ok(at) => {
                self.repeats = 0;
                self.at = at;
                None
            }
            Err(Turn::Repeat) => {
                self.repeats += 1;
                self.waiting = true;
                None
            }
            Err(Turn::End(end)) => {
                self.at = At::Ended;
                Some(end)
            }
        }
    }

    /// Whether an intent was recorded.
    #[must_use]
    pub fn is_intended(&self) -> bool {
        self.intended
    }

    /// Unused secrets of ours under the row's name, oldest first, as far as looked for.
    #[must_use]
    pub fn found(&self) -> &[StoredSecret] {
        &self.found
    }

    fn judge(&mut self, answer: Answer, now: Instant) -> Result<At, Turn> {
        match (self.at, answer) {
            (At::ReadRow, Answer::Row(row)) => self.row_read(row, now),
            (At::ReadRow | At::Swap, Answer::Held) => {
                Err(self.deferred(RowReason::Held, HELD.to_owned()))
            }
            (At::Intend, Answer::Intended(earlier)) => Ok(self.intended(earlier, now)),
            (At::Find, Answer::Found(found)) => self.found_under_its_name(found),
            (At::Weigh, Answer::Referred(referred)) => self.weighed(&referred),
            (At::Store, Answer::Stored(secret)) => self.stored(Candidate::stored(secret, now)),
            (At::ReadPayload, Answer::Payload { equal }) => self.payload_read(equal, now),
            (At::CheckUse, Answer::Referred(referred)) => self.use_checked(&referred),
            (At::LetRead | At::SetReaders, Answer::Done) => {
                self.readers = Some(self.readers_wanted());
                Ok(self.towards_swap(now))
            }
            (At::Swap, Answer::Swapped(outcome)) => self.swapped(outcome),
            (At::CheckUnused, Answer::Referred(referred)) => self.unused_checked(&referred),
            (At::Delete, Answer::Done) => Err(Turn::End(self.not_ours(true))),
            (at, answer) => self.failed(at, answer, now),
        }
    }

    /// The row as it is, just before something is done for it.
    fn row_read(&mut self, row: Option<FreshRow>, now: Instant) -> Result<At, Turn> {
        let key = row.as_ref().map(|row| row.key.clone());
        self.holds = key.as_ref().and_then(RowKey::secret);
        if let (Some(holds), Some(candidate)) = (self.holds, self.candidate)
            && holds == candidate.secret
        {
            return Err(Turn::End(self.migrated(0)));
        }
        let Some(fresh) = row.filter(|fresh| fresh.key == RowKey::AllZeros) else {
            return self.lost(now);
        };
        if let Some(message) = fresh.status.transitional(self.row.kind) {
            return Err(self.deferred(RowReason::Transitional, message));
        }
        if fresh.user_id.is_none() && self.extra_acl_users.is_empty() {
            let message = format!(
                "{}: its user_id is NULL, so its owner could not read its key; \
                 set [key_migrator] extra_acl_users to migrate such rows",
                self.row
            );
            return Err(self.given_back(RowReason::InvalidRow, message));
        }
        self.fresh = Some((fresh, now));
        self.readers = None;
        if self.row.kind == ResourceKind::Snapshot {
            return self.snapshot_read(now);
        }
        Ok(self.with_fresh_row(now))
    }

    fn with_fresh_row(&self, now: Instant) -> At {
        match self.candidate {
            Some(_) => self.towards_swap(now),
            None if self.intended => At::Store,
            None => At::Intend,
        }
    }

    fn intended(&mut self, earlier: Vec<SecretId>, now: Instant) -> At {
        self.intended = true;
        if !earlier.is_empty() {
            self.earlier = earlier;
            return At::Find;
        }
        let read_at = self.fresh.as_ref().map(|(_, at)| *at);
        if read_at.is_none_or(|at| now.duration_since(at) > ROW_VALID) {
            return At::ReadRow;
        }
        At::Store
    }

    fn found_under_its_name(&mut self, found: Vec<StoredSecret>) -> Result<At, Turn> {
        self.under_its_name = found.into_iter().filter(StoredSecret::is_ours).collect();
        if self.under_its_name.is_empty() {
            return self.nothing_to_adopt();
        }
        Ok(At::Weigh)
    }

    /// The oldest that no row refers to and that is adoptable: the row's own open intent, or what
    /// the ledger knows of it, stands for any age.
    fn weighed(&mut self, referred: &BTreeSet<SecretId>) -> Result<At, Turn> {
        self.found = std::mem::take(&mut self.under_its_name);
        self.found.retain(|found| {
            let lost = found.age < ADOPTABLE_AGE && self.superseded.contains(&found.id);
            !lost && !referred.contains(&found.id)
        });
        let by_name = self.task == Task::LookUp;
        let adoptable = self.found.iter().find(|found| {
            by_name || self.earlier.contains(&found.id) || found.age >= ADOPTABLE_AGE
        });
        if let Some(found) = adoptable {
            self.candidate = Some(Candidate::found(found.id));
            return Ok(At::ReadRow);
        }
        if self.found.is_empty() {
            return self.nothing_to_adopt();
        }
        let message = "another run stored a secret for it, which may be adopted when it is an hour \
                       old";
        Err(self.deferred(RowReason::UnknownOutcome, message.into()))
    }

    fn nothing_to_adopt(&mut self) -> Result<At, Turn> {
        if self.task == Task::LookUp {
            return Err(Turn::End(KeyEnd::FoundNothing));
        }
        // What the ledger knew is gone, or another row's by now.
        Ok(At::ReadRow)
    }

    fn stored(&mut self, candidate: Candidate) -> Result<At, Turn> {
        if self.task == Task::StoreOnly {
            return Err(Turn::End(KeyEnd::Stored(candidate)));
        }
        self.candidate = Some(candidate);
        Ok(At::SetReaders)
    }

    /// A secret that was found may belong to another row by now.
    fn use_checked(&mut self, referred: &BTreeSet<SecretId>) -> Result<At, Turn> {
        if referred.contains(&self.secret()) {
            return Err(Turn::End(KeyEnd::NotAdoptable(self.candidate_here())));
        }
        self.unused = true;
        Ok(At::SetReaders)
    }

    fn payload_read(&mut self, equal: bool, now: Instant) -> Result<At, Turn> {
        if equal {
            self.read_equal_at = Some(now);
            return Ok(self.towards_swap(now));
        }
        if self.shared {
            return Ok(self.leave_volume_secret());
        }
        Err(Turn::End(KeyEnd::Mismatch(self.candidate_here())))
    }

    /// What is still missing before the row may be switched. I2: the payload was read back equal a
    /// short while ago, and the ACL acknowledged.
    fn towards_swap(&self, now: Instant) -> At {
        let is_read = self
            .read_equal_at
            .is_some_and(|at| now.duration_since(at) <= READBACK_VALID);
        // After a swap that may have happened, Cinder may have given it to another row.
        let is_found = self
            .candidate
            .is_some_and(|candidate| candidate.origin == Origin::Found || candidate.swap_in_doubt);
        match (is_read, self.readers.is_some()) {
            (false, false) if is_found => At::ReadPayload,
            (_, false) if is_found && !self.unused && !self.shared => At::CheckUse,
            (_, false) if self.shared => At::LetRead,
            (_, false) => At::SetReaders,
            (false, true) => At::ReadPayload,
            (true, true) => At::Swap,
        }
    }

    /// The row went to somebody else. Our secret is deleted only if nobody can know of it and a
    /// fresh look shows that nothing refers to it.
    fn lost(&mut self, now: Instant) -> Result<At, Turn> {
        if self.shared {
            self.candidate = None;
        }
        match self.candidate {
            Some(candidate) if candidate.is_deletable(now) => Ok(At::CheckUnused),
            _ => Err(Turn::End(self.not_ours(false))),
        }
    }

    fn unused_checked(&mut self, referred: &BTreeSet<SecretId>) -> Result<At, Turn> {
        if referred.contains(&self.secret()) {
            return Err(Turn::End(self.not_ours(false)));
        }
        Ok(At::Delete)
    }

    /// The row is switched by compare-and-swap of everything that the secret was made for.
    fn swap(&self) -> Swap {
        let fresh = self.fresh.as_ref().map(|(fresh, _)| fresh);
        let volume = fresh.and_then(|fresh| fresh.volume.as_ref());
        Swap {
            row: self.row.clone(),
            secret: self.secret(),
            user_id: fresh.and_then(|fresh| fresh.user_id.clone()),
            readers: self.readers.clone().unwrap_or_default(),
            shared_with: volume
                .filter(|_| self.shared)
                .map(|volume| volume.id.clone()),
        }
    }

    fn readers_wanted(&self) -> Readers {
        let fresh = self.fresh.as_ref().map(|(fresh, _)| fresh);
        fresh.map_or_else(Readers::default, |fresh| {
            Readers::of(fresh, &self.extra_acl_users)
        })
    }

    fn secret(&self) -> SecretId {
        self.candidate_here().secret
    }

    fn candidate_here(&self) -> Candidate {
        self.candidate
            .expect("no step about a secret is asked for before there is one")
    }
}

#[cfg(test)]
mod tests;

//! One daemon: the program's own decisions, driven step by step.

use std::sync::LazyLock;
use std::time::Duration;

use key_migration::conclusion::Concluded;
use key_migration::ids::SecretId;
use key_migration::intents::{Intents, Start, Wait};
use key_migration::ledger::Event;
use key_migration::machine::{Answer, Candidate, KeyEnd, KeyMachine, Step, Task};
use key_migration::ports::{DatabaseError, SecretError, StoreError, StoredSecret};
use key_migration::reasons::{Fault, Reason};
use tokio::time::Instant;

use crate::ledger::Ledger;
use crate::lies::{Lie, Lies};
use crate::world::{ROWS, Secret, Which, World, id, number};

/// What the operator set.
pub(crate) const UNKNOWN_OUTCOME_WAIT: Duration = Duration::from_secs(120);

/// A process, what it remembers, and its ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Daemon {
    pub(crate) running: bool,
    pub(crate) listed: bool,
    /// The ledger was not told yet that everything was listed.
    untold: bool,
    pub(crate) intents: Intents,
    pub(crate) work: Option<Work>,
    pub(crate) spare: Option<Spare>,
    /// What it holds, and what of that is on disk.
    ledger: Ledger,
    durable: Ledger,
}

/// One row's key under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub(crate) which: Which,
    machine: KeyMachine,
    sent: bool,
}

/// A second secret that is deleted if nothing refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spare {
    which: Which,
    secret: SecretId,
    is_unused: bool,
}

/// How a request fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Well,
    /// It is refused, and nothing happens.
    Refused,
    /// It is done, and its answer is lost.
    Unheard,
    /// Its answer is lost, and it may take effect later.
    Late,
    /// It is done, and its answer is lost; so are all others for a while.
    Away,
    /// What is stored is not what was sent.
    Corrupted,
}

/// What a kill takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loses {
    Memory,
    /// And what the ledger had not written yet.
    Notes,
    /// And the whole ledger.
    Ledger,
}

/// A request to store a secret that nobody hears of any more, and that may take effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) which: Which,
    pub(crate) by: usize,
    pub(crate) sent_at: u32,
    /// Who sent it lost all record of it.
    pub(crate) forgotten: bool,
}

impl Daemon {
    /// One that has listed everything, long ago.
    pub(crate) fn at_work() -> Self {
        let mut ledger = Ledger::default();
        ledger.listed = true;
        Self {
            running: true,
            listed: true,
            ledger: ledger.clone(),
            durable: ledger,
            ..Self::default()
        }
    }

    pub(crate) fn start(&mut self, world: &World) {
        self.running = true;
        self.listed = self.ledger.listed;
        self.intents.recall(
            &self.ledger.recollection(wall_clock),
            UNKNOWN_OUTCOME_WAIT,
            now(world),
            wall_clock(world.elapsed),
        );
    }

    pub(crate) fn kill(&mut self, loses: Loses) {
        match loses {
            Loses::Memory => self.durable = self.ledger.clone(),
            Loses::Notes => self.ledger = self.durable.clone(),
            Loses::Ledger => {
                self.ledger = Ledger::default();
                self.durable = Ledger::default();
            }
        }
        *self = Self {
            ledger: self.ledger.clone(),
            durable: self.durable.clone(),
            ..Self::default()
        };
    }

    /// Whether some of what the ledger was told is not on disk.
    pub(crate) fn has_notes(&self) -> bool {
        self.ledger != self.durable
    }

    /// Lists what earlier runs stored, by name.
    pub(crate) fn list(&mut self, world: &World, lies: &Lies) {
        for which in ROWS {
            let row = world.row(which);
            for stored in world.find(which, lies) {
                let is_used = world.refers(number(stored.id)).next().is_some();
                if row.is_zero() {
                    self.intents.add_leftover(which.row(), &stored, now(world));
                } else if row.alive && !is_used {
                    self.intents.add_superseded(which.row(), stored.id);
                }
            }
        }
        self.listed = true;
        self.untold = true;
        self.write_down(world);
    }

    pub(crate) fn has_to_tell(&self, lies: &Lies) -> bool {
        let placed = self.intents.has_no_leftovers() || lies.tells(Lie::ListedAtOnce);
        self.running && self.untold && self.work.is_none() && placed
    }

    pub(crate) fn tell(&mut self) {
        self.untold = false;
        self.ledger.listed = true;
        self.durable = self.ledger.clone();
    }

    /// What there is to do for a row, if anything.
    pub(crate) fn task(&self, which: Which, world: &World) -> Option<Task> {
        let row = world.row(which);
        let is_stray = which != Which::S1
            || (world.row(Which::V1).alive && world.row(Which::V1).key.is_some());
        let to_migrate = row.is_zero() && !row.busy && is_stray;
        let start = self.intents.start(which.row(), now(world));
        let looks_only = start == Start::LookUp || !row.is_zero();
        if !looks_only && !to_migrate {
            return None;
        }
        start.task(row.is_zero())
    }

    pub(crate) fn begin(&mut self, which: Which, world: &World) {
        if let Some(task) = self.task(which, world) {
            self.work = Some(Work {
                which,
                machine: KeyMachine::new(which.row().clone(), task, Vec::new()),
                sent: false,
            });
        }
    }

    /// What its machine asks for.
    pub(crate) fn step(&self) -> Option<Step> {
        self.work.as_ref().map(|work| work.machine.step())
    }

    /// Does what the machine asks for, with this fate, and lets it hear of it.
    pub(crate) fn take(
        &mut self,
        world: &mut World,
        pending: &mut Vec<Pending>,
        fate: Fate,
        me: usize,
        lies: &Lies,
    ) {
        let mut work = self.work.take().expect("a key is under way");
        let step = work.machine.step();
        work.sent |= step == Step::Store;
        let answer = self.answer(&work, step, world, pending, fate, me, lies);
        let mut end = work.machine.hear(answer.clone(), heard_at(world, lies));
        while fate == Fate::Away && end.is_none() {
            end = work.machine.hear(answer.clone(), heard_at(world, lies));
        }
        let Some(end) = end else {
            self.work = Some(work);
            return;
        };
        if work.machine.is_intended() && !work.sent {
            self.note(work.which, &Event::NotStored, world);
        }
        self.conclude(work.which, work.machine.found(), &end, world, lies);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all that there is has a say in an answer"
    )]
    fn answer(
        &mut self,
        work: &Work,
        step: Step,
        world: &mut World,
        pending: &mut Vec<Pending>,
        fate: Fate,
        me: usize,
        lies: &Lies,
    ) -> Answer {
        let which = work.which;
        match step {
            Step::Wait(_) => Answer::Done,
            Step::Store => self.store(which, world, pending, fate, me, lies),
            Step::Swap(swap) => match fate {
                Fate::Well => Answer::Swapped(world.switch(&swap, lies)),
                Fate::Refused => Answer::Database(DatabaseError::Contended("locked".into())),
                // Its locks are held until it is committed or undone: it cannot be late.
                Fate::Late => unheard(lies),
                _ => {
                    world.switch(&swap, lies);
                    unheard(lies)
                }
            },
            Step::Delete(secret) => match fate {
                Fate::Refused => Answer::Secret(SecretError::Failed("failed".into())),
                // The row is locked meanwhile.
                _ if !world.needs_nothing(which, secret, lies) => {
                    Answer::Secret(SecretError::Failed("a row needs it".into()))
                }
                fate => {
                    world.delete(secret);
                    match fate {
                        Fate::Well => Answer::Done,
                        _ => Answer::Secret(SecretError::Failed("timed out".into())),
                    }
                }
            },
            _ if fate == Fate::Refused => match step {
                Step::ReadRow | Step::Referred(_) => {
                    Answer::Database(DatabaseError::Unreachable(fault()))
                }
                Step::Intend | Step::Find => Answer::Fault(fault()),
                _ => Answer::Secret(SecretError::Fault(fault())),
            },
            Step::ReadRow => Answer::Row(world.fresh(which)),
            Step::Intend => Answer::Intended(self.intend(which, world, lies)),
            Step::Find => Answer::Found(world.find(which, lies)),
            Step::Referred(secrets) => Answer::Referred(world.referred(&secrets, lies)),
            Step::LetRead(secret, _) | Step::SetReaders(secret, _) | Step::ReadPayload(secret)
                if !world.secret(secret).alive =>
            {
                Answer::Secret(SecretError::NotFound(secret))
            }
            Step::LetRead(secret, readers) => {
                world.let_read(secret, &readers);
                Answer::Done
            }
            Step::SetReaders(secret, readers) => {
                world.set_readers(secret, &readers);
                Answer::Done
            }
            Step::ReadPayload(secret) => Answer::Payload {
                equal: world.secret(secret).good || lies.tells(Lie::PayloadIsEqual),
            },
        }
    }

    fn store(
        &mut self,
        which: Which,
        world: &mut World,
        pending: &mut Vec<Pending>,
        fate: Fate,
        me: usize,
        lies: &Lies,
    ) -> Answer {
        match fate {
            Fate::Well | Fate::Corrupted => {
                let secret = id(world.store(Some(which), fate == Fate::Well, me));
                self.note(which, &Event::Stored(secret), world);
                return Answer::Stored(secret);
            }
            Fate::Refused => {
                self.note(which, &Event::NotStored, world);
                return Answer::NotStored(StoreError::NotStored(fault()));
            }
            Fate::Unheard | Fate::Away => {
                world.store(Some(which), true, me);
            }
            Fate::Late => pending.push(Pending {
                which,
                by: me,
                sent_at: world.elapsed,
                forgotten: false,
            }),
        }
        if lies.tells(Lie::UnansweredIsNothing) {
            self.note(which, &Event::NotStored, world);
            return Answer::NotStored(StoreError::NotStored(fault()));
        }
        self.note(which, &Event::Unanswered, world);
        Answer::NotStored(StoreError::OutcomeUnknown("timed out".into()))
    }

    fn intend(&mut self, which: Which, world: &World, lies: &Lies) -> Vec<SecretId> {
        if lies.tells(Lie::NoIntent) {
            return Vec::new();
        }
        let before = self.ledger.intend(which, world.elapsed);
        self.durable = self.ledger.clone();
        before
    }

    fn conclude(
        &mut self,
        which: Which,
        found: &[StoredSecret],
        end: &KeyEnd,
        world: &World,
        lies: &Lies,
    ) {
        let (row, now) = (which.row(), now(world));
        let concluded = self
            .intents
            .conclude(row, found, end, UNKNOWN_OUTCOME_WAIT, now);
        let Concluded { spare, .. } = concluded;
        self.spare = spare.map(|Candidate { secret, .. }| Spare {
            which,
            secret,
            is_unused: false,
        });
        if *end == KeyEnd::FoundNothing && lies.tells(Lie::OneLook) {
            self.intents.found_nothing(row, now);
        }
        self.write_down(world);
    }

    /// Asks whether anything refers to the spare secret, then deletes it.
    pub(crate) fn drop_spare(&mut self, world: &mut World, lies: &Lies) {
        let spare = self.spare.take().expect("there is one");
        let row = spare.which.row();
        if spare.is_unused {
            world.delete(spare.secret);
            self.intents.deleted(row, spare.secret);
        } else if world.referred(&[spare.secret], lies).is_empty() {
            self.spare = Some(Spare {
                is_unused: true,
                ..spare
            });
        } else {
            self.intents.supersede(row, spare.secret);
        }
        self.write_down(world);
    }

    /// Names whose request was given up on and that are to be looked at once more.
    pub(crate) fn late_looks(&self, world: &World, lies: &Lies) -> Vec<Which> {
        if lies.tells(Lie::NoLateLook) {
            return Vec::new();
        }
        let complete = !ROWS.into_iter().any(|which| world.row(which).is_zero());
        let looks = self.intents.late_looks(complete, now(world));
        looks.iter().map(Which::of).collect()
    }

    pub(crate) fn look_again(&mut self, which: Which, world: &World, lies: &Lies) {
        let now = now(world);
        for found in world.find(which, lies) {
            if world.refers(number(found.id)).next().is_some() {
                continue;
            }
            if world.row(which).is_zero() {
                self.intents.add_leftover(which.row(), &found, now);
            } else {
                self.intents.add_superseded(which.row(), found.id);
            }
        }
        self.intents.looked_again(which.row(), now);
        self.write_down(world);
    }

    fn write_down(&mut self, world: &World) {
        for (row, event) in self.intents.take_journal() {
            self.note(Which::of(&row), &event, world);
        }
    }

    fn note(&mut self, which: Which, event: &Event, world: &World) {
        self.ledger.note(which, event, world.elapsed);
    }

    /// The shortest time after which something is due that it waits for.
    pub(crate) fn waits_for(&self, world: &World) -> Option<Duration> {
        let waits = ROWS.into_iter().filter_map(|which| {
            match self.intents.start(which.row(), now(world)) {
                Start::Wait(Wait::LookUp(rest) | Wait::Adoption(rest)) => Some(rest),
                _ => None,
            }
        });
        let look = self.ledger.has_looks().then_some(LATE_LOOK);
        waits.chain(look).min()
    }

    /// Whether nothing is under way or open.
    pub(crate) fn is_at_rest(&self) -> bool {
        let idle = self.work.is_none() && self.spare.is_none() && !self.untold;
        self.running && self.listed && idle && self.intents.is_at_rest() && !self.ledger.has_looks()
    }

    /// I6: whether this secret, stored by it for the row, will be accounted for.
    pub(crate) fn accounts_for(&self, which: Which, secret: Secret) -> bool {
        let remembered = match self.running {
            true => {
                let row = which.row();
                let superseded = self.intents.superseded_after(None, usize::MAX);
                self.work.as_ref().is_some_and(|work| work.which == which)
                    || self
                        .spare
                        .as_ref()
                        .is_some_and(|spare| spare.secret == id(secret))
                    || self.intents.start(row, now_at(0)) != Start::Store
                    || superseded.contains(&(id(secret), row.clone()))
            }
            false => false,
        };
        let listed = self.ledger.listed || (self.running && self.listed);
        remembered || !listed || self.ledger.accounts_for(which, secret)
    }
}

const LATE_LOOK: Duration = Duration::from_secs(24 * 60 * 60);

fn heard_at(world: &World, lies: &Lies) -> Instant {
    if lies.tells(Lie::NoTimePasses) {
        return now_at(0);
    }
    now(world)
}

fn unheard(lies: &Lies) -> Answer {
    Answer::Database(if lies.tells(Lie::SwapIsNotInDoubt) {
        DatabaseError::Contended("locked".into())
    } else {
        DatabaseError::Unreachable(fault())
    })
}

fn fault() -> Fault {
    Fault::new(Reason::BarbicanUnreachable, "it is away", "bring it back")
}

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_at(elapsed: u32) -> Instant {
    *BEGINNING + Duration::from_secs(elapsed.into())
}

pub(crate) fn now(world: &World) -> Instant {
    now_at(world.elapsed)
}

fn wall_clock(elapsed: u32) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + i64::from(elapsed)).expect("in this century")
}

//! Everything that can happen, in every order.

use stateright::{Model, Property};

use crate::daemon::{Daemon, Fate, Loses, Pending};
use crate::lies::Lies;
use crate::world::{Broken, ROWS, Stored, User, Which, World};

/// Seconds after which a request that was not answered is given up on: the wait, and the second
/// look. Whatever takes effect later was late.
const GIVEN_UP: u32 = 130;

/// Nothing takes effect later than this.
const LATEST: u32 = 24 * 60 * 60;

/// What Cinder does to a row takes less.
const LONGEST_BUSY: u32 = LATEST;

/// After this time everything has come to its end.
const LONGEST: u32 = 4 * LATEST;

/// How long a process may be stopped in the middle of a key.
const PAUSES: [u32; 2] = [6 * 60, 61 * 60];

pub(crate) const I1: &str = "I1 no key is overwritten";
pub(crate) const I2: &str =
    "I2 a row points to a secret that holds its key and that its users can read";
pub(crate) const I3: &str = "I3 a volume and its zero snapshots move together";
pub(crate) const I4: &str = "I4 no secret that a row refers to is deleted";
pub(crate) const I5: &str = "I5 at rest there is one secret of ours a row";
pub(crate) const I6: &str = "I6 every secret of ours is accounted for";
pub(crate) const W12: &str = "W12 no row is switched while Cinder is at work on it";
pub(crate) const SHARED: &str = "no two volumes share a secret of ours";
pub(crate) const REST: &str = "everything comes to rest";

/// What may go wrong, and how much of it in one run.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) daemons: usize,
    pub(crate) rows: &'static [Which],
    /// How many of all these may happen in one run.
    pub(crate) events: u8,
    pub(crate) fates: &'static [Fate],
    pub(crate) kills: &'static [Loses],
    pub(crate) cinder: &'static [Cinder],
    pub(crate) upstream: bool,
    pub(crate) pauses: bool,
    pub(crate) lies: Lies,
    /// What has happened before.
    pub(crate) prologue: &'static [Action],
}

/// What Cinder and its users do to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cinder {
    Deletes(Which),
    /// A retype, say: it gets a key of its own.
    Rekeys(Which),
    /// Something is begun with it; it ends by itself.
    WorksOn(Which),
    /// A restored backup brings the zeros back.
    Zeroes(Which),
    /// A snapshot is made from a volume that was read a while ago.
    Snapshots,
    /// The volume goes to another user.
    Transfers,
    /// A volume migration exchanges the keys of two volumes.
    Exchanges,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) pending: Vec<Pending>,
    /// The rows that upstream's migrator saw at zeros and is still to write.
    pub(crate) upstream: Vec<Which>,
    events_left: u8,
    /// Something happened that may leave a second secret behind.
    pub(crate) doubt: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Start(usize),
    List(usize),
    Tell(usize),
    Begin(usize, Which),
    Step(usize, Fate),
    DropSpare(usize),
    LookAgain(usize, Which),
    Kill {
        daemon: usize,
        loses: Loses,
        sent: bool,
    },
    Pass(u32),
    Pause(u32),
    TakesEffect(usize),
    IsLost(usize),
    Cinder(Cinder),
    Settles(Which),
    UpstreamReads,
    UpstreamWrites(Which),
}

impl Model for Cloud {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let snapshots = self.cinder.contains(&Cinder::Snapshots);
        let with_snapshot: &[bool] = if snapshots { &[true, false] } else { &[true] };
        let worlds = with_snapshot.iter().map(|with| {
            let mut world = World::new(*with);
            for which in ROWS {
                world.row_mut(which).alive &= self.rows.contains(&which);
            }
            world
        });
        let states = worlds.map(|world| {
            let mut state = State {
                world,
                daemons: vec![Daemon::at_work(); self.daemons],
                pending: Vec::new(),
                upstream: Vec::new(),
                events_left: self.events,
                doubt: false,
            };
            for action in self.prologue {
                state.act(action, &self.lies);
            }
            state
        });
        states.collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for daemon in 0..self.daemons {
            self.daemon_acts(state, daemon, actions);
        }
        let idle = actions.is_empty();
        for (number, pending) in state.pending.iter().enumerate() {
            if pending.sent_at + LATEST > state.world.elapsed {
                actions.push(Action::TakesEffect(number));
            }
            actions.push(Action::IsLost(number));
        }
        for which in &state.upstream {
            actions.push(Action::UpstreamWrites(*which));
        }
        let busy = ROWS.into_iter().filter(|row| state.world.row(*row).busy);
        let busy: Vec<_> = busy.map(Action::Settles).collect();
        if idle
            && state.world.elapsed < LONGEST
            && let Some(time) = state.waits_for()
            && (busy.is_empty() || time < LONGEST_BUSY)
        {
            actions.push(Action::Pass(time));
        }
        actions.extend(busy);
        if state.events_left > 0 {
            self.adversities(state, actions);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        state.act(&action, &self.lies);
        if state == *before {
            return None;
        }
        state.events_left -= u8::from(action.is_adverse());
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(I1, |_, state: &State| {
                state.world.broken != Some(Broken::Overwritten)
            }),
            Property::always(I2, |_, state: &State| {
                !matches!(
                    state.world.broken,
                    Some(Broken::WrongPayload | Broken::Unreadable | Broken::Dangling)
                )
            }),
            Property::always(I3, |_, state: &State| {
                state.world.broken != Some(Broken::HalfMoved)
            }),
            Property::always(I4, |_, state: &State| {
                state.world.broken != Some(Broken::DeletedInUse)
            }),
            Property::always(I5, |_, state: &State| {
                !state.is_at_rest() || !state.has_duplicates()
            }),
            Property::always(I6, |_, state: &State| state.unaccounted().is_none()),
            Property::always(W12, |_, state: &State| {
                state.world.broken != Some(Broken::SwitchedWhileBusy)
            }),
            Property::always(SHARED, |_, state: &State| {
                state.world.broken != Some(Broken::Shared)
            }),
            Property::always(REST, |model: &Cloud, state: &State| {
                state.is_at_rest() || model.goes_on(state)
            }),
            Property::sometimes("all is migrated", |_, state: &State| state.is_at_rest()),
        ]
    }
}

impl Cloud {
    /// Whether anything happens by itself.
    fn goes_on(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        let is_working = state.daemons.iter().any(|daemon| daemon.work.is_some());
        if !is_working {
            self.actions(state, &mut actions);
            actions.retain(|action| !action.is_adverse());
        }
        let mut changes = actions.into_iter();
        is_working || changes.any(|action| self.next_state(state, action).is_some())
    }

    fn daemon_acts(&self, state: &State, daemon: usize, actions: &mut Vec<Action>) {
        let it = &state.daemons[daemon];
        if !it.running {
            actions.push(Action::Start(daemon));
            return;
        }
        if it.spare.is_some() {
            actions.push(Action::DropSpare(daemon));
        }
        if it.work.is_some() {
            actions.push(Action::Step(daemon, Fate::Well));
            return;
        }
        if !it.listed {
            actions.push(Action::List(daemon));
            return;
        }
        if it.has_to_tell(&self.lies) {
            actions.push(Action::Tell(daemon));
        }
        for which in it.late_looks(&state.world, &self.lies) {
            actions.push(Action::LookAgain(daemon, which));
        }
        for which in ROWS {
            if it.task(which, &state.world).is_some() {
                actions.push(Action::Begin(daemon, which));
            }
        }
    }

    fn adversities(&self, state: &State, actions: &mut Vec<Action>) {
        use key_migration::machine::Step;
        for daemon in 0..self.daemons {
            let it = &state.daemons[daemon];
            let step = it.step();
            for fate in self.fates {
                let fits = match fate {
                    Fate::Well => false,
                    Fate::Corrupted => step == Some(Step::Store),
                    Fate::Refused => !matches!(step, None | Some(Step::Wait(_))),
                    Fate::Unheard => {
                        matches!(step, Some(Step::Store | Step::Swap(_) | Step::Delete(_)))
                    }
                    Fate::Late => matches!(step, Some(Step::Store | Step::Swap(_))),
                    Fate::Away => matches!(step, Some(Step::Swap(_))),
                };
                if fits {
                    actions.push(Action::Step(daemon, *fate));
                }
            }
            for loses in self.kills {
                if !it.running || (*loses == Loses::Notes && !it.has_notes()) {
                    continue;
                }
                let (daemon, loses) = (daemon, *loses);
                actions.push(Action::Kill {
                    daemon,
                    loses,
                    sent: false,
                });
                if step == Some(Step::Store) {
                    actions.push(Action::Kill {
                        daemon,
                        loses,
                        sent: true,
                    });
                }
            }
        }
        if self.pauses {
            actions.extend(PAUSES.map(Action::Pause));
        }
        if self.upstream && state.upstream.is_empty() {
            actions.push(Action::UpstreamReads);
        }
        actions.extend(self.cinder.iter().copied().map(Action::Cinder));
    }
}

impl Action {
    fn is_adverse(&self) -> bool {
        match self {
            Self::Step(_, fate) => *fate != Fate::Well,
            Self::Kill { .. } | Self::Pause(_) | Self::Cinder(_) | Self::UpstreamReads => true,
            _ => false,
        }
    }
}

impl State {
    fn act(&mut self, action: &Action, lies: &Lies) {
        let world = &mut self.world;
        match action {
            Action::Start(daemon) => self.daemons[*daemon].start(world),
            Action::List(daemon) => self.daemons[*daemon].list(world, lies),
            Action::Tell(daemon) => self.daemons[*daemon].tell(),
            Action::Begin(daemon, which) => {
                let it = &mut self.daemons[*daemon];
                it.begin(*which, world);
                // What it sees first is what the walk saw.
                it.take(world, &mut self.pending, Fate::Well, *daemon, lies);
            }
            Action::Step(daemon, fate) => {
                self.doubt |= *fate != Fate::Well;
                self.daemons[*daemon].take(world, &mut self.pending, *fate, *daemon, lies);
            }
            Action::DropSpare(daemon) => self.daemons[*daemon].drop_spare(world, lies),
            Action::LookAgain(daemon, which) => {
                self.daemons[*daemon].look_again(*which, world, lies);
            }
            Action::Kill {
                daemon,
                loses,
                sent,
            } => self.kill(*daemon, *loses, *sent),
            Action::Pass(time) => world.elapsed += time,
            Action::Pause(time) => {
                self.doubt = true;
                world.elapsed += time;
            }
            Action::TakesEffect(number) => {
                let pending = self.pending.remove(*number);
                self.takes_effect(&pending);
            }
            Action::IsLost(number) => {
                self.pending.remove(*number);
            }
            Action::Cinder(cinder) => self.cinder(*cinder),
            Action::Settles(which) => world.row_mut(*which).busy = false,
            Action::UpstreamReads => {
                let volumes = [Which::V1, Which::V2].into_iter();
                self.upstream = volumes
                    .filter(|which| world.row(*which).is_zero())
                    .collect();
            }
            Action::UpstreamWrites(which) => self.upstream_writes(*which),
        }
    }

    fn kill(&mut self, daemon: usize, loses: Loses, sent: bool) {
        let it = &mut self.daemons[daemon];
        if sent && let Some(work) = &it.work {
            self.pending.push(Pending {
                which: work.which,
                by: daemon,
                sent_at: self.world.elapsed,
                forgotten: false,
            });
        }
        if loses == Loses::Ledger {
            let stored = self.world.secrets.iter_mut();
            stored
                .filter(|it| it.by == daemon)
                .for_each(|it| it.unrecorded = true);
            let its = self.pending.iter_mut().filter(|it| it.by == daemon);
            its.for_each(|it| it.forgotten = true);
        }
        self.doubt = true;
        it.kill(loses);
    }

    fn takes_effect(&mut self, pending: &Pending) {
        let late = self.world.elapsed - pending.sent_at >= GIVEN_UP;
        let secret = self.world.store(Some(pending.which), true, pending.by);
        let stored = &mut self.world.secrets[usize::from(secret)];
        stored.late = late;
        stored.forgotten = pending.forgotten;
    }

    fn cinder(&mut self, cinder: Cinder) {
        let world = &mut self.world;
        match cinder {
            Cinder::Deletes(which) => {
                let blocked = which == Which::V1 && world.row(Which::S1).alive;
                if world.row(which).alive && !blocked {
                    world.row_mut(which).alive = false;
                    world.row_mut(which).touched = true;
                    world.drop_key(which);
                }
            }
            Cinder::Rekeys(which) if world.row(which).alive => {
                let new = world.store(None, false, usize::MAX);
                world.drop_key(which);
                world.set_key(which, Some(new));
            }
            Cinder::WorksOn(which) if world.row(which).alive => world.row_mut(which).busy = true,
            Cinder::Zeroes(which) if world.row(which).alive => world.set_key(which, None),
            Cinder::Snapshots if world.row(Which::V1).alive && !world.row(Which::S1).touched => {
                let snapshot = world.row_mut(Which::S1);
                snapshot.alive = true;
            }
            Cinder::Transfers => world.row_mut(Which::V1).user = User::Bob,
            Cinder::Exchanges if world.row(Which::V1).alive && world.row(Which::V2).alive => {
                let (one, two) = (world.row(Which::V1).key, world.row(Which::V2).key);
                world.row_mut(Which::V1).key = two;
                world.row_mut(Which::V2).key = one;
                for which in [Which::V1, Which::V2] {
                    world.row_mut(which).touched = true;
                }
            }
            _ => {}
        }
    }

    /// It never reads a row again before it writes, nor its snapshots.
    fn upstream_writes(&mut self, which: Which) {
        self.upstream.retain(|listed| *listed != which);
        let world = &mut self.world;
        if !world.row(which).alive {
            return;
        }
        let secret = world.store(None, true, usize::MAX);
        if which == Which::V1 && world.row(Which::S1).alive {
            world.set_key(Which::S1, Some(secret));
        }
        world.set_key(which, Some(secret));
    }

    /// The time that all daemons wait for, if that is all they do.
    fn waits_for(&self) -> Option<u32> {
        let waits = self.daemons.iter();
        let shortest = waits
            .filter_map(|daemon| daemon.waits_for(&self.world))
            .min()?;
        u32::try_from(shortest.as_secs()).ok()
    }

    /// Nobody has anything left to do.
    pub(crate) fn is_at_rest(&self) -> bool {
        let idle = self.daemons.iter().all(Daemon::is_at_rest);
        let quiet = self.pending.is_empty() && self.upstream.is_empty();
        let left = ROWS.into_iter().any(|which| {
            let row = self.world.row(which);
            row.is_zero() || row.busy
        });
        idle && quiet && !left
    }

    /// I5. What arrives after all have given up on it is a second secret, and so may be what was
    /// stored for a row that somebody else changed, or what nobody could delete in time.
    pub(crate) fn has_duplicates(&self) -> bool {
        ROWS.into_iter().any(|which| {
            let row = self.world.row(which);
            let ours = self.world.secrets.iter().filter(|stored| {
                stored.alive
                    && stored.name == Some(which)
                    && !stored.released
                    && !stored.late
                    && !self.is_excused(stored)
            });
            let excused = row.touched || (self.daemons.len() > 1 && self.doubt);
            !excused && ours.count() > 1
        })
    }

    /// Where the ledger is gone, `orphans list` alone shows what a killed run's request stored after
    /// the next run has listed, and what is left of a row that is deleted.
    fn is_excused(&self, stored: &Stored) -> bool {
        let is_deleted = stored
            .name
            .is_some_and(|which| !self.world.row(which).alive);
        stored.forgotten || (stored.unrecorded && is_deleted)
    }

    /// I6: a secret that no row refers to and that nobody will ever account for.
    pub(crate) fn unaccounted(&self) -> Option<usize> {
        let mut secrets = self.world.secrets.iter().enumerate();
        let found = secrets.find(|(number, stored)| {
            let counts = stored.alive && !stored.released && !self.is_excused(stored);
            let Some(which) = stored.name.filter(|_| counts) else {
                return false;
            };
            let number = u8::try_from(*number).expect("few secrets");
            let is_used = self.world.refers(number).next().is_some();
            !is_used && !self.daemons[stored.by].accounts_for(which, number)
        });
        found.map(|(number, _)| number)
    }
}

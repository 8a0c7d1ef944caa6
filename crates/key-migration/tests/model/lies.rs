//! Guards that are taken out: the world tells the machine what it would hear, or do, without one.

/// One guard less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The payload is said to be the fixed key without reading it.
    PayloadIsEqual,
    /// No row is said to refer to anything.
    NobodyRefers,
    /// Barbican says that every secret is an hour old.
    AnHourOld,
    /// The name is looked up once only before another secret is stored.
    OneLook,
    /// A request without an answer is said to have stored nothing.
    UnansweredIsNothing,
    /// An intent is not recorded.
    NoIntent,
    /// The swap does not compare the key.
    SwapWithoutCompare,
    /// The swap does not compare the users.
    ReadersAreFine,
    /// The swap does not look whether Cinder is at work on the row.
    BusyIsFine,
    /// The swap of a snapshot does not look at its volume.
    VolumeIsFine,
    /// The swap of a volume leaves its snapshots.
    SnapshotStaysBehind,
    /// A swap whose reply was lost is said not to have happened.
    SwapIsNotInDoubt,
    /// The ledger is told that everything was listed, whatever was found.
    ListedAtOnce,
    /// A secret is deleted without a look at its row, which is not locked meanwhile.
    NoLock,
    /// The machine does not see that time passes.
    NoTimePasses,
    /// A name that was given up on is not looked at again.
    NoLateLook,
}

/// The guards that are out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lies(pub(crate) &'static [Lie]);

impl Lies {
    pub(crate) fn tells(&self, lie: Lie) -> bool {
        self.0.contains(&lie)
    }
}

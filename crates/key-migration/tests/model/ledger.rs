//! The ledger as its port promises it to be, and what a kill leaves of it.

use key_migration::ids::{ResourceKind, SecretId};
use key_migration::ledger::{Event, OpenIntent, Recollection};

use crate::world::{ROWS, Secret, Which, id, number};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    pub(crate) listed: bool,
    rows: [Known; 3],
    superseded: Vec<(Which, Secret)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Known {
    open: Option<(u32, Option<Secret>)>,
    /// Secrets stored for it or switched to, and not superseded or gone.
    before: Vec<Secret>,
    second_look: Option<u32>,
}

impl Ledger {
    /// Opens an intent, and hands back what was stored for the row before, latest first.
    pub(crate) fn intend(&mut self, which: Which, now: u32) -> Vec<SecretId> {
        let known = &mut self.rows[which as usize];
        known.open = Some((now, None));
        known
            .before
            .iter()
            .rev()
            .map(|secret| id(*secret))
            .collect()
    }

    pub(crate) fn note(&mut self, which: Which, event: &Event, now: u32) {
        let known = &mut self.rows[which as usize];
        match event {
            Event::Stored(secret) | Event::Found(secret) => {
                let secret = number(*secret);
                known.open = known
                    .open
                    .map(|(since, named)| (since, named.or(Some(secret))));
                if !known.before.contains(&secret) {
                    known.before.push(secret);
                }
                self.unsupersede(id(secret));
            }
            Event::Unanswered => {}
            Event::NotStored | Event::Lost => known.open = None,
            Event::GivenUp => {
                known.open = known.open.filter(|(_, secret)| secret.is_some());
                known.second_look = Some(now);
            }
            Event::LookedAgain => known.second_look = None,
            Event::Switched { secret, .. } => {
                known.open = None;
                self.unsupersede(*secret);
                let before = &mut self.rows[which as usize].before;
                if !before.contains(&number(*secret)) {
                    before.push(number(*secret));
                }
            }
            Event::Deleted(secret) | Event::Gone(secret) => {
                known.before.retain(|known| *known != number(*secret));
                self.unsupersede(*secret);
            }
            Event::Superseded(secret) => {
                known.before.retain(|known| *known != number(*secret));
                let superseded = (which, number(*secret));
                if !self.superseded.contains(&superseded) {
                    self.superseded.push(superseded);
                    self.superseded.sort_unstable();
                }
            }
        }
    }

    fn unsupersede(&mut self, secret: SecretId) {
        self.superseded
            .retain(|(_, known)| *known != number(secret));
    }

    pub(crate) fn recollection(&self, wall_clock: impl Fn(u32) -> jiff::Timestamp) -> Recollection {
        let rows = || {
            ROWS.into_iter()
                .map(|which| (which, &self.rows[which as usize]))
        };
        let open = rows().filter_map(|(which, known)| {
            let (since, secret) = known.open?;
            Some(OpenIntent {
                row: which.row().clone(),
                since: wall_clock(since),
                secret: secret.map(id),
            })
        });
        let looks = rows().filter_map(|(which, known)| {
            Some((which.row().clone(), wall_clock(known.second_look?)))
        });
        let superseded = self.superseded.iter();
        Recollection {
            listed: match self.listed {
                true => vec![ResourceKind::Volume, ResourceKind::Snapshot],
                false => Vec::new(),
            },
            open: open.collect(),
            superseded: superseded
                .map(|(which, secret)| (which.row().clone(), id(*secret)))
                .collect(),
            second_looks: looks.collect(),
            sample: None,
        }
    }

    /// Whether this secret will be accounted for by what is recorded.
    pub(crate) fn accounts_for(&self, which: Which, secret: Secret) -> bool {
        let known = &self.rows[which as usize];
        known.open.is_some()
            || known.second_look.is_some()
            || self.superseded.contains(&(which, secret))
    }

    /// Whether a name is to be looked at again.
    pub(crate) fn has_looks(&self) -> bool {
        self.rows.iter().any(|known| known.second_look.is_some())
    }
}

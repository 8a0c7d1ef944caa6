//! The global count behind the summary, shared by the services of one process and spaced so that
//! it never takes more than a hundredth of the database's time.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ports::{CinderDatabase, Clock, DatabaseError};
use crate::progress::Counted;

/// The part of the time that counting may take is one over this.
const SPACING: u32 = 100;

/// Counts rows at zeros over all hosts, and keeps the last count.
pub struct CensusKeeper<C> {
    clock: C,
    latest: watch::Sender<Option<Counted>>,
    pace: Mutex<Option<Pace>>,
}

#[derive(Clone, Copy)]
struct Pace {
    began: Instant,
    cost: Duration,
}

impl<C: Clock> CensusKeeper<C> {
    /// A keeper that has not counted yet.
    pub fn new(clock: C) -> Self {
        Self {
            clock,
            latest: watch::Sender::new(None),
            pace: Mutex::new(None),
        }
    }

    /// The last count, and those to come.
    pub fn subscribe(&self) -> watch::Receiver<Option<Counted>> {
        self.latest.subscribe()
    }

    /// A count that began after `changed` (if given), and otherwise one that is not older than the
    /// spacing allows.
    pub(crate) async fn count<D: CinderDatabase>(
        &self,
        rows: &D,
        service_down_time: Duration,
        changed: Option<Instant>,
    ) -> Result<Counted, DatabaseError> {
        if let Some(recent) = self.recent(changed) {
            return Ok(recent);
        }
        let began = Instant::now();
        let counted_at = self.clock.now();
        let census = rows.census(service_down_time).await?;
        let counted = Counted { counted_at, census };
        *self.pace() = Some(Pace {
            began,
            cost: began.elapsed(),
        });
        self.latest.send_replace(Some(counted.clone()));
        Ok(counted)
    }

    fn recent(&self, changed: Option<Instant>) -> Option<Counted> {
        let pace = (*self.pace())?;
        let still_true = changed.is_none_or(|changed| changed <= pace.began);
        let too_soon = pace.began.elapsed() < pace.cost * SPACING;
        if still_true && too_soon {
            self.latest.borrow().clone()
        } else {
            None
        }
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Option<Pace>> {
        self.pace
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

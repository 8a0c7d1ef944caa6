//! What is said of the global count, when, and since when it has been clear.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::census::CensusKeeper;
use crate::ids::Service;
use crate::messages;
use crate::ports::{CinderDatabase, Clock, DatabaseError};
use crate::progress::Counted;
use crate::rows::Census;
use crate::settings::Settings;

/// One service's view of the global count.
pub(crate) struct Summary<C> {
    census: Arc<CensusKeeper<C>>,
    said: Option<(Census, Instant)>,
    clear_since: Option<Counted>,
}

impl<C: Clock> Summary<C> {
    pub(crate) fn new(census: Arc<CensusKeeper<C>>) -> Self {
        Self {
            census,
            said: None,
            clear_since: None,
        }
    }

    pub(crate) fn census(&self) -> &CensusKeeper<C> {
        &self.census
    }

    /// A count that began after `changed`, if given.
    pub(crate) async fn count<D: CinderDatabase>(
        &self,
        rows: &D,
        settings: &Settings,
        changed: Option<Instant>,
    ) -> Result<Counted, DatabaseError> {
        self.census
            .count(rows, settings.service_down_time, changed)
            .await
    }

    /// Counts, and says it: the first time, when it changed (also if it was not counted in
    /// between, as after keys moved), and once an interval.
    pub(crate) async fn make<D: CinderDatabase>(
        &mut self,
        rows: &D,
        settings: &Settings,
        changed: Option<Instant>,
    ) -> Result<(), DatabaseError> {
        let counted = self.count(rows, settings, changed).await?;
        let census = counted.census.clone();
        let due = self.said.as_ref().is_none_or(|(said, at)| {
            changed.is_some_and(|changed| changed > *at)
                || !said.counts_the_same(&census)
                || at.elapsed() >= settings.summary_interval
        });
        if due {
            messages::summary(&census);
            self.said = Some((census, Instant::now()));
        }
        if counted.census.is_clear() {
            self.clear_since.get_or_insert(counted);
        } else {
            self.clear_since = None;
        }
        Ok(())
    }

    /// Whether the last count, if there is one, cannot have seen this many rows of one host.
    pub(crate) fn misses(&self, service: Service, rows: u64) -> bool {
        let counted = self.census.subscribe();
        let counted = counted.borrow();
        let seen = counted
            .as_ref()
            .map_or(0, |Counted { census, .. }| match service {
                Service::Volume => census.volumes,
                Service::Backup => census.backups,
            });
        self.said.is_none() || seen < rows
    }

    /// Whether the last count found nothing at zeros anywhere.
    pub(crate) fn is_clear(&self) -> bool {
        let latest = self.census.subscribe();
        let latest = latest.borrow();
        latest
            .as_ref()
            .is_some_and(|counted| counted.census.is_clear())
    }

    /// Whether nothing was at zeros anywhere in two counts an interval apart, nor since.
    pub(crate) fn is_clear_twice(&self, interval: Duration) -> bool {
        let interval = jiff::SignedDuration::try_from(interval).unwrap_or_default();
        let latest = self.census.subscribe();
        let latest = latest.borrow();
        let both = self.clear_since.as_ref().zip(latest.as_ref());
        both.is_some_and(|(first, latest)| {
            latest.census.is_clear()
                && latest.counted_at.duration_since(first.counted_at) >= interval
        })
    }
}

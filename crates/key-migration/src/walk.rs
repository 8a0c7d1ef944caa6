//! In which order rows are met, and where the walk over them begins.

use std::collections::VecDeque;

use crate::ids::RowId;
use crate::rows::ScannedRow;

/// Rows a page of the walk holds.
pub(crate) const PAGE: u32 = 500;

/// Keys in a row that may fail before the walk begins behind the last of them.
const MOST_STUMBLES: u32 = 5;

/// The rows in the order of their IDs, from any of them round to the same.
pub(crate) struct Walk {
    pub(crate) rows: VecDeque<ScannedRow>,
    pub(crate) after: Option<RowId>,
    began_after: Option<RowId>,
    came_round: bool,
    pub(crate) fetching: bool,
    exhausted: bool,
}

impl Walk {
    pub(crate) fn from(began_after: Option<RowId>) -> Self {
        Self {
            rows: VecDeque::new(),
            after: began_after.clone(),
            began_after,
            came_round: false,
            fetching: false,
            exhausted: false,
        }
    }

    pub(crate) fn wants_page(&self) -> bool {
        !self.fetching && !self.exhausted && self.rows.len() < PAGE as usize / 2
    }

    pub(crate) fn take_page(&mut self, page: Vec<ScannedRow>) {
        self.fetching = false;
        let at_the_end = page.len() < PAGE as usize;
        self.after = page.last().map(|row| row.id.clone()).or(self.after.take());
        let beyond =
            |row: &ScannedRow| self.came_round && Some(&row.id) > self.began_after.as_ref();
        let met_before = page.iter().any(beyond);
        self.rows
            .extend(page.into_iter().filter(|row| !beyond(row)));
        if at_the_end && !self.came_round && self.began_after.is_some() {
            self.came_round = true;
            self.after = None;
        } else {
            self.exhausted = at_the_end || met_before;
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.exhausted && !self.fetching && self.rows.is_empty()
    }
}

/// Rows that Barbican failed since a key was migrated. After some of them the walk begins behind
/// the last one, so that no row keeps the others from being tried for good; and not at once, as
/// each further row may leave one more secret that cannot be used yet.
#[derive(Debug, Default)]
pub(crate) struct Stumbles {
    times: u32,
    begin_after: Option<RowId>,
}

impl Stumbles {
    pub(crate) fn over(&mut self, row: &RowId) {
        self.times += 1;
        if self.times == MOST_STUMBLES {
            self.times = 0;
            self.begin_after = Some(row.clone());
        }
    }

    /// Where the next walk begins, if not at the first row.
    pub(crate) fn begin_after(&self) -> Option<RowId> {
        self.begin_after.clone()
    }

    pub(crate) fn are_over(&mut self) {
        *self = Self::default();
    }
}

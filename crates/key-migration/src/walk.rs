//! In which order rows are met, and where the walk over them begins.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::ids::{ResourceKind, RowId};
use crate::rows::ScannedRow;

/// Rows a page of the walk holds.
pub(crate) const PAGE: u32 = 500;

/// Keys in a row that may fail before the walk begins behind the last of them.
const MOST_STUMBLES: u32 = 5;

/// The rows of one kind in the order of their IDs, from any of them round to the same.
pub(crate) struct Walk {
    pub(crate) kind: ResourceKind,
    pub(crate) rows: VecDeque<ScannedRow>,
    pub(crate) after: Option<RowId>,
    began_after: Option<RowId>,
    came_round: bool,
    pub(crate) fetching: bool,
    exhausted: bool,
    /// Decides where in the first page that has rows the walk begins.
    lot: Option<Uuid>,
    /// Pages that were asked for before this number are of a walk that is over.
    pub(crate) number: u32,
}

impl Walk {
    pub(crate) fn from(kind: ResourceKind, began_after: Option<RowId>) -> Self {
        Self {
            kind,
            rows: VecDeque::new(),
            after: began_after.clone(),
            began_after,
            came_round: false,
            fetching: false,
            exhausted: false,
            lot: None,
            number: 0,
        }
    }

    /// Begins anew elsewhere: somebody else is at work where this walk was. Rows that were met
    /// already are at zeros no more, or are known.
    ///
    /// The page is from an ID picked at random, and the walk begins within it, where nobody seems
    /// to be: the first row at zeros behind any ID is likely the very one that others have come to.
    pub(crate) fn jump(&mut self, lot: Uuid) {
        *self = Self {
            number: self.number + 1,
            lot: Some(lot),
            ..Self::from(self.kind, Some(RowId::from(lot.to_string())))
        };
    }

    /// Goes on with the rows of another kind.
    pub(crate) fn turn_to(&mut self, kind: ResourceKind) {
        *self = Self {
            number: self.number + 1,
            ..Self::from(kind, None)
        };
    }

    pub(crate) fn wants_page(&self) -> bool {
        !self.fetching && !self.exhausted && self.rows.len() < PAGE as usize / 2
    }

    pub(crate) fn take_page(&mut self, page: Vec<ScannedRow>) {
        self.fetching = false;
        let at_the_end = page.len() < PAGE as usize;
        let page = self.begun_by_lot(page);
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

    /// Leaves out what the walk comes to last.
    fn begun_by_lot(&mut self, mut page: Vec<ScannedRow>) -> Vec<ScannedRow> {
        let Some(lot) = self.lot.take_if(|_| !page.is_empty()) else {
            return page;
        };
        let first = away_from_others(&page, lot);
        if let Some(before) = first.checked_sub(1) {
            self.began_after = Some(page[before].id.clone());
            self.came_round = false;
        }
        page.split_off(first)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.exhausted && !self.fetching && self.rows.is_empty()
    }
}

/// A gap between the IDs of rows at zeros that is so many times as wide as usual is not by chance:
/// the rows in it are done, and whoever did them is at work just behind it.
const WIDE: u64 = 6;

/// The row to begin with beside others: they come from the front of each stretch between two wide
/// gaps, so it is well behind the middle of the longest one. Several who look at the same time
/// should not all find the same row.
fn away_from_others(page: &[ScannedRow], lot: Uuid) -> usize {
    let (start, length) = longest_stretch(page);
    let (tenths, jitter) = (length * 10, usize::from(lot.as_bytes()[0]));
    start + (tenths / 2 + tenths * 4 / 10 * jitter / 256) / 10
}

/// Its first row, and how many there are.
fn longest_stretch(page: &[ScannedRow]) -> (usize, usize) {
    let places: Vec<u64> = page.iter().map(|row| place(&row.id)).collect();
    let gaps: Vec<u64> = places
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .collect();
    let mut by_width = gaps.clone();
    by_width.sort_unstable();
    let usual = by_width.get(gaps.len() / 2).copied().unwrap_or(0);
    let wide = usual.saturating_mul(WIDE);
    let (mut start, mut longest) = (0, (0, 0));
    let ends = gaps.iter().enumerate().filter(|(_, gap)| **gap > wide);
    for end in ends.map(|(before, _)| before + 1).chain([page.len()]) {
        if end - start > longest.1 {
            longest = (start, end - start);
        }
        start = end;
    }
    longest
}

/// Where an ID stands among all: IDs are UUIDs, and those are spread evenly.
fn place(id: &RowId) -> u64 {
    let digits = id.as_str().chars().filter_map(|digit| digit.to_digit(16));
    digits
        .take(16)
        .fold(0, |place, digit| place << 4 | u64::from(digit))
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

    /// Where the next walk begins, if not anywhere.
    pub(crate) fn begin_after(&self) -> Option<RowId> {
        self.begin_after.clone()
    }

    pub(crate) fn are_over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowStatus;

    /// Rows whose IDs begin with these numbers.
    fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<ScannedRow> {
        let id = |number| RowId::from(format!("{number:08x}-0000-4000-8000-000000000000"));
        let row = |number| ScannedRow {
            id: id(number),
            status: RowStatus::default(),
        };
        numbers.into_iter().map(row).collect()
    }

    /// What the walk meets of these rows, asking for pages as long as it wants any.
    fn met(mut walk: Walk, rows: &[ScannedRow]) -> Vec<RowId> {
        let mut met = Vec::new();
        while walk.wants_page() {
            let after = walk.after.clone();
            let left = rows.iter().filter(|row| Some(&row.id) > after.as_ref());
            walk.take_page(left.take(PAGE as usize).cloned().collect());
            met.extend(walk.rows.drain(..).map(|row| row.id));
        }
        met
    }

    #[test]
    fn a_walk_that_jumps_meets_every_row_once_wherever_it_lands() {
        for count in [0, 1, 2, 3, 40, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 7] {
            let rows = rows((0..count).map(|number| number * 1000 + 7));
            let mut ids: Vec<RowId> = rows.iter().map(|row| row.id.clone()).collect();
            for lot in 0..64_u128 {
                let mut walk = Walk::from(ResourceKind::Volume, None);
                // In and behind the rows, and with any first byte.
                walk.jump(Uuid::from_u128((lot * 0x0401_0000_7a31) << 80));
                let mut met = met(walk, &rows);
                met.sort_unstable();
                ids.sort_unstable();
                assert_eq!(met, ids, "{count} rows, {lot}");
            }
        }
    }

    #[test]
    fn w13_it_lands_behind_the_middle_of_the_longest_stretch_that_nobody_is_at_work_on() {
        // Others are at work at the fronts, 10 and 60, and have done 40 to 59.
        let page = rows((10..40).chain(60..100).map(|number| number * 1000));
        for lot in 0..=255_u128 {
            let landed = away_from_others(&page, Uuid::from_u128(lot << 120));
            assert!((30 + 20..30 + 36).contains(&landed), "{landed}");
        }
    }
}

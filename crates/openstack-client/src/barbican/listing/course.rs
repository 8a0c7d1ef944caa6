//! Where a walk over pages looks next, so that no secret that was there all along is left out.
//!
//! The order is by `created`, then `name`: a deletion moves later rows to lower offsets, and new
//! rows come at the end. A page is one slice of that order at one instant. If it begins before the
//! end of its predecessor, nothing lies between the two, whatever was deleted meanwhile. So a page
//! reaches back into its predecessor, and must show that it does: by a row of it that is met
//! again, or by a first row from an earlier second. If it shows neither, the walk steps back, by
//! what `total` lost at least, then twice as far each time; it never begins anew. Each deletion
//! costs it about one row to be met again.
//!
//! One new row may come a little before the end: one that was stamped before it became visible.
//! So the tail is walked again until `total` has not moved between its start and its end.
//!
//! `created` has whole seconds on MySQL. Rows of one second have no order of their own, and two
//! pages might each leave out the same one, so `name` decides between them. Rows that have both in
//! common (one name stored twice in a second) have no order at all: such a row at the very end of
//! a page proves nothing.

use std::collections::HashSet;

use key_migration::ids::SecretId;
use key_migration::reasons::Fault;

use super::super::trouble::failing;
use super::page::Page;

/// How far a page reaches back into its predecessor where nothing is being deleted.
const OVERLAP: u64 = 10;
/// A shorter page has no row for the next one to show, other than its last.
const SHORTEST: u64 = 3;
/// How often the end is walked to before it is taken as it is, though it still moves.
const LAPS: u32 = 6;
/// How many listings' worth of rows may be asked for before a walk is given up. One takes two when
/// everything that is listed is deleted while it lasts.
const LISTINGS: u64 = 4;
/// How many pages on top of that, for listings that are short.
const PAGES: u64 = 32;
/// How often it steps back in a row: from beyond any list to its start.
const TEARS: u32 = 24;

/// What a page was to the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Something may lie between it and its predecessor: it will be met again.
    Torn,
    /// It follows, and there is more.
    On,
    /// It follows, and nothing is left.
    End,
}

/// A walk, as told by the pages met so far.
pub(super) struct Course {
    page: u64,
    offset: u64,
    before: Option<Before>,
    /// How far the last step back went; 0 while pages follow each other.
    step: u64,
    /// How often it stepped back since a page followed.
    tears: u32,
    /// `total` of the last page.
    total: u64,
    lap: Lap,
    laps: u32,
    effort: Effort,
}

/// What the next page is held against.
struct Before {
    /// Rows that come certainly before the end of this page.
    rows: HashSet<SecretId>,
    /// The second of its last row.
    second: i64,
}

/// One way to the end.
#[derive(Default)]
struct Lap {
    first_total: Option<u64>,
    /// How many rows `total` lost on the way.
    lost: u64,
}

/// What was asked for, in rows.
struct Effort {
    spent: u64,
    /// How far a page brings the walk.
    stride: u64,
    largest_total: u64,
    pages: u64,
}

impl Course {
    /// From the very start, by pages of at most so many rows.
    pub(super) fn new(page: u64) -> Self {
        Self {
            page,
            offset: 0,
            before: None,
            step: 0,
            tears: 0,
            total: 0,
            lap: Lap::default(),
            laps: 0,
            effort: Effort {
                spent: 0,
                stride: page,
                largest_total: 0,
                pages: 0,
            },
        }
    }

    /// Where the next page is to begin.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes note of the page that begins at [`Self::offset`], and chooses the next one.
    ///
    /// # Errors
    /// When so much was read that the pages cannot be those of one list.
    pub(super) fn meet(&mut self, page: &Page) -> Result<Met, Fault> {
        self.effort.spend(page.total);
        let lost = self.total.saturating_sub(page.total);
        self.total = page.total;
        self.lap.lost = self.lap.lost.saturating_add(lost);
        let first_total = *self.lap.first_total.get_or_insert(page.total);
        let reach = lost.saturating_add(OVERLAP);
        let length = page.secrets.len() as u64;
        let is_last = self.offset.saturating_add(length) >= page.total;
        if !self.is_followed_by(page) || (length < SHORTEST && !is_last) {
            self.tears += 1;
            if self.tears == TEARS || self.effort.spent > self.effort.most(self.page) {
                return Err(self.effort.in_vain());
            }
            self.step = reach.max(self.step.saturating_mul(2));
            self.offset = self.offset.saturating_sub(self.step);
            return Ok(Met::Torn);
        }
        self.step = 0;
        self.tears = 0;
        if !is_last {
            // Where rows have just been deleted, as many may be by the next page.
            let stride = length - reach.min(length.div_ceil(2));
            self.effort.stride = stride;
            self.offset += stride;
            self.before = Before::of(page);
            return Ok(Met::On);
        }
        self.laps += 1;
        let lap = std::mem::take(&mut self.lap);
        if self.laps == LAPS || (first_total == page.total && lap.lost == 0) {
            return Ok(Met::End);
        }
        // All that was there is met. What comes now looks for late rows only, wherever it begins.
        self.offset = first_total.saturating_sub(lap.lost.saturating_add(self.page));
        self.before = None;
        Ok(Met::On)
    }

    fn is_followed_by(&self, page: &Page) -> bool {
        let Some(first) = page.secrets.first() else {
            return page.total == 0;
        };
        let Some(before) = &self.before else {
            return true;
        };
        self.offset == 0
            || first.created.as_second() < before.second
            || page
                .secrets
                .iter()
                .any(|listed| before.rows.contains(&listed.secret.id))
    }
}

impl Before {
    fn of(page: &Page) -> Option<Self> {
        let last = page.secrets.last()?;
        let is_before = |name: &str, created| name != last.secret.name || created != last.created;
        Some(Self {
            rows: page
                .secrets
                .iter()
                .filter(|listed| is_before(&listed.secret.name, listed.created))
                .map(|listed| listed.secret.id)
                .collect(),
            second: last.created.as_second(),
        })
    }
}

impl Effort {
    fn spend(&mut self, total: u64) {
        self.largest_total = self.largest_total.max(total);
        self.spent += self.stride;
        self.pages += 1;
    }

    fn most(&self, page: u64) -> u64 {
        let listings = self.largest_total.saturating_mul(LISTINGS);
        listings.saturating_add(PAGES * page)
    }

    fn in_vain(&self) -> Fault {
        failing(format!(
            "Barbican's listing of secrets does not become complete: after {} pages they still \
             do not follow each other, of {} secrets at most",
            self.pages, self.largest_total
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jiff::Timestamp;
    use key_migration::ports::StoredSecret;
    use proptest::prelude::*;

    use super::super::super::metadata::Listed;
    use super::*;

    /// Barbican's list, in its order: the second, then the number, which is the name.
    #[derive(Default)]
    struct List {
        rows: BTreeSet<(i64, u128)>,
        stored: u128,
    }

    /// What happens between two pages.
    #[derive(Clone, Debug)]
    enum Change {
        /// So many rows go, beginning at this share of the list.
        Delete(f64, usize),
        /// So many rows go from all over the list.
        Thin(usize),
        /// So many come.
        Store(usize),
    }

    impl List {
        fn with(rows: usize, a_second: u128) -> Self {
            let mut list = Self::default();
            list.store(rows, a_second);
            list
        }

        fn store(&mut self, rows: usize, a_second: u128) {
            for _ in 0..rows {
                self.stored += 1;
                let second = i64::try_from(self.stored / a_second).expect("few");
                self.rows.insert((second, self.stored));
            }
        }

        fn delete(&mut self, from: usize, rows: usize) {
            let gone = self.rows.iter().skip(from).take(rows).copied();
            for row in gone.collect::<Vec<_>>() {
                self.rows.remove(&row);
            }
        }

        fn undergo(&mut self, change: &Change, a_second: u128) {
            match *change {
                Change::Delete(share, rows) => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        clippy::cast_precision_loss,
                        reason = "a place in a short list"
                    )]
                    self.delete((share * self.rows.len() as f64) as usize, rows);
                }
                Change::Thin(rows) => {
                    let every = self.rows.len() / rows.max(1) + 1;
                    let kept = self.rows.iter().enumerate();
                    self.rows = kept
                        .filter(|(place, _)| place % every != 0)
                        .map(|(_, row)| *row)
                        .collect();
                }
                Change::Store(rows) => self.store(rows, a_second),
            }
        }

        fn page(&self, offset: u64, limit: usize) -> Page {
            let offset = usize::try_from(offset).expect("a place");
            let rows = self.rows.iter().skip(offset).take(limit);
            Page {
                secrets: rows.map(|row| listed(*row)).collect(),
                total: self.rows.len() as u64,
            }
        }
    }

    fn listed((second, number): (i64, u128)) -> Listed {
        Listed {
            secret: StoredSecret {
                id: id(number),
                name: format!("{number:06}"),
                age: Duration::ZERO,
                created_by_us: true,
                active: true,
            },
            created: Timestamp::from_second(second).expect("a time"),
        }
    }

    fn id(number: u128) -> SecretId {
        SecretId::new(uuid::Uuid::from_u128(number)).expect("not nil")
    }

    /// What a walk came to.
    struct Walked {
        left_out: usize,
        requests: usize,
    }

    /// Walks while this happens between the pages.
    fn walk(
        list: &mut List,
        limit: usize,
        mut happen: impl FnMut(&mut List, usize),
    ) -> Result<Walked, Fault> {
        let at_start = list.rows.clone();
        let mut seen = HashSet::new();
        let mut course = Course::new(100);
        for requests in 1.. {
            let page = list.page(course.offset(), limit);
            let met = course.meet(&page)?;
            if met != Met::Torn {
                seen.extend(page.secrets.iter().map(|listed| listed.secret.id));
            }
            if met == Met::End {
                let throughout = at_start.intersection(&list.rows);
                let left_out = throughout.filter(|row| !seen.contains(&id(row.1)));
                return Ok(Walked {
                    left_out: left_out.count(),
                    requests,
                });
            }
            happen(list, requests);
        }
        unreachable!("a walk ends")
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (0.0..1.0, 1..200usize).prop_map(|(share, rows)| Change::Delete(share, rows)),
            (1..120usize).prop_map(Change::Thin),
            (1..150usize).prop_map(Change::Store),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn nothing_that_was_there_all_along_is_left_out_whatever_comes_and_goes(
            rows in 0..2500usize,
            a_second in prop_oneof![Just(1u128), Just(7), Just(150), Just(100_000)],
            limit in prop_oneof![Just(100usize), 3..100usize],
            changes in prop::collection::vec(prop::collection::vec(change(), 0..3), 0..30),
        ) {
            let mut list = List::with(rows, a_second);
            let walked = walk(&mut list, limit, |list, request| {
                for change in changes.get(request - 1).into_iter().flatten() {
                    list.undergo(change, a_second);
                }
            });
            let walked = walked.map_err(|fault| TestCaseError::fail(fault.message))?;
            prop_assert_eq!(walked.left_out, 0);
        }
    }

    /// What walking 2,700 rows costs while this happens before each page.
    fn cost(change: &Change, a_second: u128) -> usize {
        let mut list = List::with(2700, a_second);
        let walked = walk(&mut list, 100, |list, _| list.undergo(change, a_second));
        let walked = walked.expect("a complete walk");
        assert_eq!(walked.left_out, 0);
        walked.requests
    }

    #[test]
    fn a_quiet_list_is_walked_once() {
        let walked = walk(&mut List::with(2700, 7), 100, |_, _| ()).expect("complete");
        assert_eq!((walked.requests, walked.left_out), (30, 0));
    }

    #[test]
    fn deletions_before_every_page_cost_no_second_walk() {
        for a_second in [1, 7, 150, 100_000] {
            for rows in [1, 2, 5, 9, 10, 11, 20, 40, 80, 200] {
                for change in [
                    Change::Delete(0.0, rows),
                    Change::Delete(0.5, rows),
                    Change::Delete(0.95, rows),
                    Change::Thin(rows),
                ] {
                    let cost = cost(&change, a_second);
                    assert!(cost <= 45, "{cost} requests, {change:?} before each");
                }
            }
        }
    }

    #[test]
    fn deletions_that_new_secrets_hide_from_the_total_leave_nothing_out() {
        for rows in [5, 15, 40] {
            let walked = walk(&mut List::with(2700, 7), 100, |list, request| {
                if request <= 60 {
                    list.delete(0, rows);
                    list.store(rows, 7);
                }
            });
            assert_eq!(walked.expect("complete").left_out, 0);
        }
    }

    #[test]
    fn pages_that_have_nothing_to_do_with_each_other_end_in_a_fault() {
        let mut course = Course::new(100);
        let fault = (0..10_000u128).find_map(|round| {
            let rows = (0..100).map(|place| listed((1, 1 + round * 100 + place)));
            let page = Page {
                secrets: rows.collect(),
                total: 1000,
            };
            course.meet(&page).err().map(|_| round)
        });
        assert!(fault.is_some_and(|round| round < 100), "{fault:?}");
    }
}

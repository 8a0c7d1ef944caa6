//! The book of what is open, one entry at a time; whole runs are in `tests/domain`.

use uuid::Uuid;

use super::late_looks::LATE_LOOK;
use super::*;
use crate::conclusion::Concluded;
use crate::ledger::OpenIntent;
use crate::machine::KeyEnd;
use crate::reasons::RowReason;

const WAIT: Duration = Duration::from_secs(30);

fn row(id: &str) -> RowRef {
    RowRef {
        kind: ResourceKind::Volume,
        id: id.into(),
    }
}

fn secret(number: u128) -> SecretId {
    SecretId::new(Uuid::from_u128(number)).expect("not nil")
}

fn stored_secret(number: u128, age: Duration) -> StoredSecret {
    StoredSecret {
        id: secret(number),
        name: String::new(),
        age,
        created_by_us: true,
        active: true,
    }
}

fn open(id: &str, secret: Option<SecretId>) -> OpenIntent {
    OpenIntent {
        row: row(id),
        since: Timestamp::UNIX_EPOCH,
        secret,
    }
}

fn recalled(intents: &mut Intents, open: Vec<OpenIntent>, now: Instant) {
    let known = Recollection {
        open,
        ..Recollection::default()
    };
    intents.recall(&known, WAIT, now, Timestamp::UNIX_EPOCH);
}

#[test]
fn what_the_ledger_knows_does_not_displace_what_this_process_knows() {
    let now = Instant::now();
    let mut intents = Intents::default();
    let here = Candidate::stored(secret(1), now);
    intents.keep(&row("kept"), here, now);
    intents.park(&row("parked"), Duration::from_secs(1), now);
    let open = vec![
        open("kept", Some(secret(2))),
        open("parked", Some(secret(3))),
        open("new", Some(secret(4))),
        open("unanswered", None),
    ];
    recalled(&mut intents, open, now);
    assert_eq!(intents.start(&row("kept"), now), Start::Use(here));
    assert_eq!(
        intents.start(&row("parked"), now),
        Start::Wait(Wait::LookUp(Duration::from_secs(1)))
    );
    assert_eq!(
        intents.start(&row("new"), now),
        Start::Use(Candidate::found(secret(4)))
    );
    assert_eq!(
        intents.start(&row("unanswered"), now),
        Start::Wait(Wait::LookUp(WAIT))
    );
}

#[test]
fn a_leftover_stays_one_though_it_is_kept_unless_its_swap_may_have_happened() {
    let now = Instant::now();
    let with_leftover = || {
        let mut intents = Intents::default();
        intents.add_leftover(&row("a"), &stored_secret(1, Duration::ZERO), now);
        intents.add_leftover(&row("a"), &stored_secret(2, Duration::ZERO), now);
        intents
    };
    let left = |intents: &Intents| intents.leftovers(&row("a")).collect::<Vec<_>>();

    let mut intents = with_leftover();
    intents.keep(&row("a"), Candidate::found(secret(1)), now);
    assert_eq!(left(&intents), [secret(1), secret(2)], "it waits as before");
    assert!(matches!(
        intents.start(&row("a"), now),
        Start::Wait(Wait::Adoption(_))
    ));

    for candidate in [
        Candidate::stored(secret(1), now),
        Candidate {
            swap_in_doubt: true,
            ..Candidate::found(secret(1))
        },
        Candidate::found(secret(3)),
    ] {
        let mut intents = with_leftover();
        intents.keep(&row("a"), candidate, now);
        assert_eq!(intents.start(&row("a"), now), Start::Use(candidate));
        assert!(!left(&intents).contains(&candidate.secret));
    }
}

#[test]
fn a_secret_that_waited_for_its_row_waits_behind_the_one_that_comes_first_now() {
    let now = Instant::now();
    let in_doubt = Candidate {
        swap_in_doubt: true,
        ..Candidate::found(secret(1))
    };
    let mut intents = Intents::default();
    intents.keep(&row("a"), Candidate::stored(secret(2), now), now);
    intents.keep(&row("a"), in_doubt, now);
    assert_eq!(intents.start(&row("a"), now), Start::Use(in_doubt));
    let behind: Vec<SecretId> = intents.leftovers(&row("a")).collect();
    assert_eq!(behind, [secret(2)]);
    intents.switched(&row("a"), secret(1), 0);
    assert_eq!(intents.superseded_of(&row("a")), [secret(2)].into());
}

#[test]
fn what_a_look_found_is_told_to_the_ledger_before_its_request_is_given_up() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.park(&row("a"), Duration::ZERO, now);
    intents.add_superseded(&row("a"), secret(1));
    assert_eq!(intents.take_journal().len(), 1);
    let end = KeyEnd::Deferred {
        reason: RowReason::Transitional,
        message: String::new(),
        kept: Some(Candidate::found(secret(1))),
    };
    let found = [stored_secret(1, Duration::ZERO)];
    intents.conclude(&row("a"), &found, &end, WAIT, now);
    let told = [Event::Found(secret(1)), Event::GivenUp];
    assert_eq!(intents.take_journal(), told.map(|event| (row("a"), event)));
    assert_eq!(intents.superseded(), 0, "it is to be the row's after all");
}

#[test]
fn what_a_look_found_may_be_used_at_once_even_if_a_listing_let_it_wait() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.add_leftover(&row("a"), &stored_secret(1, Duration::ZERO), now);
    intents.add_leftover(&row("a"), &stored_secret(2, Duration::ZERO), now);
    intents.add_found(&row("a"), secret(2), now);
    assert_eq!(
        intents.start(&row("a"), now),
        Start::Use(Candidate::found(secret(2)))
    );
    assert_eq!(intents.leftovers(&row("a")).count(), 2, "none twice");
}

#[test]
fn a_row_is_open_by_any_of_three_things() {
    let now = Instant::now();
    let mut intents = Intents::default();
    assert!(intents.is_at_rest() && !intents.is_open(&row("a")) && !intents.any_parked());
    intents.keep(&row("a"), Candidate::found(secret(1)), now);
    assert!(intents.is_open(&row("a")) && !intents.is_at_rest());
    assert!(!intents.is_open(&row("b")) && !intents.any_parked());
    intents.park(&row("b"), WAIT, now);
    assert!(intents.is_open(&row("b")) && intents.is_parked(&row("b")));
    assert!(intents.any_parked() && intents.parked() == 1);
    assert!(!intents.is_open(&row("c")) && intents.has_no_leftovers());
    intents.add_leftover(&row("c"), &stored_secret(2, Duration::ZERO), now);
    assert!(intents.is_open(&row("c")) && !intents.has_no_leftovers());
    assert!(!intents.is_parked(&row("c")));
}

#[test]
fn a_row_whose_name_may_be_looked_up_from_now_on_is_among_the_open_ones() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.keep(&row("kept"), Candidate::found(secret(1)), now);
    intents.park(&row("parked"), WAIT, now);
    let open = |at| intents.open_rows(row("kept").kind, at);
    let just_before = (now + WAIT).checked_sub(Duration::from_nanos(1));
    assert_eq!(open(just_before.expect("in range")), [row("kept")]);
    assert_eq!(open(now + WAIT), [row("kept"), row("parked")]);
    assert_eq!(open(now + WAIT * 2), [row("kept"), row("parked")]);
}

#[test]
fn the_next_look_is_the_earliest_that_is_still_to_come() {
    let now = Instant::now();
    let mut intents = Intents::default();
    assert_eq!(intents.next_look(now), None);
    intents.park(&row("due"), Duration::ZERO, now);
    assert_eq!(
        intents.next_look(now),
        None,
        "this one has to wait for a pass"
    );
    intents.park(&row("late"), WAIT * 2, now);
    intents.park(&row("early"), WAIT, now);
    assert_eq!(intents.next_look(now), Some(now + WAIT));
    assert_eq!(intents.next_look(now + WAIT), Some(now + WAIT * 2));
}

#[test]
fn superseded_secrets_are_found_by_their_row_and_in_pages() {
    let mut intents = Intents::default();
    for (id, number) in [("a", 3), ("b", 1), ("a", 2), ("a", 2)] {
        intents.add_superseded(&row(id), secret(number));
    }
    assert_eq!(intents.superseded(), 3);
    assert_eq!(intents.take_journal().len(), 3, "each is recorded once");
    assert_eq!(
        intents.superseded_of(&row("a")),
        [secret(2), secret(3)].into()
    );
    let page = |after: Option<u128>, most| -> Vec<_> {
        let page = intents.superseded_after(after.map(secret), most);
        page.into_iter().map(|(secret, _)| secret).collect()
    };
    assert_eq!(page(None, 2), [secret(1), secret(2)]);
    assert_eq!(page(Some(2), 2), [secret(3)]);
    assert_eq!(page(Some(3), 2), []);

    intents.gone(&row("a"), secret(2));
    intents.deleted(&row("a"), secret(3));
    intents.not_superseded(secret(1));
    assert_eq!(intents.superseded(), 0);
    assert!(intents.superseded_of(&row("a")).is_empty());
}

#[test]
fn a_secret_that_moves_to_another_row_is_not_its_former_rows() {
    let mut intents = Intents::default();
    intents.add_superseded(&row("a"), secret(1));
    intents.add_superseded(&row("b"), secret(1));
    assert!(intents.superseded_of(&row("a")).is_empty());
    assert_eq!(intents.superseded_of(&row("b")), [secret(1)].into());
}

#[test]
fn what_a_look_found_again_takes_the_place_of_what_was_known_of_it_alone() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.add_leftover(&row("a"), &stored_secret(1, Duration::ZERO), now);
    intents.add_found(&row("a"), secret(2), now);
    let left: Vec<SecretId> = intents.leftovers(&row("a")).collect();
    assert_eq!(left, [secret(2), secret(1)]);
}

#[test]
fn a_row_that_needs_nothing_tells_what_was_stored_for_it() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.keep(&row("a"), Candidate::found(secret(1)), now);
    intents.add_leftover(&row("a"), &stored_secret(2, Duration::ZERO), now);
    intents.keep(&row("b"), Candidate::found(secret(3)), now);
    assert_eq!(intents.lost(&row("a")), [secret(1), secret(2)]);
    assert_eq!(intents.superseded_of(&row("a")).len(), 2);
    assert!(!intents.is_open(&row("a")) && intents.is_open(&row("b")));
}

#[test]
fn a_spare_is_what_the_row_does_not_hold_and_nobody_else_can_know() {
    let now = Instant::now();
    let here = Candidate::stored(secret(1), now);
    let with = |candidate| {
        let mut intents = Intents::default();
        intents.keep(&row("a"), candidate, now);
        intents
    };
    assert_eq!(with(here).take_spare(&row("a"), secret(1), now), None);
    let mut intents = with(here);
    assert_eq!(intents.take_spare(&row("a"), secret(2), now), Some(here));
    assert!(!intents.is_open(&row("a")), "it is handed out once");
    let found = Candidate::found(secret(1));
    assert_eq!(with(found).take_spare(&row("a"), secret(2), now), None);
}

#[test]
fn a_listing_adds_what_is_ours_and_not_known() {
    let now = Instant::now();
    let young = Duration::ZERO;
    let added = |intents: &mut Intents, found: &StoredSecret| {
        intents.add_leftover(&row("a"), found, now);
        intents.leftovers(&row("a")).count()
    };
    let mut intents = Intents::default();
    intents.keep(&row("a"), Candidate::stored(secret(1), now), now);
    assert_eq!(
        added(&mut intents, &stored_secret(1, young)),
        0,
        "it waits here"
    );
    assert_eq!(added(&mut intents, &stored_secret(2, young)), 1);

    let others = StoredSecret {
        created_by_us: false,
        ..stored_secret(3, young)
    };
    assert_eq!(added(&mut Intents::default(), &others), 0);

    // W10: once it may be adopted by anybody it may be by us.
    for (age, count) in [
        (young, 0),
        (ADOPTABLE_AGE - Duration::from_secs(1), 0),
        (ADOPTABLE_AGE, 1),
        (ADOPTABLE_AGE * 2, 1),
    ] {
        let mut intents = Intents::default();
        intents.add_superseded(&row("a"), secret(4));
        assert_eq!(
            added(&mut intents, &stored_secret(4, age)),
            count,
            "{age:?}"
        );
        assert_eq!(added(&mut intents, &stored_secret(5, age)), count + 1);
    }
}

#[test]
fn a_late_look_is_made_early_once_and_for_the_last_time_when_it_is_due() {
    let now = Instant::now();
    let due = now + LATE_LOOK;
    let mut intents = Intents::default();
    intents.park(&row("a"), Duration::ZERO, now);
    assert!(!intents.found_nothing(&row("a"), now));
    let again = now + SECOND_LOOK;
    assert!(intents.found_nothing(&row("a"), again));
    let due = due + SECOND_LOOK;
    assert_eq!(intents.late_looks(false, again), []);
    assert_eq!(intents.late_looks(true, again), [row("a")]);
    intents.looked_again(&row("a"), again);
    assert_eq!(intents.late_looks(true, again), [], "early once");
    assert_eq!(intents.late_looks(false, due), [row("a")]);
    intents.looked_again(&row("a"), due);
    assert_eq!(intents.late_looks(true, due), []);
    let told = intents.take_journal();
    assert_eq!(told.last(), Some(&(row("a"), Event::LookedAgain)));
}

#[test]
fn a_late_look_is_not_the_last_while_what_it_found_waits_for_the_row() {
    let now = Instant::now();
    let mut intents = Intents::default();
    intents.park(&row("a"), Duration::ZERO, now);
    intents.keep(&row("a"), Candidate::found(secret(1)), now);
    let due = now + LATE_LOOK;
    intents.add_leftover(&row("a"), &stored_secret(2, Duration::ZERO), due);
    intents.take_journal();
    intents.looked_again(&row("a"), due);
    assert_eq!(intents.take_journal(), []);
    assert_eq!(intents.late_looks(false, due), []);
    let again = due + ADOPTABLE_AGE;
    assert_eq!(intents.late_looks(false, again), [row("a")]);
    intents.switched(&row("a"), secret(1), 0);
    intents.looked_again(&row("a"), again);
    let told = intents.take_journal();
    assert_eq!(told.last(), Some(&(row("a"), Event::LookedAgain)));
}

#[test]
fn a_secret_that_is_not_fit_is_forgotten_if_it_was_found_and_looked_for_if_it_was_stored() {
    let now = Instant::now();
    let here = Candidate::stored(secret(1), now);
    let in_doubt = Candidate {
        swap_in_doubt: true,
        ..here
    };
    for (candidate, start) in [
        (Candidate::found(secret(1)), Start::Store),
        (in_doubt, Start::Store),
        (here, Start::LookUp),
    ] {
        let mut intents = Intents::default();
        intents.keep(&row("a"), candidate, now);
        let end = KeyEnd::NotAdoptable(candidate);
        let concluded = intents.conclude(&row("a"), &[], &end, WAIT, now);
        assert_eq!(concluded, Concluded::default());
        let void = (row("a"), Event::Gone(secret(1)));
        assert_eq!(intents.take_journal(), [void]);
        assert_eq!(intents.start(&row("a"), now), start, "{candidate:?}");
    }
}

#[test]
fn a_late_look_of_a_former_run_is_due_when_it_was() {
    let now = Instant::now();
    let passed = Duration::from_secs(3600);
    let mut intents = Intents::default();
    let known = Recollection {
        second_looks: vec![(row("a"), Timestamp::UNIX_EPOCH)],
        ..Recollection::default()
    };
    intents.recall(&known, WAIT, now, Timestamp::UNIX_EPOCH + passed);
    let due = now + Duration::from_secs(23 * 3600);
    let before = due.checked_sub(Duration::from_secs(1)).expect("in range");
    assert_eq!(intents.late_looks(false, before), []);
    assert_eq!(intents.late_looks(false, due), [row("a")]);
}

#[test]
fn a_payload_that_is_wrong_is_remembered_until_it_is_not() {
    let mut intents = Intents::default();
    intents.set_mismatch(&row("a"), secret(1));
    assert_eq!(intents.mismatch(), Some((row("a"), secret(1))));
    intents.clear_mismatch();
    assert_eq!(intents.mismatch(), None);
}

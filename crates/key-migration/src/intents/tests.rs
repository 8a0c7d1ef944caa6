//! The book of what is open, one entry at a time; whole runs are in `tests/domain`.

use uuid::Uuid;

use super::*;
use crate::ledger::OpenIntent;

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
    intents.keep(&row("kept"), here);
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
    intents.keep(&row("a"), Candidate::found(secret(1)));
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
        intents.keep(&row("a"), candidate);
        assert_eq!(intents.start(&row("a"), now), Start::Use(candidate));
        assert!(!left(&intents).contains(&candidate.secret));
    }
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
    intents.keep(&row("a"), Candidate::found(secret(1)));
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

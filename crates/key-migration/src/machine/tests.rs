//! Single steps of a key; whole runs are in `tests/domain`.

use uuid::Uuid;

use super::*;
use crate::ports::{DatabaseError, SecretError};
use crate::reasons::{Fault, Reason};
use crate::rows::{FreshVolume, RowStatus, SwapOutcome};

fn secret(number: u128) -> SecretId {
    SecretId::new(Uuid::from_u128(number)).expect("not nil")
}

fn stored_secret(number: u128) -> StoredSecret {
    StoredSecret {
        id: secret(number),
        name: String::new(),
        age: Duration::ZERO,
        created_by_us: true,
        active: true,
    }
}

fn backup(task: Task) -> KeyMachine {
    let row = RowRef {
        kind: ResourceKind::Backup,
        id: "b".into(),
    };
    KeyMachine::new(row, task, Vec::new())
}

fn fresh() -> FreshRow {
    FreshRow {
        key: RowKey::AllZeros,
        status: RowStatus::default(),
        user_id: Some("owner".into()),
        dependent_users: BTreeSet::new(),
        volume: None,
    }
}

fn at_zeros() -> Answer {
    Answer::Row(Some(fresh()))
}

/// A key whose secret was found, and which is ready for the swap; its payload was read at `now`.
fn ready_to_swap(now: Instant) -> KeyMachine {
    let mut key = backup(Task::Switch(Candidate::found(secret(1))));
    for answer in [
        at_zeros(),
        Answer::Payload { equal: true },
        Answer::Referred(BTreeSet::new()),
        Answer::Done,
    ] {
        assert_eq!(key.hear(answer, now), None);
    }
    assert!(matches!(key.step(), Step::Swap(_)), "{:?}", key.step());
    key
}

#[test]
fn a_payload_that_was_read_five_minutes_ago_is_good_for_a_swap_and_an_older_one_is_not() {
    let read = Instant::now();
    let good = read + Duration::from_secs(300);
    for (now, is_good) in [(good, true), (good + Duration::from_nanos(1), false)] {
        let mut key = ready_to_swap(read);
        for answer in [
            Answer::Swapped(SwapOutcome::ReadersChanged),
            at_zeros(),
            Answer::Done,
        ] {
            if key.step() == Step::ReadPayload(secret(1)) {
                break;
            }
            assert_eq!(key.hear(answer, now), None);
        }
        assert_eq!(matches!(key.step(), Step::Swap(_)), is_good);
        assert_eq!(key.step() == Step::ReadPayload(secret(1)), !is_good);
    }
}

#[test]
fn a_request_that_may_be_repeated_is_after_a_pause_that_doubles_and_three_times() {
    let now = Instant::now();
    let mut key = backup(Task::Switch(Candidate::found(secret(1))));
    assert_eq!(key.hear(at_zeros(), now), None);
    for pause in [200, 400, 800] {
        let failed = Answer::Secret(SecretError::Failed(String::new()));
        assert_eq!(key.hear(failed, now), None);
        assert_eq!(key.step(), Step::Wait(Duration::from_millis(pause)));
        assert_eq!(key.hear(Answer::Done, now), None);
        assert_eq!(key.step(), Step::ReadPayload(secret(1)));
    }
}

#[test]
fn an_intent_is_told_of_once_it_is_recorded() {
    let now = Instant::now();
    let mut key = backup(Task::StoreAndSwitch);
    assert_eq!(key.hear(at_zeros(), now), None);
    assert_eq!((key.step(), key.is_intended()), (Step::Intend, false));
    assert_eq!(key.hear(Answer::Intended(Vec::new()), now), None);
    assert_eq!((key.step(), key.is_intended()), (Step::Store, true));
}

#[test]
fn what_was_found_is_told_of_once_it_is_known_who_refers_to_it() {
    let now = Instant::now();
    let mut key = backup(Task::LookUp);
    let found = [1, 2].map(stored_secret).to_vec();
    assert_eq!(key.hear(Answer::Found(found), now), None);
    assert_eq!(key.step(), Step::Referred(vec![secret(1), secret(2)]));
    assert_eq!(key.found(), []);
    let referred = BTreeSet::from([secret(1)]);
    assert_eq!(key.hear(Answer::Referred(referred), now), None);
    assert_eq!(key.found(), [stored_secret(2)]);
}

#[test]
fn a_secret_that_another_run_stored_is_adopted_when_it_is_an_hour_old_and_waited_for_before() {
    let now = Instant::now();
    let hour = Duration::from_secs(3600);
    for (age, is_adopted) in [(hour, true), (hour - Duration::from_nanos(1), false)] {
        let mut key = backup(Task::StoreAndSwitch);
        let unknown = StoredSecret {
            age,
            ..stored_secret(2)
        };
        for answer in [
            at_zeros(),
            Answer::Intended(vec![secret(1)]),
            Answer::Found(vec![unknown]),
        ] {
            assert_eq!(key.hear(answer, now), None);
        }
        let end = key.hear(Answer::Referred(BTreeSet::new()), now);
        if is_adopted {
            assert_eq!((end, key.step()), (None, Step::ReadRow));
            assert_eq!(key.hear(at_zeros(), now), None);
            assert_eq!(key.step(), Step::ReadPayload(secret(2)));
        } else {
            assert!(
                matches!(
                    end,
                    Some(KeyEnd::Deferred {
                        reason: RowReason::UnknownOutcome,
                        ..
                    })
                ),
                "{end:?}"
            );
        }
    }
}

#[test]
fn a_secret_that_was_superseded_is_passed_over_until_it_is_an_hour_old() {
    let now = Instant::now();
    let hour = Duration::from_secs(3600);
    for (age, adopted) in [
        (hour, Some(secret(1))),
        (hour - Duration::from_nanos(1), None),
    ] {
        let key = backup(Task::StoreAndSwitch);
        let mut key = key.knowing(BTreeSet::from([secret(1)]));
        let superseded = StoredSecret {
            age,
            ..stored_secret(1)
        };
        for answer in [
            at_zeros(),
            Answer::Intended(vec![secret(1)]),
            Answer::Found(vec![superseded]),
            Answer::Referred(BTreeSet::new()),
            at_zeros(),
        ] {
            assert_eq!(key.hear(answer, now), None);
        }
        assert_eq!(
            key.step(),
            adopted.map_or(Step::Store, Step::ReadPayload),
            "{age:?}"
        );
    }
}

#[test]
fn a_row_that_was_read_more_than_a_second_ago_is_read_again_before_its_secret_is_stored() {
    let read = Instant::now();
    let second = read + Duration::from_secs(1);
    for (now, step) in [
        (second, Step::Store),
        (second + Duration::from_nanos(1), Step::ReadRow),
    ] {
        let mut key = backup(Task::StoreAndSwitch);
        assert_eq!(key.hear(at_zeros(), read), None);
        assert_eq!(key.hear(Answer::Intended(Vec::new()), now), None);
        assert_eq!(key.step(), step);
    }
}

#[test]
fn after_a_swap_without_an_answer_it_is_asked_again_who_refers_to_the_secret() {
    let now = Instant::now();
    let mut key = ready_to_swap(now);
    let lost = DatabaseError::Unreachable(Fault::new(Reason::DatabaseUnreachable, "lost", "look"));
    assert_eq!(key.hear(Answer::Database(lost), now), None);
    assert!(matches!(key.step(), Step::Wait(_)), "{:?}", key.step());
    for answer in [Answer::Done, at_zeros()] {
        assert_eq!(key.hear(answer, now), None);
    }
    assert_eq!(key.step(), Step::Referred(vec![secret(1)]));
}

/// A snapshot whose volume has the secret 1, and that has just been read.
fn snapshot() -> (KeyMachine, Answer) {
    let row = RowRef {
        kind: ResourceKind::Snapshot,
        id: "s".into(),
    };
    let volume = FreshVolume {
        id: "v".into(),
        key: RowKey::Other(secret(1).to_string()),
        user_id: Some("owner".into()),
    };
    let row_read = Answer::Row(Some(FreshRow {
        volume: Some(Box::new(volume)),
        ..fresh()
    }));
    let mut key = KeyMachine::new(row, Task::StoreAndSwitch, Vec::new());
    assert_eq!(key.hear(row_read.clone(), Instant::now()), None);
    assert_eq!(key.step(), Step::ReadPayload(secret(1)));
    (key, row_read)
}

#[test]
fn a_snapshot_lets_its_user_read_the_volumes_secret_and_takes_nobody_off() {
    let (mut key, _) = snapshot();
    let equal = Answer::Payload { equal: true };
    assert_eq!(key.hear(equal, Instant::now()), None);
    assert!(
        matches!(key.step(), Step::LetRead(volumes, _) if volumes == secret(1)),
        "{:?}",
        key.step()
    );
}

#[test]
fn a_snapshot_whose_volumes_secret_is_another_key_does_not_come_back_to_it() {
    let (mut key, row_read) = snapshot();
    let another = Answer::Payload { equal: false };
    assert_eq!(key.hear(another, Instant::now()), None);
    assert_eq!(key.step(), Step::Intend);
    let later = Instant::now() + Duration::from_secs(2);
    assert_eq!(key.hear(Answer::Intended(Vec::new()), later), None);
    assert_eq!(key.step(), Step::ReadRow);
    assert_eq!(key.hear(row_read, later), None);
    assert_eq!(key.step(), Step::Store);
}

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
    let candidate = Candidate::found(secret(1));
    let mut key = backup(Task::Switch(candidate));
    let failed = || Answer::Secret(SecretError::Failed("busy".into()));
    assert_eq!(key.hear(at_zeros(), now), None);
    for pause in [200, 400, 800] {
        assert_eq!(key.hear(failed(), now), None);
        assert_eq!(key.step(), Step::Wait(Duration::from_millis(pause)));
        assert_eq!(key.hear(Answer::Done, now), None);
        assert_eq!(key.step(), Step::ReadPayload(secret(1)));
    }
    let end = KeyEnd::Trouble {
        message: "busy".into(),
        kept: Some(candidate),
    };
    assert_eq!(key.hear(failed(), now), Some(end));
}

#[test]
fn a_secret_that_this_process_stored_gets_its_readers_before_it_is_read() {
    let now = Instant::now();
    let mut key = backup(Task::Switch(Candidate::stored(secret(1), now)));
    assert_eq!(key.hear(at_zeros(), now), None);
    assert!(
        matches!(key.step(), Step::SetReaders(own, _) if own == secret(1)),
        "{:?}",
        key.step()
    );
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
fn nothing_is_told_of_what_was_found_where_it_cannot_be_asked_who_refers_to_it() {
    let now = Instant::now();
    let mut key = backup(Task::LookUp);
    let found = [1, 2].map(stored_secret).to_vec();
    assert_eq!(key.hear(Answer::Found(found), now), None);
    let end = key.hear(lost_connection(), now);
    assert!(matches!(end, Some(KeyEnd::Fault { kept: None, .. })));
    assert_eq!(key.found(), []);
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

fn lost_connection() -> Answer {
    let fault = Fault::new(Reason::DatabaseUnreachable, "lost", "look");
    Answer::Database(DatabaseError::Unreachable(fault))
}

#[test]
fn after_a_swap_without_an_answer_it_is_asked_again_who_refers_to_the_secret() {
    let now = Instant::now();
    let mut key = ready_to_swap(now);
    assert_eq!(key.hear(lost_connection(), now), None);
    assert!(matches!(key.step(), Step::Wait(_)), "{:?}", key.step());
    for answer in [Answer::Done, at_zeros()] {
        assert_eq!(key.hear(answer, now), None);
    }
    assert_eq!(key.step(), Step::Referred(vec![secret(1)]));
}

#[test]
fn a_swap_without_an_answer_is_looked_into_three_times_and_stays_in_doubt() {
    let now = Instant::now();
    let mut key = ready_to_swap(now);
    for _ in 0..3 {
        assert_eq!(key.hear(lost_connection(), now), None);
        assert!(matches!(key.step(), Step::Wait(_)), "{:?}", key.step());
        assert_eq!(key.hear(Answer::Done, now), None);
        assert_eq!(key.step(), Step::ReadRow);
    }
    let end = key.hear(lost_connection(), now);
    let Some(KeyEnd::Fault { kept, .. }) = end else {
        panic!("{end:?}");
    };
    assert!(kept.is_some_and(|kept| kept.swap_in_doubt), "{kept:?}");
}

fn snapshot(task: Task) -> KeyMachine {
    let row = RowRef {
        kind: ResourceKind::Snapshot,
        id: "s".into(),
    };
    KeyMachine::new(row, task, Vec::new())
}

/// A snapshot at zeros, whose volume has this secret.
fn volume_has(number: u128) -> Answer {
    let volume = FreshVolume {
        id: "v".into(),
        key: RowKey::Other(secret(number).to_string()),
        user_id: Some("owner".into()),
    };
    Answer::Row(Some(FreshRow {
        volume: Some(Box::new(volume)),
        ..fresh()
    }))
}

/// The secret that a snapshot's user is let read, beside those who may.
fn lets_read(key: &KeyMachine) -> Option<SecretId> {
    match key.step() {
        Step::LetRead(secret, _) => Some(secret),
        _ => None,
    }
}

#[test]
fn a_snapshot_lets_its_user_read_the_volumes_secret_and_takes_nobody_off() {
    let now = Instant::now();
    let mut key = snapshot(Task::StoreAndSwitch);
    assert_eq!(key.hear(volume_has(1), now), None);
    assert_eq!(key.step(), Step::ReadPayload(secret(1)));
    assert_eq!(key.hear(Answer::Payload { equal: true }, now), None);
    assert_eq!(lets_read(&key), Some(secret(1)));
}

#[test]
fn another_secret_of_the_volume_is_read_before_a_snapshot_takes_it_and_the_same_is_not_again() {
    let now = Instant::now();
    for (number, is_read_again) in [(1, false), (2, true)] {
        let mut key = snapshot(Task::StoreAndSwitch);
        for answer in [
            volume_has(1),
            Answer::Payload { equal: true },
            Answer::Done,
            Answer::Swapped(SwapOutcome::VolumeChanged),
            volume_has(number),
        ] {
            assert_eq!(key.hear(answer, now), None);
        }
        if is_read_again {
            assert_eq!(key.step(), Step::ReadPayload(secret(number)));
        } else {
            assert_eq!(lets_read(&key), Some(secret(number)));
        }
    }
}

#[test]
fn a_snapshot_with_a_secret_of_its_own_keeps_to_it() {
    let now = Instant::now();
    let mut key = snapshot(Task::Switch(Candidate::found(secret(2))));
    assert_eq!(key.hear(volume_has(1), now), None);
    assert_eq!(key.step(), Step::ReadPayload(secret(2)));
}

#[test]
fn a_snapshot_whose_volumes_secret_is_another_key_does_not_come_back_to_it() {
    let now = Instant::now();
    let mut key = snapshot(Task::StoreAndSwitch);
    for answer in [volume_has(1), Answer::Payload { equal: false }] {
        assert_eq!(key.hear(answer, now), None);
    }
    assert_eq!(key.step(), Step::Intend);
    let later = now + Duration::from_secs(2);
    assert_eq!(key.hear(Answer::Intended(Vec::new()), later), None);
    assert_eq!(key.step(), Step::ReadRow);
    assert_eq!(key.hear(volume_has(1), later), None);
    assert_eq!(key.step(), Step::Store);
}

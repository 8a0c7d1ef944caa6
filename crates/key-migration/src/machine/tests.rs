//! Single steps of a key; whole runs are in `tests/domain`.

use uuid::Uuid;

use super::*;
use crate::ports::SecretError;
use crate::rows::{RowStatus, SwapOutcome};

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

fn at_zeros() -> Answer {
    Answer::Row(Some(FreshRow {
        key: RowKey::AllZeros,
        status: RowStatus::default(),
        user_id: Some("owner".into()),
        dependent_users: BTreeSet::new(),
        volume: None,
    }))
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

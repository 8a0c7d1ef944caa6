//! One story each, told to both ledgers.

use key_migration::ids::{ResourceKind, RowRef};
use key_migration::ledger::{Event, OpenIntent, Recollection};
use key_migration::ports::Ledger;
use key_migration::reasons::{Fault, Reason};

use crate::memory::MemoryLedger;
use crate::support::{
    Home, KEEPER, TestClock, at, entry, open_rows, request, secret, switched, volume,
};

const VOLUMES: &[ResourceKind] = &[ResourceKind::Volume];

/// Runs each story against the ledger on disk and against the one in memory.
macro_rules! stories {
    ($($(#[doc = $doc:literal])? async fn $name:ident($ledger:ident, $clock:ident) $body:block)*) => {
        mod told {
            use super::*;
            $($(#[doc = $doc])? pub(super) async fn $name(
                $ledger: &impl Ledger,
                $clock: &TestClock,
            ) $body)*
        }
        mod on_disk {
            use super::*;
            $(#[tokio::test] async fn $name() {
                let home = Home::new();
                told::$name(&home.ledger(), &home.clock).await;
            })*
        }
        mod in_memory {
            use super::*;
            $(#[tokio::test] async fn $name() {
                let clock = TestClock::default();
                told::$name(&MemoryLedger::new(clock.clone()), &clock).await;
            })*
        }
    };
}

stories! {
    async fn an_empty_ledger_recalls_nothing(ledger, _clock) {
        let found = recalled(ledger, VOLUMES).await;
        assert_eq!(found, Recollection::default());
        assert_eq!(ledger.flush().await, Ok(()));
    }

    async fn an_intent_is_open_until_it_is_known_what_became_of_it(ledger, clock) {
        let ends = [
            switched(1),
            Event::NotStored,
            Event::GivenUp,
            Event::Lost,
        ];
        for (number, end) in ends.into_iter().enumerate() {
            let row = volume(&format!("v{number}"));
            clock.set(60);
            assert_eq!(intend(ledger, &row).await, []);
            ledger.note(KEEPER, entry(&row, Event::Unanswered));
            let open = OpenIntent { row: row.clone(), since: at(60), secret: None };
            assert_eq!(recalled(ledger, VOLUMES).await.open, [open]);
            ledger.note(KEEPER, entry(&row, end));
            assert_eq!(recalled(ledger, VOLUMES).await.open, []);
        }
    }

    async fn an_open_intent_knows_its_secret_until_that_is_not_to_be_used(ledger, _clock) {
        let row = volume("v1");
        for end in [
            Event::Gone(secret(1)),
            Event::Deleted(secret(1)),
            Event::Superseded(secret(1)),
        ] {
            intend(ledger, &row).await;
            ledger.note(KEEPER, entry(&row, Event::Stored(secret(1))));
            let open = recalled(ledger, VOLUMES).await.open;
            assert_eq!(open[0].secret, Some(secret(1)));
            ledger.note(KEEPER, entry(&row, Event::Gone(secret(2))));
            let open = recalled(ledger, VOLUMES).await.open;
            assert_eq!(open[0].secret, Some(secret(1)), "another one is gone");
            ledger.note(KEEPER, entry(&row, end));
            let open = recalled(ledger, VOLUMES).await.open;
            assert_eq!(open[0].secret, None);
        }
    }

    async fn an_intent_that_is_open_is_as_old_as_its_latest_request_and_has_to_hear_of_that(ledger, clock) {
        let (first, second) = (volume("v1"), volume("v2"));
        clock.set(1);
        intend(ledger, &first).await;
        ledger.note(KEEPER, entry(&first, Event::Stored(secret(1))));
        clock.set(2);
        intend(ledger, &second).await;
        assert_eq!(open_rows(ledger).await, ["v1", "v2"]);
        clock.set(3);
        assert_eq!(intend(ledger, &first).await, [secret(1)]);
        let open = recalled(ledger, VOLUMES).await.open;
        let expected = [
            OpenIntent { row: second, since: at(2), secret: None },
            OpenIntent { row: first, since: at(3), secret: None },
        ];
        assert_eq!(open, expected);
    }

    async fn an_intent_knows_the_first_secret_that_was_found_until_its_row_is_settled(ledger, clock) {
        let row = volume("v1");
        clock.set(1);
        intend(ledger, &row).await;
        ledger.note(KEEPER, entry(&row, Event::Superseded(secret(1))));
        for number in [1, 2] {
            ledger.note(KEEPER, entry(&row, Event::Found(secret(number))));
        }
        ledger.note(KEEPER, entry(&row, Event::GivenUp));
        let found = recalled(ledger, VOLUMES).await;
        let open = OpenIntent { row: row.clone(), since: at(1), secret: Some(secret(1)) };
        assert_eq!(found.open, [open]);
        assert_eq!(found.superseded, []);
        assert_eq!(found.second_looks, [(row.clone(), at(1))]);
        ledger.note(KEEPER, entry(&row, switched(1)));
        assert_eq!(recalled(ledger, VOLUMES).await.open, []);
        assert_eq!(intend(ledger, &row).await, [secret(1), secret(2)]);
    }

    async fn what_is_found_for_a_row_without_an_intent_is_one_of_its_secrets(ledger, _clock) {
        let row = volume("v1");
        ledger.note(KEEPER, entry(&row, Event::Found(secret(1))));
        assert_eq!(recalled(ledger, VOLUMES).await, Recollection::default());
        assert_eq!(intend(ledger, &row).await, [secret(1)]);
    }

    async fn an_intent_hands_back_the_secrets_that_the_row_may_use_latest_first(ledger, _clock) {
        let row = volume("v1");
        for number in 1..=6 {
            ledger.note(KEEPER, entry(&row, Event::Stored(secret(number))));
        }
        ledger.note(KEEPER, entry(&row, Event::Gone(secret(2))));
        ledger.note(KEEPER, entry(&row, Event::Deleted(secret(3))));
        ledger.note(KEEPER, entry(&row, Event::Superseded(secret(4))));
        ledger.note(KEEPER, entry(&row, switched(1)));
        ledger.note(KEEPER, entry(&volume("v2"), Event::Stored(secret(7))));
        let before = intend(ledger, &row).await;
        assert_eq!(before, [secret(1), secret(6), secret(5)]);
    }

    async fn the_latest_word_on_a_secret_counts(ledger, _clock) {
        let row = volume("v1");
        ledger.note(KEEPER, entry(&row, Event::Superseded(secret(1))));
        ledger.note(KEEPER, entry(&row, Event::Superseded(secret(2))));
        let superseded = vec![(row.clone(), secret(1)), (row.clone(), secret(2))];
        assert_eq!(recalled(ledger, VOLUMES).await.superseded, superseded);
        ledger.note(KEEPER, entry(&row, switched(1)));
        ledger.note(KEEPER, entry(&row, Event::Deleted(secret(2))));
        assert_eq!(recalled(ledger, VOLUMES).await.superseded, []);
        assert_eq!(intend(ledger, &row).await, [secret(1)]);
    }

    async fn a_name_that_was_given_up_is_looked_at_again_once(ledger, clock) {
        let (with_intent, without) = (volume("v1"), volume("v2"));
        clock.set(1);
        intend(ledger, &with_intent).await;
        clock.set(2);
        ledger.note(KEEPER, entry(&with_intent, Event::GivenUp));
        ledger.note(KEEPER, entry(&without, Event::GivenUp));
        let looks = [(with_intent.clone(), at(1)), (without.clone(), at(2))];
        assert_eq!(recalled(ledger, VOLUMES).await.second_looks, looks);
        ledger.note(KEEPER, entry(&with_intent, Event::LookedAgain));
        assert_eq!(recalled(ledger, VOLUMES).await.second_looks, looks[1..]);
        ledger.note(KEEPER, entry(&without, switched(1)));
        assert_eq!(recalled(ledger, VOLUMES).await.second_looks, looks[1..]);
    }

    async fn the_sample_is_the_secret_switched_to_last_of_those_that_are_there(ledger, _clock) {
        let [first, second, third] = ["v1", "v2", "v3"].map(volume);
        ledger.note(KEEPER, entry(&first, switched(1)));
        ledger.note(KEEPER, entry(&second, switched(2)));
        ledger.note(KEEPER, entry(&third, Event::Stored(secret(3))));
        ledger.note(KEEPER, entry(&first, Event::Stored(secret(1))));
        let sample = recalled(ledger, VOLUMES).await.sample;
        assert_eq!(sample, Some((second.clone(), secret(2))));
        ledger.note(KEEPER, entry(&second, Event::Gone(secret(2))));
        let sample = recalled(ledger, VOLUMES).await.sample;
        assert_eq!(sample, Some((first.clone(), secret(1))));
        ledger.note(KEEPER, entry(&first, Event::Superseded(secret(1))));
        assert_eq!(recalled(ledger, VOLUMES).await.sample, None);
    }

    async fn what_was_listed_is_told_by_kind(ledger, _clock) {
        ledger.listed(KEEPER, ResourceKind::Backup).await.expect("writable");
        ledger.listed(KEEPER, ResourceKind::Backup).await.expect("writable");
        let kinds = [ResourceKind::Volume, ResourceKind::Backup];
        assert_eq!(recalled(ledger, &kinds).await.listed, [ResourceKind::Backup]);
        assert_eq!(recalled(ledger, VOLUMES).await.listed, []);
    }

    async fn keepers_and_kinds_know_nothing_of_each_other(ledger, _clock) {
        let row = volume("v1");
        let kinds = [ResourceKind::Volume, ResourceKind::Snapshot, ResourceKind::Backup];
        for kind in kinds {
            let row = RowRef { kind, id: "x".into() };
            ledger.note(KEEPER, entry(&row, Event::GivenUp));
            ledger.note(KEEPER, entry(&row, Event::Superseded(secret(1))));
            ledger.note(KEEPER, entry(&row, switched(2)));
            assert_eq!(intend(ledger, &row).await, [secret(2)]);
        }
        ledger.listed(KEEPER, ResourceKind::Volume).await.expect("writable");
        let others = ledger.recall("another keeper", &kinds).await;
        assert_eq!(others, Ok(Recollection::default()));
        assert_eq!(ledger.intend("another keeper", &row, request(1)).await, Ok(vec![]));
        for kind in kinds {
            let found = recalled(ledger, &[kind]).await;
            let row = RowRef { kind, id: "x".into() };
            assert_eq!(found.open.len(), 1);
            assert_eq!(found.open[0].row, row);
            assert_eq!(found.superseded, [(row.clone(), secret(1))]);
            assert_eq!(found.second_looks.len(), 1);
            assert_eq!(found.sample, Some((row, secret(2))));
        }
        let sample = recalled(ledger, &kinds).await.sample;
        let last = RowRef { kind: ResourceKind::Backup, id: "x".into() };
        assert_eq!(sample, Some((last, secret(2))));
    }

    async fn what_was_noted_before_an_intent_counts_for_it(ledger, _clock) {
        let row = volume("v1");
        intend(ledger, &row).await;
        ledger.note(KEEPER, entry(&row, Event::Stored(secret(1))));
        ledger.note(KEEPER, entry(&row, Event::Gone(secret(1))));
        assert_eq!(intend(ledger, &row).await, []);
    }
}

#[tokio::test]
async fn in_memory_a_fault_can_be_told_and_what_was_noted_meanwhile_is_kept() {
    let clock = TestClock::default();
    let ledger = MemoryLedger::new(clock.clone());
    let fault = Fault::new(Reason::LedgerUnavailable, "disk full", "df");
    let row = volume("v1");
    intend(&ledger, &row).await;
    ledger.fail(Some(fault.clone()));
    ledger.note(KEEPER, entry(&row, Event::NotStored));
    let asked = ledger.intend(KEEPER, &row, request(1)).await;
    assert_eq!(asked, Err(fault.clone()));
    assert_eq!(ledger.flush().await, Err(fault.clone()));
    assert_eq!(
        ledger.listed(KEEPER, ResourceKind::Volume).await,
        Err(fault)
    );
    ledger.fail(None);
    assert_eq!(ledger.flush().await, Ok(()));
    assert_eq!(open_rows(&ledger).await, [""; 0]);
}

#[tokio::test]
async fn in_memory_a_kill_loses_what_was_noted_just_now_and_a_deletion_everything() {
    let clock = TestClock::default();
    let ledger = MemoryLedger::new(clock.clone());
    let next_process = ledger.clone();
    for (id, seconds) in [("v1", 0), ("v2", 10)] {
        intend(&ledger, &volume(id)).await;
        clock.set(seconds);
        ledger.note(KEEPER, entry(&volume(id), Event::NotStored));
    }
    ledger.kill();
    assert_eq!(open_rows(&next_process).await, ["v2"]);
    ledger.forget();
    assert_eq!(open_rows(&next_process).await, [""; 0]);
}

async fn recalled(ledger: &impl Ledger, kinds: &[ResourceKind]) -> Recollection {
    ledger.recall(KEEPER, kinds).await.expect("readable")
}

async fn intend(ledger: &impl Ledger, row: &RowRef) -> Vec<key_migration::ids::SecretId> {
    let asked = ledger.intend(KEEPER, row, request(1)).await;
    asked.expect("writable")
}

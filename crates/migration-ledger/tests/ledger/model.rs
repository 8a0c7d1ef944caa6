//! Any story at all: the ledger on disk and the one in memory say the same.

use key_migration::ids::{ResourceKind, RowRef};
use key_migration::ledger::{Entry, Event};
use key_migration::ports::Ledger;
use proptest::prelude::*;

use crate::memory::MemoryLedger;
use crate::support::{Home, request, secret};

const KINDS: [ResourceKind; 3] = [
    ResourceKind::Volume,
    ResourceKind::Snapshot,
    ResourceKind::Backup,
];

#[derive(Clone, Debug)]
enum Step {
    Intend(usize, RowRef),
    Note(usize, RowRef, Event),
    Listed(usize, ResourceKind),
    Recall(usize, Vec<ResourceKind>),
    Flush,
    /// The process ends in good order, and another one begins.
    Restart,
}

const KEEPERS: [&str; 2] = ["one", "other"];

fn rows() -> impl Strategy<Value = RowRef> {
    (proptest::sample::select(&KINDS[..]), "[ab]").prop_map(|(kind, id)| RowRef {
        kind,
        id: id.into(),
    })
}

fn events() -> impl Strategy<Value = Event> {
    let secrets = || (1..4_u128).prop_map(secret);
    prop_oneof![
        secrets().prop_map(Event::Stored),
        secrets().prop_map(Event::Found),
        Just(Event::Unanswered),
        Just(Event::NotStored),
        Just(Event::GivenUp),
        Just(Event::LookedAgain),
        (secrets(), 0..3_u64).prop_map(|(secret, snapshots)| Event::Switched { secret, snapshots }),
        Just(Event::Lost),
        secrets().prop_map(Event::Deleted),
        secrets().prop_map(Event::Gone),
        secrets().prop_map(Event::Superseded),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let keepers = || 0..KEEPERS.len();
    let kinds = proptest::sample::subsequence(&KINDS[..], 0..=3);
    prop_oneof![
        4 => (keepers(), rows()).prop_map(|(keeper, row)| Step::Intend(keeper, row)),
        8 => (keepers(), rows(), events())
            .prop_map(|(keeper, row, event)| Step::Note(keeper, row, event)),
        1 => (keepers(), proptest::sample::select(&KINDS[..]))
            .prop_map(|(keeper, kind)| Step::Listed(keeper, kind)),
        2 => (keepers(), kinds).prop_map(|(keeper, kinds)| Step::Recall(keeper, kinds)),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_ledgers_say_the_same(story in proptest::collection::vec(steps(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        runtime.block_on(tell(story));
    }
}

async fn tell(story: Vec<Step>) {
    let home = Home::new();
    let mut disk = home.ledger();
    let memory = MemoryLedger::new(home.clock.clone());
    for (seconds, step) in (0..).zip(&story) {
        home.clock.set(seconds);
        if matches!(step, Step::Restart) {
            disk.close().await;
            disk = home.ledger();
        }
        let said = (answer(&disk, step).await, answer(&memory, step).await);
        assert_eq!(said.0, said.1, "{step:?} after {story:?}");
    }
    for keeper in KEEPERS {
        let disk = disk.recall(keeper, &KINDS).await;
        assert_eq!(disk, memory.recall(keeper, &KINDS).await, "{story:?}");
    }
}

async fn answer(ledger: &impl Ledger, step: &Step) -> String {
    match step {
        Step::Intend(keeper, row) => {
            let before = ledger.intend(KEEPERS[*keeper], row, request(1)).await;
            format!("{before:?}")
        }
        Step::Note(keeper, row, event) => {
            let entry = Entry {
                row: row.clone(),
                event: event.clone(),
                request: request(2),
            };
            ledger.note(KEEPERS[*keeper], entry);
            String::new()
        }
        Step::Listed(keeper, kind) => format!("{:?}", ledger.listed(KEEPERS[*keeper], *kind).await),
        Step::Recall(keeper, kinds) => {
            format!("{:?}", ledger.recall(KEEPERS[*keeper], kinds).await)
        }
        Step::Flush => format!("{:?}", ledger.flush().await),
        Step::Restart => String::new(),
    }
}

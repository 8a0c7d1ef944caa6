use super::*;
use crate::rows::Census;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().expect("a time")
}

fn rows(census: Census) -> Rows {
    Rows {
        counted: Some(Counted {
            counted_at: now(),
            census,
        }),
        last_change: None,
    }
}

fn seen(finding: Finding, ago: SignedDuration) -> Evidence {
    Evidence {
        finding,
        looked_at: now() - ago,
        message: "seen".into(),
    }
}

/// Everything looked at an hour ago and clear, the rest attested.
fn all_clear() -> EvidenceBook {
    let mut book = EvidenceBook::default();
    for item in Item::ALL.into_iter().skip(4) {
        if item.is_for_people_only() {
            let by = "operator".to_owned();
            book.attested.insert(item, Attestation { by, at: now() });
        } else {
            book.seen.insert(item, seen(Finding::Clear, HOUR));
        }
    }
    book
}

fn judged(rows: Rows, book: &EvidenceBook) -> (Verdict, Vec<(&'static str, Option<u64>)>) {
    let verdict = FixedKeyVerdict::of(rows, book, now());
    let blockers = verdict.blockers.iter();
    (
        verdict.verdict,
        blockers.map(|it| (it.code, it.count)).collect(),
    )
}

#[test]
fn it_is_yes_only_when_all_is_clear_or_attested_and_names_who_attested() {
    let verdict = FixedKeyVerdict::of(rows(Census::default()), &all_clear(), now());
    assert_eq!(verdict.verdict, Verdict::Yes);
    assert_eq!(verdict.blockers, []);
    assert_eq!(verdict.evaluated_at, Some(now()));
    let attested: Vec<_> = verdict.attested.iter().map(|it| it.item.as_str()).collect();
    assert_eq!(
        attested,
        [
            "backup_records",
            "database_dumps",
            "other_regions",
            "barbican_backup"
        ]
    );
    assert!(
        verdict
            .attested
            .iter()
            .all(|it| it.attestation.by == "operator")
    );
}

#[test]
fn each_thing_found_makes_it_no_and_each_thing_not_looked_at_unknown() {
    for item in Item::ALL.into_iter().skip(4) {
        let mut book = all_clear();
        book.seen.remove(&item);
        book.attested.remove(&item);
        assert_eq!(
            judged(rows(Census::default()), &book),
            (Verdict::Unknown, vec![(item.unknown(), None)]),
            "{item:?}"
        );
        book.seen.insert(item, seen(Finding::Unknown, HOUR));
        assert_eq!(judged(rows(Census::default()), &book).0, Verdict::Unknown);
        book.seen
            .insert(item, seen(Finding::Blocking(3), 48 * HOUR));
        assert_eq!(
            judged(rows(Census::default()), &book),
            (Verdict::No, vec![(item.blocking(), Some(3))]),
            "{item:?}"
        );
    }
}

#[test]
fn rows_at_zeros_make_it_no_each_kind_with_its_number() {
    let census = Census {
        volumes: 35,
        backups: 4,
        unowned_backups: 1,
        ..Census::default()
    };
    assert_eq!(
        judged(rows(census), &all_clear()),
        (
            Verdict::No,
            vec![
                ("volumes_remaining", Some(35)),
                ("backups_remaining", Some(4)),
                ("unowned_rows", Some(1)),
            ]
        )
    );
}

#[test]
fn before_the_first_count_the_rows_are_unknown() {
    let (verdict, blockers) = judged(Rows::default(), &all_clear());
    assert_eq!(verdict, Verdict::Unknown);
    assert_eq!(blockers, [("rows_not_counted", None)]);
    let nothing = FixedKeyVerdict::of(Rows::default(), &EvidenceBook::default(), now());
    assert_eq!(nothing.verdict, Verdict::Unknown);
    assert_eq!(nothing.blockers.len(), 11);
    assert_eq!(nothing.evaluated_at, None);
}

#[test]
fn what_blocks_is_told_before_what_is_unknown() {
    let mut book = all_clear();
    book.seen.remove(&Item::OldBackups);
    book.seen
        .insert(Item::Configuration, seen(Finding::Blocking(1), HOUR));
    let (verdict, blockers) = judged(rows(Census::default()), &book);
    assert_eq!(verdict, Verdict::No);
    assert_eq!(
        blockers,
        [
            ("configuration_differs", Some(1)),
            ("old_backups_not_examined", None)
        ]
    );
}

#[test]
fn an_attestation_covers_what_is_unknown_but_never_what_was_found() {
    for item in [Item::OldBackups, Item::Images, Item::EphemeralDisks] {
        let mut book = all_clear();
        let by = "operator".to_owned();
        book.attested.insert(item, Attestation { by, at: now() });
        book.seen.insert(item, seen(Finding::Unknown, HOUR));
        assert_eq!(judged(rows(Census::default()), &book).0, Verdict::Yes);
        book.seen.insert(item, seen(Finding::Blocking(1), HOUR));
        assert_eq!(judged(rows(Census::default()), &book).0, Verdict::No);
    }
}

#[test]
fn what_can_be_looked_at_is_not_taken_on_trust() {
    for item in [Item::Payloads, Item::VolumeImageMetadata] {
        let mut book = all_clear();
        book.seen.remove(&item);
        let by = "operator".to_owned();
        book.attested.insert(item, Attestation { by, at: now() });
        assert_eq!(judged(rows(Census::default()), &book).0, Verdict::Unknown);
    }
}

#[test]
fn evidence_is_good_for_a_day() {
    let mut book = all_clear();
    book.seen
        .insert(Item::Images, seen(Finding::Clear, 24 * HOUR));
    assert_eq!(judged(rows(Census::default()), &book).0, Verdict::Yes);
    book.seen
        .insert(Item::Images, seen(Finding::Clear, 25 * HOUR));
    assert_eq!(
        judged(rows(Census::default()), &book),
        (Verdict::Unknown, vec![("images_not_examined", None)])
    );
}

#[test]
fn what_was_verified_before_the_last_swap_is_not_all_there_is() {
    let mut rows = rows(Census::default());
    rows.last_change = Some(now() - 2 * HOUR);
    assert_eq!(judged(rows.clone(), &all_clear()).0, Verdict::Yes);
    rows.last_change = Some(now() - HOUR);
    assert_eq!(
        judged(rows, &all_clear()),
        (Verdict::Unknown, vec![("payloads_not_verified", None)])
    );
}

#[test]
fn items_are_named_as_they_are_written() {
    for item in Item::ALL {
        assert_eq!(Item::named(item.as_str()), Some(item));
        let written = serde_json::to_value(item).expect("a name");
        assert_eq!(written, item.as_str());
        assert!(item.may_be_attested() || !item.is_for_people_only());
    }
    assert_eq!(Item::named("nothing"), None);
}

//! The decisions, row by row.

use std::collections::BTreeSet;
use std::time::Duration;

use cinder_db::audit::{KeyedRow, KeyedVolume};
use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{ResourceKind, RowRef, SecretId, SecretName, UserId};
use key_migration::ports::StoredSecret;
use key_migration::rows::{RowKey, RowStatus};
use zeroize::Zeroizing;

use super::judgement::{Examined, Origin, Standard, judge, may_share, origin};
use super::{Code, Finding, MOST_FINDINGS, Outcome, RowId, Tally, sample_in};

const KEY: [u8; 3] = [1, 2, 3];
const A: &str = "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d1a";
const B: &str = "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d1b";

fn secret(digit: char) -> SecretId {
    let id = format!("1111111{digit}-1111-4111-8111-111111111111");
    id.parse().expect("a UUID")
}

fn keyed(kind: ResourceKind, id: &str) -> KeyedRow {
    KeyedRow {
        row: RowRef {
            kind,
            id: id.into(),
        },
        key: RowKey::Other(secret('a').to_string()),
        user_id: Some("owner".into()),
        project_id: None,
        host: None,
        status: RowStatus::default(),
        display_name: None,
        origin: None,
        volume: None,
        dependent_users: BTreeSet::new(),
    }
}

fn volume(id: &str) -> KeyedRow {
    keyed(ResourceKind::Volume, id)
}

/// A snapshot of volume `A`, which holds this.
fn snapshot(volume_key: RowKey) -> KeyedRow {
    KeyedRow {
        origin: Some(A.into()),
        volume: Some(KeyedVolume {
            id: A.into(),
            key: volume_key,
            user_id: None,
        }),
        ..keyed(ResourceKind::Snapshot, B)
    }
}

/// What Cinder's user stored under this name.
fn stored(name: &str) -> StoredSecret {
    StoredSecret {
        id: secret('a'),
        name: name.to_owned(),
        age: Duration::ZERO,
        created_by_us: true,
        active: true,
    }
}

fn name(kind: ResourceKind, id: &str) -> String {
    let id = id.into();
    SecretName::of(&RowRef { kind, id }).to_string()
}

/// What is wrong with the row whose secret has this name, these bytes and these readers.
fn codes_of(row: &KeyedRow, name: &str, bytes: &[u8], readers: &[&str]) -> (Origin, Vec<Code>) {
    let fixed_key = FixedKey::from_hex("010203").expect("digits");
    let extra = [UserId::from("extra")];
    let own_user = "cinder".into();
    let standard = Standard {
        fixed_key: &fixed_key,
        extra_acl_users: &extra,
        own_user: &own_user,
    };
    let examined = Examined {
        stored: stored(name),
        payload: Payload::new(Zeroizing::new(bytes.to_vec())),
        readers: readers.iter().map(|user| UserId::from(*user)).collect(),
    };
    let origin = origin(row, &examined.stored, false);
    let (origin, findings) = judge(row, &examined, origin, &standard);
    let codes = findings.iter().map(|finding| finding.code).collect();
    (origin, codes)
}

/// The same where bytes and readers are right.
fn codes(row: &KeyedRow, name: &str) -> Vec<Code> {
    codes_of(row, name, &KEY, &["owner", "extra"]).1
}

#[test]
fn a_row_is_migrated_by_name_by_the_ledger_or_by_cinders_own_migrator() {
    let row = volume(A);
    let own = stored(&name(ResourceKind::Volume, A));
    let of = |stored: &StoredSecret, recorded| origin(&row, stored, recorded);
    assert_eq!(of(&own, false), Origin::Ours);
    let of_another = StoredSecret {
        created_by_us: false,
        ..own
    };
    assert_eq!(of(&of_another, false), Origin::Ours);
    assert_eq!(of(&stored(""), false), Origin::Upstream);
    let nameless = StoredSecret {
        created_by_us: false,
        ..stored("")
    };
    assert_eq!(of(&nameless, false), Origin::NotMigrated);
    assert_eq!(of(&nameless, true), Origin::Ours);
    assert_eq!(of(&stored("mine"), false), Origin::NotMigrated);
    // A tenant's clone of a migrated secret takes its name along.
    let clone = StoredSecret {
        created_by_us: false,
        ..stored(&name(ResourceKind::Volume, B))
    };
    assert_eq!(of(&clone, false), Origin::NotMigrated);
}

#[test]
fn a_key_that_differs_in_a_bit_or_in_length_is_wrong() {
    let name = name(ResourceKind::Volume, A);
    let readers = ["owner", "extra"];
    for bytes in [&[1, 2, 2][..], &[1, 2], &[1, 2, 3, 0], &[]] {
        let (origin, codes) = codes_of(&volume(A), &name, bytes, &readers);
        assert_eq!((origin, codes), (Origin::Ours, vec![Code::WrongKey]));
    }
    let (origin, codes) = codes_of(&volume(A), "", &[1], &["owner"]);
    assert_eq!((origin, codes), (Origin::Upstream, vec![Code::WrongKey]));
}

#[test]
fn the_keys_of_volumes_of_cinders_own_user_are_its_own_unless_they_are_the_fixed_key() {
    let row = KeyedRow {
        user_id: Some("cinder".into()),
        ..volume(A)
    };
    let own = codes_of(&row, "", &[9], &[]);
    assert_eq!(own, (Origin::NotMigrated, vec![]));
    let migrated = codes_of(&row, "", &KEY, &["cinder"]);
    assert_eq!(migrated, (Origin::Upstream, vec![]));
    let ours = codes_of(
        &row,
        &name(ResourceKind::Volume, A),
        &[9],
        &["cinder", "extra"],
    );
    assert_eq!(ours, (Origin::Ours, vec![Code::WrongKey]));
}

#[test]
fn everybody_who_needs_the_key_may_read_it() {
    let row = KeyedRow {
        dependent_users: ["ben".into()].into(),
        ..volume(A)
    };
    let name = name(ResourceKind::Volume, A);
    let of = |name: &str, readers: &[&str]| codes_of(&row, name, &KEY, readers).1;
    assert_eq!(of(&name, &["owner", "ben", "extra", "somebody"]), []);
    for readers in [
        &["ben", "extra"][..],
        &["owner", "extra"],
        &["owner", "ben"],
        &[],
    ] {
        assert_eq!(of(&name, readers), [Code::AclIncomplete], "{readers:?}");
    }
    // Nobody lets those read what upstream stored whom this program adds to its own.
    assert_eq!(of("", &["owner", "ben"]), []);
    assert_eq!(of("", &["owner"]), [Code::AclIncomplete]);
    let ownerless = KeyedRow {
        user_id: None,
        ..volume(A)
    };
    assert_eq!(codes_of(&ownerless, &name, &KEY, &["extra"]).1, []);
}

#[test]
fn a_secret_of_another_row_is_swapped_unless_cinder_copied_the_row() {
    let swapped = [Code::Swapped];
    let of_b = name(ResourceKind::Volume, B);
    assert_eq!(codes(&volume(A), &of_b), swapped);
    assert_eq!(codes(&volume(A), &name(ResourceKind::Backup, A)), swapped);
    let backup = keyed(ResourceKind::Backup, A);
    assert_eq!(codes(&backup, &of_b), swapped);

    let changed = |change: fn(&mut KeyedRow)| {
        let mut row = volume(A);
        change(&mut row);
        codes(&row, &of_b)
    };
    let migration = |row: &mut KeyedRow, status: &str| {
        row.status.migration_status = Some(status.to_owned());
    };
    let target = |of: &str| {
        let mut row = volume(A);
        migration(&mut row, &format!("target:{of}"));
        codes(&row, &of_b)
    };
    assert_eq!(target(B), []);
    assert_eq!(target(A), swapped);
    assert_eq!(
        changed(|row| row.status.migration_status = Some("success".into())),
        swapped
    );
    assert_eq!(
        changed(|row| row.status.migration_status = Some("deleting".into())),
        []
    );
    assert_eq!(
        changed(|row| row.status.status = Some("deleting".into())),
        []
    );
    assert_eq!(changed(|row| row.origin = Some(B.into())), []);
    assert_eq!(changed(|row| row.origin = Some(A.into())), swapped);
    assert_eq!(
        changed(|row| row.display_name = Some(format!("image-{B}"))),
        []
    );
    assert_eq!(
        changed(|row| row.display_name = Some("image-of-mine".into())),
        swapped
    );
    let clone = KeyedRow {
        origin: Some(B.into()),
        ..backup
    };
    assert_eq!(codes(&clone, &of_b), []);
}

#[test]
fn a_snapshot_has_its_volumes_secret_or_its_own() {
    let here = || RowKey::Other(secret('a').to_string());
    let elsewhere = || RowKey::Other(secret('b').to_string());
    let of_volume = name(ResourceKind::Volume, A);
    let own = name(ResourceKind::Snapshot, B);
    for name in [of_volume.as_str(), ""] {
        assert_eq!(codes(&snapshot(here()), name), []);
        assert_eq!(codes(&snapshot(RowKey::AllZeros), name), []);
        assert_eq!(
            codes(&snapshot(elsewhere()), name),
            [Code::SnapshotElsewhere]
        );
    }
    assert_eq!(codes(&snapshot(elsewhere()), &own), []);
    let of_another = name(ResourceKind::Volume, B);
    let wrong = [Code::Swapped, Code::SnapshotElsewhere];
    assert_eq!(codes(&snapshot(elsewhere()), &of_another), wrong);
    assert_eq!(codes(&snapshot(RowKey::AllZeros), &of_another), wrong);
    assert_eq!(codes(&snapshot(here()), &of_another), [Code::Swapped]);
}

#[test]
fn only_copies_that_cinder_makes_may_share_a_secret() {
    let with = |migration: &str, name: &str| {
        let mut row = volume(A);
        row.status.migration_status = Some(migration.to_owned());
        row.display_name = Some(name.to_owned());
        may_share(&row)
    };
    assert!(with(&format!("target:{B}"), ""));
    assert!(with("deleting", ""));
    assert!(with("", &format!("image-{B}")));
    assert!(!with("success", "image-1"));
    assert!(!may_share(&snapshot(RowKey::AllZeros)));
}

#[test]
fn a_tally_counts_rows_once_and_keeps_no_more_findings_than_it_may() {
    let mut tally = Tally::default();
    let row = volume(A);
    let finding = || Finding::wrong_key(&row, secret('a'));
    tally.add(Outcome::Examined(Origin::Ours, vec![finding(), finding()]));
    tally.add(Outcome::Examined(Origin::Ours, vec![]));
    tally.add(Outcome::Examined(Origin::Upstream, vec![]));
    tally.add(Outcome::Examined(Origin::NotMigrated, vec![]));
    tally.add(Outcome::Changed);
    assert_eq!((tally.examined, tally.verified(), tally.wrong), (5, 2, 1));
    assert_eq!((tally.not_migrated, tally.changed), (1, 1));
    assert_eq!(tally.codes(), "wrong_key 2");
    for _ in 0..MOST_FINDINGS {
        tally.add(Outcome::Examined(Origin::NotMigrated, vec![finding()]));
    }
    assert_eq!(tally.findings.len(), MOST_FINDINGS);
    assert_eq!(tally.findings_total(), MOST_FINDINGS as u64 + 2);
    assert_eq!(tally.wrong, MOST_FINDINGS as u64 + 1);
}

#[test]
fn every_row_is_as_likely_to_be_in_a_sample() {
    fastrand::seed(7);
    let mut drawn = [0_u32; 10];
    for _ in 0..4_000 {
        let mut sample = Vec::new();
        for met in 1..=10_u64 {
            let id = RowId::from((met - 1).to_string());
            let kind = ResourceKind::Volume;
            sample_in(&mut sample, 3, met, RowRef { kind, id });
        }
        let distinct: BTreeSet<_> = sample.iter().collect();
        assert_eq!(distinct.len(), 3);
        for row in sample {
            drawn[row.id.as_str().parse::<usize>().expect("a number")] += 1;
        }
    }
    // 1200 each are expected, with a standard deviation of 29.
    assert!(
        drawn.iter().all(|times| (1_050..1_350).contains(times)),
        "{drawn:?}"
    );
}

#[test]
fn an_acl_can_be_mended_where_nothing_else_is_wrong_and_is_verified_then() {
    let row = volume(A);
    let [acl, other] = [
        Finding::acl_incomplete(&row, secret('a'), &[]),
        Finding::wrong_key(&row, secret('a')),
    ];
    let mut tally = Tally::default();
    let examined = |findings| Outcome::Examined(Origin::Ours, findings);
    tally.add(examined(vec![acl.clone()]));
    assert_eq!((tally.wrong, tally.mendable), (1, 1));
    for findings in [vec![], vec![other.clone()], vec![other, acl]] {
        tally.add(examined(findings));
    }
    assert_eq!((tally.wrong, tally.mendable), (3, 1));
    tally.add(Outcome::Mended(Origin::Upstream));
    assert_eq!((tally.migrated_upstream, tally.mended), (1, 1));
    assert_eq!((tally.wrong, tally.verified()), (3, 2));
}

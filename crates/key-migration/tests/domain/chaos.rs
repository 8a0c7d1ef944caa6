//! Random faults, random work of Cinder's own, and kills: what must hold still holds.

use std::collections::BTreeSet;
use std::time::Duration;

use key_migration::ids::{ALL_ZEROS, ResourceKind, RowRef, Service};
use key_migration::reasons::Reason;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use crate::support::*;

/// What happens to one request: a choice for its answer, and one for what Cinder does meanwhile.
type Turn = (u8, u8, u8);

#[derive(Clone, Debug)]
struct Story {
    service: Service,
    rows: u8,
    turns: Vec<Turn>,
    /// When the process is killed, each after its start, and whether the ledger is lost with it.
    kills: Vec<(Duration, bool)>,
}

fn stories() -> impl Strategy<Value = Story> {
    let service = prop_oneof![3 => Just(Service::Volume), 1 => Just(Service::Backup)];
    let turns = proptest::collection::vec(any::<Turn>(), 0..400);
    let kill = prop_oneof![
        (0..2_000_u64).prop_map(Duration::from_millis),
        (0..1_800_u64).prop_map(Duration::from_secs),
    ];
    let kills = proptest::collection::vec((kill, any::<bool>()), 0..4);
    (service, 1..5_u8, turns, kills).prop_map(|(service, rows, turns, kills)| Story {
        service,
        rows,
        turns,
        kills,
    })
}

proptest! {
    #![proptest_config(Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    })]

    #[test]
    fn whatever_fails_and_whoever_interferes_nothing_is_lost_doubled_or_left_unreadable(
        story in stories()
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(live_through(story));
    }
}

async fn live_through(story: Story) {
    let cloud = match story.service {
        Service::Volume => Cloud::new().with_volumes(story.rows.into()),
        Service::Backup => Cloud::new().with_backups(story.rows.into()),
    };
    for op in Op::BARBICAN.into_iter().chain(Op::DATABASE) {
        cloud.slow(op, Duration::from_millis(40));
    }
    let mut turns = story.turns.into_iter();
    cloud.with_chaos(move |world, op| {
        let (answer, work, whom) = turns.next()?;
        cinder_works(world, work, whom);
        goes_wrong(op, answer)
    });
    for (kill, loses_ledger) in story.kills {
        let daemon = Daemon::start(&cloud, settings(story.service));
        daemon.works_for(kill).await;
        daemon.kill().await;
        if loses_ledger {
            cloud.world().ledger.forget();
        }
    }
    let daemon = Daemon::start(&cloud, settings(story.service));
    daemon.works_for(minutes(20)).await;
    cloud.heal();
    cinder_rests(&mut cloud.world());
    daemon.works_for(minutes(70)).await;
    daemon.kill().await;
    everything_is_accounted_for(&cloud, story.service).await;
}

/// What a daemon that starts without a ledger finds: rows that moved, and every secret of ours with
/// its place.
async fn everything_is_accounted_for(cloud: &Cloud, service: Service) {
    cloud.world().ledger.forget();
    let anchor = match service {
        Service::Volume => volume("anchor"),
        Service::Backup => backup("anchor"),
    };
    cloud.world().add(anchor, None);
    let daemon = Daemon::start(cloud, settings(service));
    daemon.works_for(minutes(2)).await;
    let counted = daemon.progress().totals.orphan_secrets;
    let world = cloud.world();
    for (id, row) in &world.rows {
        let of_a_moved_volume = id.kind == ResourceKind::Snapshot;
        assert!(
            !row.is_zero() || of_a_moved_volume,
            "{id} is still at zeros\n{}",
            world.story()
        );
    }
    let mut unused = BTreeSet::new();
    for secret in world.secrets.iter().filter(|secret| !secret.deleted) {
        let of = secret.row().expect("a name of ours");
        if !world.rows[&of].deleted && !world.is_referred_to(secret.id) {
            unused.insert(secret.id);
        }
    }
    assert_eq!(
        counted,
        unused.len() as u64,
        "{unused:?}\n{}",
        world.story()
    );
}

fn goes_wrong(op: Op, answer: u8) -> Option<Trouble> {
    let usual = |answer| match answer {
        0 => Some(faulty(Reason::BarbicanUnreachable)),
        1 => Some(faulty(Reason::KeystoneUnreachable)),
        2 => Some(faulty(Reason::RoleMissing)),
        _ => None,
    };
    match (op, answer) {
        (_, 40..) => None,
        (Op::Store, 4..=10) => Some(stored_unanswered()),
        (Op::Store, 11..=14) => Some(stored_later(seconds(u64::from(answer) * 12))),
        (Op::Store, 15..=18) => Some(unanswered()),
        (Op::SetReaders | Op::Payload | Op::Delete, 4..=12) => Some(failing()),
        (Op::SetReaders | Op::Payload, 13..=14) => Some(refused()),
        (Op::Payload, 15) => Some(Trouble::Corrupt),
        (Op::Switch, 4..=12) => Some(Trouble::ReplyLost(fault(Reason::DatabaseUnreachable))),
        (Op::Switch, 13..=14) => Some(Trouble::Contended),
        (op, answer) if Op::BARBICAN.contains(&op) => usual(answer),
        (_, 0..=3) => Some(faulty(Reason::DatabaseUnreachable)),
        _ => None,
    }
}

/// Cinder and its users go on meanwhile.
fn cinder_works(world: &mut World, work: u8, whom: u8) {
    let main: Vec<RowRef> = world
        .rows
        .iter()
        .filter(|(_, row)| row.volume.is_none() && !row.deleted)
        .map(|(id, _)| id.clone())
        .collect();
    if main.is_empty() {
        return;
    }
    let row = main[usize::from(whom) % main.len()].clone();
    match work {
        0 => world.rekey(&row, "6d1d8d63-0f4b-4c0f-8d3e-5d2f5d0a7f11"),
        // Cinder deletes a volume with its snapshots, or not at all.
        1 => {
            let snapshots = world.dependents(&row).map(|(id, _)| id.clone());
            for id in snapshots.chain([row.clone()]).collect::<Vec<_>>() {
                world.delete(&id);
            }
        }
        2..=4 => world.set_status(
            &row,
            if row.kind == ResourceKind::Backup {
                "restoring"
            } else {
                "retyping"
            },
        ),
        5..=9 => world.set_status(&row, "available"),
        10..=12 => world.row(&row).user_id = Some(if whom > 127 { ALICE } else { BOB }.into()),
        13..=14 if row.kind == ResourceKind::Volume => {
            let id = format!("s{}", world.rows.len());
            world.add_snapshot(&id, row.id.as_str(), if whom > 127 { ALICE } else { BOB });
            let key = world.rows[&row].key.clone();
            world.row(&snapshot(&id)).key = key;
        }
        15 => world.rekey(&row, ALL_ZEROS),
        // The end of a volume migration: two rows exchange all they hold.
        16..=18 => {
            let other = main[usize::from(whom / 16) % main.len()].clone();
            let keys = [&row, &other].map(|row| world.rows[row].key.clone());
            for (row, key) in [&other, &row].into_iter().zip(keys) {
                world.rekey(row, &key.expect("a row of ours has a key"));
            }
        }
        _ => {}
    }
}

/// Whatever was under way is over.
fn cinder_rests(world: &mut World) {
    for row in world.rows.values_mut() {
        row.status.status = Some("available".into());
    }
}

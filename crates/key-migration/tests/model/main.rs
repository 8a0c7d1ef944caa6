//! The machine under every order of events that a small cloud allows, and what goes wrong once any
//! of its guards is taken out.

mod daemon;
mod ledger;
mod lies;
mod model;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::daemon::{Fate, Loses};
use crate::lies::{Lie, Lies};
use crate::model::{Action, Cinder, Cloud, I1, I2, I3, I4, I5, I6, REST, SHARED, W12};
use crate::world::Which;

const NO: Cloud = Cloud {
    daemons: 1,
    rows: &[Which::V1, Which::S1],
    events: 0,
    fates: &[],
    kills: &[],
    cinder: &[],
    upstream: false,
    pauses: false,
    lies: Lies(&[]),
    prologue: &[],
};
const FATES: &[Fate] = &[
    Fate::Refused,
    Fate::Unheard,
    Fate::Late,
    Fate::Away,
    Fate::Corrupted,
];
const KILLS: &[Loses] = &[Loses::Memory, Loses::Notes, Loses::Ledger];
const CINDER: &[Cinder] = &[
    Cinder::Deletes(Which::S1),
    Cinder::Deletes(Which::V1),
    Cinder::Rekeys(Which::V1),
    Cinder::WorksOn(Which::V1),
    Cinder::Zeroes(Which::V1),
    Cinder::Snapshots,
    Cinder::Transfers,
    Cinder::Exchanges,
];

const ALL: Cloud = Cloud {
    fates: FATES,
    kills: KILLS,
    cinder: CINDER,
    upstream: true,
    pauses: true,
    ..NO
};
/// One event.
const ONE: Cloud = Cloud { events: 1, ..NO };

const EVERY_ROW: &[Which] = &[Which::V1, Which::S1, Which::V2];

/// Explores everything; says how much that is.
fn holds(cloud: Cloud) {
    let what = format!(
        "{} daemon(s), {} rows, {} event(s)",
        cloud.daemons,
        cloud.rows.len(),
        cloud.events
    );
    let began = Instant::now();
    let checker = cloud.checker().threads(2).spawn_bfs().join();
    println!(
        "{what}: {} states, {} of them different, {} steps deep, in {:.1?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    checker.assert_properties();
}

/// Without these guards there is a way to break the property.
fn breaks(property: &'static str, guards: &'static [Lie], cloud: Cloud) {
    let lies = Lies(guards);
    let wanted = HasDiscoveries::AnyOf([property].into());
    let checker = Cloud { lies, ..cloud }.checker().threads(2);
    let checker = checker.finish_when(wanted).spawn_bfs().join();
    let found = checker.discovery(property);
    let states = checker.unique_state_count();
    let path = found.unwrap_or_else(|| panic!("nothing breaks it in {states} states"));
    println!("{guards:?}: {property}");
    println!("{} states; broken by:", states);
    for action in path.into_actions() {
        println!("  {action:?}");
    }
}

#[test]
fn one_daemon_and_any_two_events_keep_every_invariant() {
    holds(Cloud {
        events: 2,
        rows: EVERY_ROW,
        ..ALL
    });
}

#[test]
fn one_daemon_on_one_volume_and_any_three_events_keep_every_invariant() {
    holds(Cloud { events: 3, ..ALL });
}

#[test]
#[ignore = "long"]
fn one_daemon_on_one_lone_volume_and_any_four_events_keep_every_invariant() {
    holds(Cloud {
        events: 4,
        rows: &[Which::V1],
        ..ALL
    });
}

#[test]
fn two_daemons_and_any_event_keep_every_invariant() {
    holds(Cloud {
        daemons: 2,
        events: 1,
        rows: EVERY_ROW,
        ..ALL
    });
}

#[test]
fn two_daemons_on_one_volume_and_any_two_events_keep_every_invariant() {
    holds(Cloud {
        daemons: 2,
        events: 2,
        ..ALL
    });
}

#[test]
fn without_reading_back_a_row_may_point_to_another_payload() {
    breaks(
        I2,
        &[Lie::PayloadIsEqual],
        Cloud {
            fates: &[Fate::Corrupted],
            ..ONE
        },
    );
}

#[test]
fn without_looking_who_refers_to_a_secret_two_volumes_may_share_it() {
    breaks(
        SHARED,
        &[Lie::NobodyRefers],
        Cloud {
            rows: EVERY_ROW,
            cinder: &[Cinder::Exchanges],
            ..ONE
        },
    );
}

#[test]
fn without_the_second_look_a_row_may_get_two_secrets() {
    breaks(
        I5,
        &[Lie::OneLook],
        Cloud {
            fates: &[Fate::Late],
            ..ONE
        },
    );
}

#[test]
fn without_asking_what_became_of_a_request_a_row_may_get_two_secrets() {
    breaks(
        I5,
        &[Lie::UnansweredIsNothing],
        Cloud {
            fates: &[Fate::Unheard],
            ..ONE
        },
    );
}

#[test]
fn without_a_recorded_intent_a_secret_may_be_lost() {
    breaks(
        I6,
        &[Lie::NoIntent],
        Cloud {
            kills: &[Loses::Memory],
            ..ONE
        },
    );
}

#[test]
fn without_comparing_a_key_may_be_overwritten() {
    breaks(
        I1,
        &[Lie::SwapWithoutCompare],
        Cloud {
            cinder: &[Cinder::Rekeys(Which::V1)],
            ..ONE
        },
    );
}

#[test]
fn without_comparing_the_users_somebody_may_not_read_their_key() {
    breaks(
        I2,
        &[Lie::ReadersAreFine],
        Cloud {
            cinder: &[Cinder::Snapshots],
            ..ONE
        },
    );
}

#[test]
fn without_looking_at_the_status_a_row_may_move_under_cinders_hands() {
    breaks(
        W12,
        &[Lie::BusyIsFine],
        Cloud {
            cinder: &[Cinder::WorksOn(Which::V1)],
            ..ONE
        },
    );
}

#[test]
fn without_comparing_the_volume_a_snapshot_may_point_to_a_secret_that_is_gone() {
    breaks(
        I2,
        &[Lie::VolumeIsFine],
        Cloud {
            events: 2,
            cinder: &[Cinder::Snapshots, Cinder::Rekeys(Which::V1)],
            ..ONE
        },
    );
}

#[test]
fn without_its_snapshots_a_volume_moves_alone() {
    breaks(I3, &[Lie::SnapshotStaysBehind], ONE);
}

#[test]
fn without_doubt_about_a_swap_two_volumes_may_share_its_secret() {
    let cloud = Cloud {
        events: 2,
        rows: EVERY_ROW,
        fates: &[Fate::Away],
        cinder: &[Cinder::Exchanges],
        ..ONE
    };
    breaks(SHARED, &[Lie::SwapIsNotInDoubt], cloud.clone());
    breaks(I4, &[Lie::SwapIsNotInDoubt, Lie::NobodyRefers], cloud);
}

#[test]
fn without_placing_what_a_listing_showed_a_secret_may_be_lost() {
    breaks(
        I6,
        &[Lie::ListedAtOnce],
        Cloud {
            events: 2,
            kills: KILLS,
            ..ONE
        },
    );
}

#[test]
fn without_the_late_look_what_arrives_later_is_never_accounted_for() {
    breaks(
        REST,
        &[Lie::NoLateLook],
        Cloud {
            fates: &[Fate::Late],
            ..ONE
        },
    );
}

/// One daemon has stored a secret and goes on with it; the other has yet to list what there is.
const RACE: Cloud = Cloud {
    daemons: 2,
    rows: &[Which::V1],
    cinder: &[Cinder::Rekeys(Which::V1), Cinder::Zeroes(Which::V1)],
    prologue: &[
        Action::Begin(0, Which::V1),
        Action::Step(0, Fate::Well),
        Action::Step(0, Fate::Well),
        Action::Kill {
            daemon: 1,
            loses: Loses::Ledger,
            sent: false,
        },
        Action::Start(1),
        Action::List(1),
    ],
    ..NO
};

/// The hour and the lock of the row stand for each other in so small a cloud: both are out.
#[test]
fn without_waiting_an_hour_what_another_adopted_may_be_deleted() {
    let events = 2;
    breaks(I4, &[Lie::AnHourOld, Lie::NoLock], Cloud { events, ..RACE });
}

#[test]
fn without_the_lock_of_the_row_a_daemon_that_stood_still_may_delete_what_another_adopted() {
    let cloud = Cloud {
        events: 3,
        pauses: true,
        ..RACE
    };
    breaks(I4, &[Lie::NoLock], cloud);
}

#[test]
fn without_a_clock_what_another_adopted_may_be_deleted() {
    let cloud = Cloud {
        events: 3,
        pauses: true,
        ..RACE
    };
    breaks(I4, &[Lie::NoTimePasses, Lie::NoLock], cloud);
}

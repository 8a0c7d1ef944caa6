//! Rows that the operator has set back to zeros, and holds there.

use key_migration::ids::Service;
use key_migration::reasons::RowReason;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_held_row_stays_at_zeros_while_the_others_go_and_goes_once_it_is_released() {
    let (cloud, log) = scene();
    let cloud = cloud.with_volumes(4);
    cloud.world().held.insert(volume("v2"));
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(10)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    assert!(cloud.secret_of(&volume("v2")).is_none());
    assert_eq!(cloud.calls(Op::Store).len(), 3);
    let said = log.take_with("volume v2");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("INFO Deferring volume v2 (held): "),
        "{said:?}"
    );
    let shown = daemon.progress();
    assert_eq!(shown.keys.deferred, 1);
    assert_eq!(shown.troubles.len(), 1);
    assert_eq!(shown.troubles[0].row, volume("v2"));
    assert_eq!(shown.troubles[0].reason, RowReason::Held);
    cloud.world().held.clear();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert!(daemon.progress().troubles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_comes_while_its_row_is_under_way_is_seen_before_anything_is_stored() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Row, |world| {
        world.held.insert(volume("v1"));
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    assert_eq!(cloud.calls(Op::Store).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_comes_before_the_swap_keeps_the_secret_for_later() {
    let (cloud, _log) = scene();
    let cloud = cloud.with_volumes(1);
    cloud.before(Op::Payload, |world| {
        world.held.insert(volume("v1"));
    });
    let daemon = Daemon::start(&cloud, settings(Service::Volume));
    daemon.works_for(minutes(5)).await;
    assert_eq!(cloud.world().census().volumes, 1);
    assert_eq!(cloud.calls(Op::Switch).len(), 0);
    cloud.world().held.clear();
    daemon.works_for(minutes(2)).await;
    assert_eq!(cloud.world().census().volumes, 0);
    assert_eq!(cloud.calls(Op::Store).len(), 1);
}

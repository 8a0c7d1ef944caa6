//! What holds on every database: each case gets a fresh one, with Cinder's own tables.

pub(crate) mod audit;
pub(crate) mod census;
pub(crate) mod holding;
pub(crate) mod keyed_rows;
pub(crate) mod reading;
pub(crate) mod references;
pub(crate) mod reverting;
pub(crate) mod selection;
pub(crate) mod sharing;
pub(crate) mod strays;
pub(crate) mod surveys;
pub(crate) mod switching;

use std::collections::BTreeSet;

use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ids::{ResourceKind, RowId, RowRef, SecretId, UserId};
use key_migration::rows::{Backend, Swap};
use key_migrator_tests::CinderDatabase;
use secrecy::SecretString;
use uuid::Uuid;

/// Makes one test of each case, on the databases that `$fresh` makes.
macro_rules! contract {
    ($fresh:path) => {
        contract! { $fresh:
            selection {
                a_backend_owns_its_own_rows_and_those_of_its_pools,
                names_are_compared_byte_for_byte,
                a_clustered_backend_owns_its_clusters_rows_and_its_hosts_unclustered_ones,
                several_backends_together_own_what_each_owns,
                a_backup_service_owns_exactly_its_hosts,
                nobody_owns_anything_through_an_empty_list,
                only_rows_at_zeros_that_are_not_deleted_are_counted_and_listed,
                pages_follow_each_other_without_a_gap_or_a_repetition,
                a_host_has_rows_of_no_other_kind,
            }
            reading {
                a_fresh_row_tells_key_status_and_users,
                the_users_of_backups_are_told_for_volume_after_volume,
                a_row_that_is_deleted_or_gone_is_none,
                keys_of_many_rows_are_read_at_once,
                a_holder_is_told_deleted_or_not,
                holders_of_every_kind_and_any_number_are_read_at_once,
            }
            references {
                a_reference_is_found_in_every_table_and_spelling_unless_deleted,
                what_only_deleted_rows_refer_to_is_told_apart,
                any_number_of_secrets_is_looked_for_at_once,
            }
            strays {
                a_snapshot_at_zeros_is_stray_once_its_volume_is_not,
                stray_snapshots_are_those_of_this_hosts_volumes,
                stray_snapshots_come_page_by_page,
                a_fresh_snapshot_tells_its_volume,
                a_stray_snapshot_takes_its_volumes_secret,
                a_snapshot_waits_where_its_volume_no_longer_refers_to_the_secret,
                what_a_snapshot_itself_says_comes_before_its_volume,
                a_snapshot_made_beside_a_swap_moves_with_it_or_is_stray,
            }
            sharing {
                a_volume_is_shared_that_another_users_snapshot_or_backup_is_of,
                a_volume_that_needs_no_other_reader_is_not_shared,
                shared_volumes_come_page_by_page,
            }
            holding {
                an_act_runs_once_where_nothing_needs_the_secret,
                an_act_does_not_run_where_something_needs_the_secret,
                a_row_is_held_still_and_others_read_meanwhile,
                a_row_is_let_go_however_the_act_ends,
                many_acts_leave_connections_for_what_is_quick,
            }
            switching {
                a_volume_moves_with_its_zero_snapshots_and_nothing_else,
                a_volume_without_user_or_status_moves,
                a_backup_moves_alone,
                a_snapshot_left_behind_moves_alone,
                a_swap_repeated_finds_that_it_holds_already,
                a_row_that_got_another_key_meanwhile_is_lost,
                a_row_that_was_deleted_meanwhile_is_gone,
                a_row_in_a_transitional_state_is_left_alone,
                a_volume_under_migration_is_left_alone_and_a_settled_one_moves,
                a_changed_user_stops_the_swap,
                a_snapshot_of_a_user_who_may_not_read_stops_the_whole_swap,
                of_two_swaps_at_once_one_wins,
            }
            keyed_rows {
                what_holds_a_key_is_told_with_all_who_need_it,
                a_host_sees_its_own_rows_and_the_snapshots_of_its_volumes,
                keyed_rows_come_page_by_page_and_none_is_left_out,
                a_row_that_is_named_is_told_whatever_it_holds,
                a_secret_of_two_owners_is_found_in_every_spelling,
                what_cinder_itself_lets_share_a_secret_is_not_reported,
            }
            census {
                the_census_counts_every_host_and_tells_what_no_live_service_owns,
                the_census_knows_clusters,
                the_census_counts_hosts_and_not_services,
            }
            surveys {
                rows_at_zeros_are_counted_by_place_without_pools,
                services_are_up_by_the_databases_clock,
                rows_of_all_hosts_come_page_by_page_with_their_places,
                named_rows_are_found_in_every_table,
            }
            reverting {
                a_volume_goes_back_with_the_snapshots_that_share_its_secret,
                a_backup_goes_back_alone,
                a_row_that_changed_meanwhile_stays_as_it_is,
            }
            audit {
                backups_without_a_key_come_page_by_page_and_no_others,
                the_volume_behind_a_backup_is_told_deleted_or_not,
                image_metadata_at_zeros_is_stale_beside_what_has_no_key,
            }
        }
    };
    ($fresh:path: $($room:ident { $($case:ident,)* })*) => {
        $($(
            #[tokio::test]
            async fn $case() -> anyhow::Result<()> {
                let fresh = $fresh().await?;
                crate::cases::$room::$case(&fresh).await
            }
        )*)*
    };
}

/// The adapter under test on this database.
pub(crate) fn open(database: &CinderDatabase) -> CinderDb {
    let url = SecretString::from(database.connection_url());
    let (config, warnings) = ConnectionConfig::parse(&url).expect("the rig writes valid URLs");
    assert_eq!(warnings, []);
    CinderDb::new(config)
}

pub(crate) fn secret() -> SecretId {
    SecretId::new(Uuid::new_v4()).expect("a random UUID is not nil")
}

/// A swap of this row for its user `owner`, who is the only reader.
pub(crate) fn swap(kind: ResourceKind, id: Uuid, secret: SecretId) -> Swap {
    Swap {
        row: row_ref(kind, id),
        secret,
        user_id: Some("owner".into()),
        readers: [UserId::from("owner")].into_iter().collect(),
        shared_with: None,
    }
}

pub(crate) fn row_ref(kind: ResourceKind, id: Uuid) -> RowRef {
    RowRef {
        kind,
        id: row_id(id),
    }
}

pub(crate) fn row_id(id: Uuid) -> RowId {
    id.to_string().into()
}

pub(crate) fn host(name: &str) -> Backend {
    Backend {
        host: name.into(),
        cluster: None,
    }
}

fn clustered(cluster: &str, host: &str) -> Backend {
    Backend {
        host: host.into(),
        cluster: Some(cluster.into()),
    }
}

fn ids<const N: usize>(ids: [Uuid; N]) -> BTreeSet<String> {
    ids.iter().map(Uuid::to_string).collect()
}

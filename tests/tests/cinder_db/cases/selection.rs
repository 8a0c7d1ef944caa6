//! Which rows are a host's own.

use std::collections::BTreeSet;

use anyhow::Result;
use key_migration::ids::{ResourceKind, RowId};
use key_migration::ports::CinderDatabase as _;
use key_migration::rows::Scope;
use key_migrator_tests::{Backup, CinderDatabase, Volume};
use uuid::Uuid;

use super::{clustered, host, ids, open, row_id};

/// What the scan finds, which the count must confirm.
async fn owned(database: &CinderDatabase, scope: Scope) -> Result<BTreeSet<String>> {
    let db = open(database);
    let page = db
        .zero_rows(&scope, scope.service().kind(), None, 1000)
        .await?;
    assert_eq!(db.count_zero_rows(&scope).await?, page.len() as u64);
    assert_eq!(db.any_row(&scope).await?, !page.is_empty());
    Ok(page.iter().map(|row| row.id.to_string()).collect())
}

pub(crate) async fn a_backend_owns_its_own_rows_and_those_of_its_pools(
    database: &CinderDatabase,
) -> Result<()> {
    let [own, pool, odd_pool] = ["h@b", "h@b#pool", "h@b#a#b"].map(Volume::on);
    let others = [
        "h@b2",
        "h@b2#pool",
        "h@",
        "h",
        "h@b pool",
        "xh@b",
        "h@b$",
        "h@b\"",
        "#",
        "",
    ];
    database
        .insert(&[own.clone(), pool.clone(), odd_pool.clone()])
        .await?;
    database.insert(&others.map(Volume::on)).await?;
    database.insert(&Volume::without_host()).await?;
    let found = owned(database, Scope::Volumes(vec![host("h@b")])).await?;
    assert_eq!(found, ids([own.id, pool.id, odd_pool.id]));
    Ok(())
}

pub(crate) async fn names_are_compared_byte_for_byte(database: &CinderDatabase) -> Result<()> {
    let names = [
        "h_1@b", "hx1@b", "h%1@b", "hyy1@b", "h\\1@b", "h|1@b", "H_1@b", "h_1@B", "hé1@b", "he1@b",
        "h'1@b", "h\"1@b", "h*1@b", "h?1@b", "h[1]@b", "h_1@b ",
    ];
    for name in names {
        let pool = format!("{name}#p_%|\\");
        let volumes = [Volume::on(name), Volume::on(&pool)];
        database.insert(&volumes).await?;
        database.insert(&Backup::on(name)).await?;
    }
    for name in names {
        let found = owned(database, Scope::Volumes(vec![host(name)])).await?;
        assert_eq!(found.len(), 2, "volumes of {name:?}");
        let found = owned(database, Scope::Backups(vec![name.into()])).await?;
        assert_eq!(found.len(), 1, "backups of {name:?}");
    }
    for pattern in ["h%", "h_1@_", "%", "h\\_1@b", "h|_1@b", "h_1@b#"] {
        assert_eq!(
            owned(database, Scope::Volumes(vec![host(pattern)])).await?,
            ids([])
        );
    }
    Ok(())
}

pub(crate) async fn a_clustered_backend_owns_its_clusters_rows_and_its_hosts_unclustered_ones(
    database: &CinderDatabase,
) -> Result<()> {
    let own = [
        Volume::on_cluster("c@b", "h@b"),
        Volume::on_cluster("c@b#pool", "other@b#pool"),
        Volume::without_host().column("cluster_name", "c@b#pool"),
        Volume::on("h@b"),
        Volume::on("h@b#pool"),
    ];
    let others = [
        Volume::on_cluster("c@b2", "h@b"),
        Volume::on_cluster("c@b2#pool", "h@b#pool"),
        Volume::on_cluster("C@b", "h@b"),
        Volume::on_cluster("", "h@b"),
        Volume::on("h@b2"),
        Volume::on("c@b"),
    ];
    database.insert(&own).await?;
    database.insert(&others).await?;
    let found = owned(database, Scope::Volumes(vec![clustered("c@b", "h@b")])).await?;
    assert_eq!(
        found,
        own.iter().map(|volume| volume.id.to_string()).collect()
    );
    Ok(())
}

pub(crate) async fn several_backends_together_own_what_each_owns(
    database: &CinderDatabase,
) -> Result<()> {
    let [a, b, c] = ["h@a#p", "h@b", "h@c"].map(Volume::on);
    let in_cluster = Volume::on_cluster("k@d#p", "x@d#p");
    // A backend that is in no cluster owns by host alone, whatever cluster a row names.
    let stray = Volume::on_cluster("gone@b", "h@b#p");
    database.insert(&[a.clone(), b.clone(), c]).await?;
    database
        .insert(&[in_cluster.clone(), stray.clone()])
        .await?;
    let backends = vec![host("h@a"), host("h@b"), clustered("k@d", "h@d")];
    let found = owned(database, Scope::Volumes(backends)).await?;
    assert_eq!(found, ids([a.id, b.id, in_cluster.id, stray.id]));
    Ok(())
}

pub(crate) async fn a_backup_service_owns_exactly_its_hosts(
    database: &CinderDatabase,
) -> Result<()> {
    let [own, extra] = ["h", "old-host"].map(Backup::on);
    database.insert(&[own.clone(), extra.clone()]).await?;
    database
        .insert(&["h2", "H", "h#p", "h@b", ""].map(Backup::on))
        .await?;
    database.insert(&Backup::without_host()).await?;
    let found = owned(
        database,
        Scope::Backups(vec!["h".into(), "old-host".into()]),
    )
    .await?;
    assert_eq!(found, ids([own.id, extra.id]));
    Ok(())
}

pub(crate) async fn nobody_owns_anything_through_an_empty_list(
    database: &CinderDatabase,
) -> Result<()> {
    database
        .insert(&[Volume::on("h@b"), Volume::on(""), Volume::without_host()])
        .await?;
    database
        .insert(&[Backup::on("h"), Backup::without_host()])
        .await?;
    assert_eq!(owned(database, Scope::Volumes(vec![])).await?, ids([]));
    assert_eq!(owned(database, Scope::Backups(vec![])).await?, ids([]));
    Ok(())
}

pub(crate) async fn only_rows_at_zeros_that_are_not_deleted_are_counted_and_listed(
    database: &CinderDatabase,
) -> Result<()> {
    let db = open(database);
    let scope = Scope::Volumes(vec![host("h@b")]);
    database.insert(&Volume::on("h@b").deleted()).await?;
    assert!(!db.any_row(&scope).await?);
    database
        .insert(&[
            Volume::on("h@b").key(Uuid::new_v4()),
            Volume::on("h@b").without_key(),
        ])
        .await?;
    assert!(db.any_row(&scope).await?, "a row counts whatever its key");
    assert_eq!(db.count_zero_rows(&scope).await?, 0);
    let zero = Volume::on("h@b")
        .status("in-use")
        .migration_status("migrating");
    database.insert(&zero).await?;
    let page = db.zero_rows(&scope, ResourceKind::Volume, None, 10).await?;
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].id, row_id(zero.id));
    assert_eq!(page[0].status.status.as_deref(), Some("in-use"));
    assert_eq!(
        page[0].status.migration_status.as_deref(),
        Some("migrating")
    );
    Ok(())
}

pub(crate) async fn pages_follow_each_other_without_a_gap_or_a_repetition(
    database: &CinderDatabase,
) -> Result<()> {
    let volumes: Vec<_> = (0..25).map(|_| Volume::on("h@b#p")).collect();
    database.insert(&volumes).await?;
    let db = open(database);
    let scope = Scope::Volumes(vec![host("h@b")]);
    let mut walked: Vec<RowId> = Vec::new();
    loop {
        let page = db
            .zero_rows(&scope, ResourceKind::Volume, walked.last(), 10)
            .await?;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        walked.extend(page.into_iter().map(|row| row.id));
    }
    let mut all: Vec<_> = volumes.iter().map(|volume| row_id(volume.id)).collect();
    all.sort();
    assert_eq!(walked, all);
    Ok(())
}

pub(crate) async fn a_host_has_rows_of_no_other_kind(database: &CinderDatabase) -> Result<()> {
    database
        .insert(&Volume::on("h").key(Uuid::new_v4()).with_snapshots(1))
        .await?;
    database.insert(&Volume::on("h")).await?;
    database.insert(&Backup::on("h")).await?;
    let db = open(database);
    let (volumes, backups) = (
        Scope::Volumes(vec![host("h")]),
        Scope::Backups(vec!["h".into()]),
    );
    for (scope, kind) in [
        (&volumes, ResourceKind::Backup),
        (&backups, ResourceKind::Volume),
        (&backups, ResourceKind::Snapshot),
    ] {
        assert_eq!(db.zero_rows(scope, kind, None, 10).await?, []);
    }
    Ok(())
}

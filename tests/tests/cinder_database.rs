//! The rig itself: Cinder's own tables on every dialect, rows in and back.

use anyhow::Result;
use key_migrator_tests::rows::UPDATED_AT;
use key_migrator_tests::{
    Backup, CinderDatabase, Dialect, Service, Services, Snapshot, Volume, ZERO_KEY,
};
use uuid::Uuid;

#[tokio::test]
async fn rows_go_in_and_come_back() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let volume = Volume::on("h@b#pool")
            .owned_by("user")
            .with_snapshots(2)
            .status("in-use");
        let backup = Backup::on("h").of(&volume).owned_by("user").status("error");
        database.insert(&volume).await?;
        database.insert(&backup).await?;
        database
            .insert(&[Service::volume("h@b"), Service::backup("h")])
            .await?;

        let found = database.volume(volume.id).await?;
        assert_eq!(
            found.encryption_key_id.as_deref(),
            Some(ZERO_KEY),
            "{dialect:?}"
        );
        assert_eq!(found.status.as_deref(), Some("in-use"), "{dialect:?}");
        assert_eq!(found.user_id.as_deref(), Some("user"), "{dialect:?}");
        assert!(
            UPDATED_AT.starts_with(found.updated_at.as_deref().unwrap()),
            "{dialect:?}"
        );
        for snapshot_id in volume.snapshot_ids() {
            assert!(
                database.snapshot(snapshot_id).await?.is_zero(),
                "{dialect:?}"
            );
        }
        assert_eq!(
            database.backup(backup.id).await?.status.as_deref(),
            Some("error")
        );
    }
    Ok(())
}

#[tokio::test]
async fn counts_leave_out_what_is_deleted_or_has_a_key_or_needs_none() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let volume = Volume::on("h@b#pool");
        let own_key = Uuid::new_v4();
        database
            .insert(&[
                volume
                    .clone()
                    .with_snapshot(Snapshot::of(&volume).deleted())
                    .with_snapshots(1),
                Volume::on("h@b#pool").deleted(),
                Volume::on("h@b#pool").without_key(),
                Volume::on("h@b#pool").key(own_key),
                Volume::without_host(),
                Volume::on_cluster("c@b#pool", "h@b#pool"),
            ])
            .await?;
        assert_eq!(database.zeros("volumes").await?, 3, "{dialect:?}");
        assert_eq!(database.zeros("snapshots").await?, 1, "{dialect:?}");
        assert_eq!(database.zeros("backups").await?, 0, "{dialect:?}");
        let keys = database.keys("volumes").await?;
        assert_eq!(keys.len(), 5, "{dialect:?}");
        assert!(
            keys.iter()
                .any(|(_, key)| *key == Some(own_key.to_string())),
            "{dialect:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn many_rows_go_in_at_once() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let volumes: Vec<_> = (0..2_000)
            .map(|_| Volume::on("h@b#p").with_snapshots(1))
            .collect();
        database.insert(&volumes).await?;
        assert_eq!(database.zeros("volumes").await?, 2_000, "{dialect:?}");
        assert_eq!(database.zeros("snapshots").await?, 2_000, "{dialect:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_can_be_reached_by_its_url_through_the_library_that_cinder_uses() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let volume = Volume::on("h@b#pool").owned_by("user").with_snapshots(1);
        database.insert(&volume).await?;
        let seen = services
            .python()
            .run("cinder_rows.py", database.connection_url())
            .await?;
        let seen: serde_json::Value = serde_json::from_str(&seen)?;
        assert_eq!(
            seen["volumes"][0]["id"],
            volume.id.to_string(),
            "{dialect:?}"
        );
        assert_eq!(
            seen["volumes"][0]["encryption_key_id"], ZERO_KEY,
            "{dialect:?}"
        );
        assert_eq!(
            seen["volumes"][0]["volume_type"], "__DEFAULT__",
            "{dialect:?}"
        );
        assert_eq!(
            seen["volumes"][0]["updated_at"], "2026-01-02 03:04:05+00:00",
            "{dialect:?}"
        );
        assert_eq!(
            seen["snapshots"][0]["id"],
            volume.snapshot_ids()[0].to_string()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_database_is_gone() -> Result<()> {
    let services = Services::from_env();
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        let url = database.connection_url().to_owned();
        services.python().run("cinder_rows.py", &url).await?;
        drop(database);
        services
            .python()
            .run("cinder_rows.py", &url)
            .await
            .unwrap_err();
    }
    Ok(())
}

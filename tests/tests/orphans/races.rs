//! What changes between a look and the deletion, or while it lasts.

use anyhow::Result;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, Dialect, EmulatedCloud, RoleWorld, Services, Snapshot,
    Volume,
};
use sandbox_cloud::{Fault, Gate, Operation, When};
use uuid::Uuid;

use crate::orphans;
use key_migrator_tests::vault::Author;

/// An emulated Barbican whose requests can be held, a real MariaDB whose rows can be locked, and a
/// superseded secret between them.
struct Stage {
    cloud: EmulatedCloud,
    database: CinderDatabase,
    conf: CinderConf,
    volume: Volume,
    secret: Uuid,
}

impl Stage {
    async fn new() -> Result<Self> {
        let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
        let database = CinderDatabase::new(&Services::from_env(), Dialect::MariaDb).await?;
        let cinder = cloud.create_authorised_cinder_user().await?;
        let author = Author::new(&cloud, &cinder).await?;
        let volume = Volume::on("host1@lvm#lvm").key(Uuid::new_v4());
        let secret = author.store_old("volume", volume.id).await?;
        database.insert(&volume).await?;
        let conf = CinderConf::new(&cloud, &cinder, &database)?;
        Ok(Self {
            cloud,
            database,
            conf,
            volume,
            secret,
        })
    }

    /// Holds the next request of this kind.
    fn hold(&self, operation: Operation) -> Gate {
        let gate = Gate::default();
        let hold = Fault::Hold(When::BeforeEffect, gate.clone());
        self.cloud.emulation().inject(operation, hold, 1);
        gate
    }

    fn refer(&self) -> String {
        format!(
            "UPDATE volumes SET encryption_key_id = '{}' WHERE id = '{}'",
            self.secret, self.volume.id
        )
    }

    fn is_there(&self) -> bool {
        self.cloud.emulation().secret(self.secret).is_some()
    }
}

#[tokio::test]
async fn a_row_that_turns_to_refer_to_it_after_the_listing_keeps_its_secret() -> Result<()> {
    for another_row in [false, true] {
        let stage = Stage::new().await?;
        // It is looked at again first, after it was listed.
        let gate = stage.hold(Operation::GetSecret);
        let change = async {
            gate.arrived(1).await;
            match another_row {
                false => stage.database.execute(&stage.refer()).await.map(drop)?,
                true => {
                    let snapshot = Snapshot::of(&stage.volume).key(stage.secret);
                    stage.database.insert(&snapshot).await?;
                }
            }
            gate.open();
            anyhow::Ok(())
        };
        let purge = orphans(&stage.conf, &["purge", "--execute"]);
        let (purged, changed) = tokio::join!(purge, change);
        changed?;
        let purged = purged?;
        let kept = ("kept", "its row changed just now");
        assert_eq!(purged.outcome(stage.secret), Some(kept), "{purged:#?}");
        assert_eq!(purged.code, Some(0));
        assert!(stage.is_there());
    }
    Ok(())
}

#[tokio::test]
async fn a_row_cannot_turn_to_refer_to_it_while_it_is_being_deleted() -> Result<()> {
    let stage = Stage::new().await?;
    let gate = stage.hold(Operation::DeleteSecret);
    let look = async {
        gate.arrived(1).await;
        let locked = stage.database.is_locked("volumes", stage.volume.id).await?;
        let there = stage.is_there();
        gate.open();
        anyhow::Ok((locked, there))
    };
    let purge = orphans(&stage.conf, &["purge", "--execute"]);
    let (purged, looked) = tokio::join!(purge, look);
    assert_eq!(looked?, (true, true));
    let purged = purged?;
    assert_eq!(purged.outcome(stage.secret), Some(("deleted", "")));
    assert_eq!(purged.code, Some(0));
    assert!(!stage.is_there());
    assert!(!stage.database.is_locked("volumes", stage.volume.id).await?);
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_breaks_off_leaves_no_lock_and_says_that_it_failed() -> Result<()> {
    let stage = Stage::new().await?;
    let emulation = stage.cloud.emulation();
    emulation.inject(Operation::DeleteSecret, Fault::drop_after(), 1);
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    assert_eq!(purged.code, Some(2), "{purged:#?}");
    assert!(!stage.database.is_locked("volumes", stage.volume.id).await?);
    // It took effect unheard, and is not listed any more.
    let purged = orphans(&stage.conf, &["purge", "--execute"]).await?;
    assert_eq!((purged.code, purged.secrets.len()), (Some(0), 0));
    Ok(())
}

#[tokio::test]
async fn two_at_once_delete_everything_once_and_neither_fails() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::Creator);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let author = Author::new(&cloud, &cinder).await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..12)
        .map(|_| Volume::on("host1@lvm#lvm").key(Uuid::new_v4()))
        .collect();
    database.insert(&volumes).await?;
    let mut secrets = Vec::new();
    for volume in &volumes {
        secrets.push(author.store_old("volume", volume.id).await?);
    }
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let purge = || orphans(&conf, &["purge", "--execute"]);
    let (one, other) = tokio::join!(purge(), purge());
    for purged in [one?, other?] {
        assert_eq!(purged.code, Some(0), "{purged:#?}");
        let deleted = |said: &serde_json::Value| said["outcome"] == "deleted";
        assert!(purged.secrets.iter().all(deleted), "{purged:#?}");
    }
    assert_eq!(author.those_left(&secrets).await?, [] as [Uuid; 0]);
    Ok(())
}

//! Finding secrets by name, and all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use key_migration::ids::{ResourceKind, SecretId};
use key_migration::ports::{KeyManager, StoredSecret};
use openstack_client::BarbicanKeyManager;
use tokio::sync::mpsc;

use super::{key, key_manager, name, name_for, request};
use crate::testbed::{Anybody, Testbed};
use crate::wire::Caller;

contract! {
    a_name_is_found_exactly
    several_secrets_of_one_name_are_found_oldest_first
    a_found_secret_says_whose_it_is_and_how_old
    a_listing_of_more_than_a_page_is_complete
}

async fn a_name_is_found_exactly(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let manager = key_manager(cloud, &cinder)?;
    let secret = manager.store(&name("a_b"), &key(), request()).await?;
    for other in ["A_B", "axb", "a_b1", "1a_b"] {
        manager.store(&name(other), &key(), request()).await?;
    }
    manager
        .store(&name_for(ResourceKind::Backup, "a_b"), &key(), request())
        .await?;
    let stranger = cloud.anybody().await?.user;
    key_manager(cloud, &stranger)?
        .store(&name("a_b"), &key(), request())
        .await?;

    assert_eq!(ids(&manager.find(&name("a_b"), request()).await?), [secret]);
    assert_eq!(manager.find(&name("b"), request()).await?, []);
    let foreign = "%_\\'\"; &+é%41";
    let secret = manager.store(&name(foreign), &key(), request()).await?;
    assert_eq!(
        ids(&manager.find(&name(foreign), request()).await?),
        [secret]
    );
    Ok(())
}

async fn several_secrets_of_one_name_are_found_oldest_first(cloud: &impl Testbed) -> Result<()> {
    let Anybody {
        user: cinder,
        token,
    } = cloud.anybody().await?;
    let manager = key_manager(cloud, &cinder)?;
    let caller = Caller::with_token(cloud, Some(token));
    let row = uuid::Uuid::new_v4().to_string();
    let mut stored = Vec::new();
    for _ in 0..12 {
        let secret = manager.store(&name(&row), &key(), request()).await?;
        let fields = caller.get(&format!("/v1/secrets/{secret}")).await?.json()?;
        // In whole seconds, within which the IDs decide.
        stored.push((
            fields["created"].as_str().context("created")?.to_owned(),
            secret,
        ));
    }
    stored.sort_unstable();
    let oldest_first: Vec<SecretId> = stored.into_iter().map(|(_, secret)| secret).collect();
    assert_eq!(
        ids(&manager.find(&name(&row), request()).await?),
        oldest_first
    );
    Ok(())
}

async fn a_found_secret_says_whose_it_is_and_how_old(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let row = uuid::Uuid::new_v4().to_string();
    let colleague = cloud
        .create_colleague(&cinder, &[&cloud.storing_role()])
        .await?;
    let manager = key_manager(cloud, &cinder)?;
    let ours = manager.store(&name(&row), &key(), request()).await?;
    let theirs = key_manager(cloud, &colleague)?
        .store(&name(&row), &key(), request())
        .await?;
    let found = manager.find(&name(&row), request()).await?;
    assert_eq!(found.len(), 2, "{found:?}");
    for secret in found {
        assert!([ours, theirs].contains(&secret.id));
        assert_eq!(secret.created_by_us, secret.id == ours);
        assert_eq!((&*secret.name, secret.active), (name(&row).as_str(), true));
        assert!(secret.age < Duration::from_secs(3600), "{secret:?}");
    }
    Ok(())
}

async fn a_listing_of_more_than_a_page_is_complete(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let manager = key_manager(cloud, &cinder)?;
    manager
        .store(&name_for(ResourceKind::Backup, "1"), &key(), request())
        .await?;
    Caller::new(cloud, &cinder)
        .await?
        .store("volume:another's")
        .await?;
    let rows = stream::iter(0..103);
    let stored: BTreeSet<SecretId> = rows
        .map(async |row| {
            manager
                .store(&name(&row.to_string()), &key(), request())
                .await
        })
        .buffer_unordered(8)
        .try_collect()
        .await?;
    assert_eq!(list(&manager, ResourceKind::Volume).await?, stored);
    assert_eq!(list(&manager, ResourceKind::Backup).await?.len(), 1);
    assert_eq!(list(&manager, ResourceKind::Snapshot).await?.len(), 0);
    Ok(())
}

async fn list(manager: &BarbicanKeyManager, kind: ResourceKind) -> Result<BTreeSet<SecretId>> {
    let (sender, mut pages) = mpsc::channel::<Vec<StoredSecret>>(1);
    let mut listed = BTreeSet::new();
    let collected = async {
        while let Some(page) = pages.recv().await {
            listed.extend(ids(&page));
        }
    };
    let (outcome, ()) = tokio::join!(manager.list(kind, sender, request()), collected);
    outcome?;
    Ok(listed)
}

fn ids(secrets: &[StoredSecret]) -> Vec<SecretId> {
    secrets.iter().map(|secret| secret.id).collect()
}

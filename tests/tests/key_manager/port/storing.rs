//! One key's way: stored, given its readers, read back, deleted; and what stands in its way.

use anyhow::{Context, Result};
use key_migration::fixed_key::FixedKey;
use key_migration::ids::{SecretId, UserId};
use key_migration::orphans::Consumers as _;
use key_migration::ports::{KeyManager, SecretError, StoreError};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::Readers;
use key_migrator_tests::User;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::json;

use super::{key, key_manager, name, read, request};
use crate::testbed::{Anybody, Testbed};
use crate::wire::{Caller, Reply};

contract! {
    a_key_is_stored_read_back_and_deleted
    the_readers_are_who_was_named_last_and_we_ourselves
    readers_are_added_and_whatever_else_the_acl_says_stays
    a_secret_is_described_whoever_stored_it
    who_registered_as_using_a_secret_is_counted
    a_missing_role_is_told_with_the_role_that_would_help
    a_quota_that_is_reached_is_a_reason_of_its_own
    a_key_that_barbican_does_not_take_is_a_fault_of_the_configuration
    a_secret_of_another_project_is_refused_and_one_that_is_not_there_is_not_found
}

const NOT_ALLOWED: &str = "Forbidden: Secret creation attempt not allowed - please review your \
                           user/project privileges";

async fn a_key_is_stored_read_back_and_deleted(cloud: &impl Testbed) -> Result<()> {
    let Anybody {
        user: cinder,
        token,
    } = cloud.anybody().await?;
    let caller = Caller::with_token(cloud, Some(token));
    let manager = key_manager(cloud, &cinder)?;
    for digits in ["00", "00112233445566778899aabbccddeeff", &"fe".repeat(36)] {
        let key = FixedKey::from_hex(digits)?;
        let secret = manager.store(&name("7b"), &key, request()).await?;
        assert!(key.equals(&manager.payload(secret, request()).await?));

        let fields = caller.get(&path(secret)).await?.json()?;
        assert_eq!(fields["name"], "cinder-key-migrator:v1:volume:7b");
        assert_eq!(fields["algorithm"], "AES");
        assert_eq!(fields["bit_length"], digits.len() * 4);
        assert_eq!(fields["secret_type"], "symmetric");
        assert_eq!(
            fields["content_types"],
            json!({ "default": "application/octet-stream" })
        );

        manager.delete(secret, request()).await?;
        manager
            .delete(secret, request())
            .await
            .context("one that is gone counts as deleted")?;
        let gone = manager.payload(secret, request()).await.map(drop);
        assert_eq!(gone, Err(SecretError::NotFound(secret)));
    }
    Ok(())
}

async fn the_readers_are_who_was_named_last_and_we_ourselves(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let owner = cloud.create_owner().await?;
    let manager = key_manager(cloud, &cinder)?;
    let secret = manager.store(&name("1"), &key(), request()).await?;
    for (readers, status) in [
        (vec![], 403),
        (vec![&*owner.user_id], 200),
        (vec!["another user"], 403),
        (vec!["another user", &owner.user_id], 200),
    ] {
        let readers: Readers = readers.into_iter().map(UserId::from).collect();
        manager.set_readers(secret, &readers, request()).await?;
        assert_eq!(reads(cloud, &owner, secret).await?, status, "{readers:?}");
        assert!(key().equals(&manager.payload(secret, request()).await?));
    }
    Ok(())
}

async fn readers_are_added_and_whatever_else_the_acl_says_stays(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let colleague = cloud
        .create_colleague(&cinder, &[&cloud.storing_role()])
        .await?;
    let caller = Caller::new(cloud, &cinder).await?;
    let owner = cloud.create_owner().await?;
    let manager = key_manager(cloud, &cinder)?;
    let readers = |users: &[&str]| users.iter().map(|user| UserId::from(*user)).collect();
    // An ACL that was never set; one that keeps colleagues out; another's secret.
    for (author, acl) in [
        (&cinder, None),
        (&cinder, Some(json!({ "project-access": false }))),
        (&colleague, Some(json!({ "users": ["another user"] }))),
    ] {
        let secret = key_manager(cloud, author)?
            .store(&name("1"), &key(), request())
            .await?;
        let path = format!("{}/acl", path(secret));
        if let Some(read) = &acl {
            let acl = json!({ "read": read });
            assert_eq!(caller.send(Method::PUT, &path, &acl).await?.status, 200);
        }
        let before = caller.get(&path).await?.json()?;
        let already = manager.readers(secret, request()).await?;
        assert_eq!(reads(cloud, &owner, secret).await?, 403);

        let users: Readers = readers(&[&owner.user_id, "a third"]);
        manager.let_read(secret, &users, request()).await?;
        let all: Readers = already.iter().chain(users.iter()).cloned().collect();
        assert_eq!(manager.readers(secret, request()).await?, all);
        assert_eq!(reads(cloud, &owner, secret).await?, 200);
        let after = caller.get(&path).await?.json()?;
        let access = |acl: &serde_json::Value| acl["read"]["project-access"].clone();
        assert_eq!(access(&after), access(&before));

        manager.let_read(secret, &users, request()).await?;
        assert_eq!(caller.get(&path).await?.json()?, after, "nothing to write");
        manager
            .let_read(secret, &readers(&["a fourth"]), request())
            .await?;
        assert_eq!(reads(cloud, &owner, secret).await?, 200);
    }
    Ok(())
}

async fn a_secret_is_described_whoever_stored_it(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let colleague = cloud
        .create_colleague(&cinder, &[&cloud.storing_role()])
        .await?;
    let manager = key_manager(cloud, &cinder)?;
    let ours = manager.store(&name("1"), &key(), request()).await?;
    let theirs = Caller::new(cloud, &colleague).await?;
    let nameless = json!({ "secret_type": "opaque" });
    let nameless = theirs.post(&nameless).await?.json()?;
    let nameless = nameless["secret_ref"].as_str().context("a secret_ref")?;
    let nameless: SecretId = nameless.rsplit('/').next().unwrap_or_default().parse()?;
    for (secret, name, created_by_us) in [(ours, name("1").as_str(), true), (nameless, "", false)] {
        let described = manager.describe(secret, request()).await?;
        assert_eq!((described.id, &*described.name), (secret, name));
        assert_eq!(
            (described.active, described.created_by_us),
            (true, created_by_us)
        );
        assert!(described.age.as_secs() < 3600, "{described:?}");
    }
    Ok(())
}

async fn who_registered_as_using_a_secret_is_counted(cloud: &impl Testbed) -> Result<()> {
    let Anybody {
        user: cinder,
        token,
    } = cloud.anybody().await?;
    let caller = Caller::with_token(cloud, Some(token));
    let manager = key_manager(cloud, &cinder)?;
    let secret = manager.store(&name("1"), &key(), request()).await?;
    assert_eq!(manager.consumers(secret, request()).await?, 0);
    for (count, id) in [(1, "7b"), (2, "8c")] {
        let volume = json!({ "service": "cinder", "resource_type": "volume", "resource_id": id });
        let consumers = format!("{}/consumers", path(secret));
        caller.send(Method::POST, &consumers, &volume).await?;
        assert_eq!(manager.consumers(secret, request()).await?, count);
    }
    manager.delete(secret, request()).await?;
    assert_eq!(manager.consumers(secret, request()).await?, 0);
    Ok(())
}

async fn a_missing_role_is_told_with_the_role_that_would_help(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    let manager = key_manager(cloud, &cinder)?;
    let fault = refused(manager.store(&name("1"), &key(), request()).await)?;
    assert_eq!(fault.reason, Reason::RoleMissing);
    let (member, creator) = (role_add(&cinder, "member"), role_add(&cinder, "creator"));
    let either = format!(
        "{member} (Barbican 18.0.0 and later, as shipped), or {creator} (before that, or with \
         [oslo_policy] enforce_new_defaults = false in barbican.conf)"
    );
    assert_eq!(read(&fault), (NOT_ALLOWED, &*either));

    cloud.grant(&cinder, cloud.world().useless_role()).await?;
    let fault = refused(manager.store(&name("1"), &key(), request()).await)?;
    assert_eq!(fault.reason, Reason::RoleMissing);
    assert_eq!(
        read(&fault),
        (NOT_ALLOWED, &*role_add(&cinder, &cloud.storing_role()))
    );

    cloud.grant(&cinder, &cloud.storing_role()).await?;
    manager.store(&name("1"), &key(), request()).await?;

    cloud.revoke(&cinder, cloud.world().useless_role()).await?;
    let manager = key_manager(cloud, &cinder)?;
    let secret = manager.store(&name("1"), &key(), request()).await?;
    cloud.revoke(&cinder, &cloud.storing_role()).await?;
    let manager = key_manager(cloud, &cinder)?;
    let fault = refused(manager.store(&name("1"), &key(), request()).await)?;
    assert_eq!(read(&fault), (NOT_ALLOWED, &*either));
    for outcome in [
        manager.delete(secret, request()).await,
        manager
            .set_readers(secret, &Readers::default(), request())
            .await,
        manager.payload(secret, request()).await.map(drop),
        manager.readers(secret, request()).await.map(drop),
        manager.describe(secret, request()).await.map(drop),
    ] {
        let SecretError::Forbidden(fault) = outcome.expect_err("without a role") else {
            anyhow::bail!("a matter of what we may");
        };
        assert_eq!(fault.reason, Reason::RoleMissing, "{fault}");
    }
    Ok(())
}

fn role_add(user: &User, role: &str) -> String {
    let domain = &user.user_domain_name;
    format!(
        "openstack role add --user cinder --user-domain {domain} --project service \
         --project-domain {domain} {role}"
    )
}

async fn a_quota_that_is_reached_is_a_reason_of_its_own(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    cloud.limit_secrets(&cinder, 1).await?;
    let manager = key_manager(cloud, &cinder)?;
    let secret = manager.store(&name("1"), &key(), request()).await?;
    let fault = refused(manager.store(&name("2"), &key(), request()).await)?;
    assert_eq!(fault.reason, Reason::QuotaReached);
    assert_eq!(
        fault.message,
        "Forbidden: Secret creation issue seen - Creation not allowed because a quota has been \
         reached."
    );
    assert!(
        fault.remedy.contains(&cinder.project_id),
        "{}",
        fault.remedy
    );
    manager.delete(secret, request()).await?;
    manager.store(&name("2"), &key(), request()).await?;
    Ok(())
}

async fn a_key_that_barbican_does_not_take_is_a_fault_of_the_configuration(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let manager = key_manager(cloud, &cinder)?;
    // The first has too many bits, the second too many bytes.
    for (bytes, description) in [
        (4_096, "32768 is greater than the maximum of 32767"),
        (15_003, "is greater than the maximum of 32767"),
    ] {
        let key = FixedKey::from_hex(&"ab".repeat(bytes))?;
        let fault = refused(manager.store(&name("1"), &key, request()).await)?;
        assert_eq!(fault.reason, Reason::Configuration, "{fault}");
        assert!(fault.message.starts_with("Bad Request: "), "{fault}");
        assert!(fault.message.contains(description), "{fault}");
    }
    Ok(())
}

async fn a_secret_of_another_project_is_refused_and_one_that_is_not_there_is_not_found(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let stranger = cloud.anybody().await?.user;
    let secret = key_manager(cloud, &stranger)?
        .store(&name("1"), &key(), request())
        .await?;
    let manager = key_manager(cloud, &cinder)?;
    let absent = SecretId::new(uuid::Uuid::new_v4()).context("not nil")?;
    let readers = Readers::default();
    for outcome in [
        manager.payload(absent, request()).await.map(drop),
        manager.set_readers(absent, &readers, request()).await,
        manager.let_read(absent, &readers, request()).await,
        manager.readers(absent, request()).await.map(drop),
        manager.describe(absent, request()).await.map(drop),
    ] {
        assert_eq!(
            outcome.expect_err("there is none"),
            SecretError::NotFound(absent)
        );
    }
    for outcome in [
        manager.payload(secret, request()).await.map(drop),
        manager.set_readers(secret, &readers, request()).await,
        manager.let_read(secret, &readers, request()).await,
        manager.readers(secret, request()).await.map(drop),
        manager.describe(secret, request()).await.map(drop),
        manager.delete(secret, request()).await,
    ] {
        let SecretError::Forbidden(fault) = outcome.expect_err("another project's") else {
            anyhow::bail!("what Barbican words like a missing role");
        };
        assert_eq!(fault.reason, Reason::RoleMissing, "{fault}");
    }
    assert_eq!(reads(cloud, &stranger, secret).await?, 200);
    Ok(())
}

fn refused(outcome: Result<SecretId, StoreError>) -> Result<Fault> {
    match outcome {
        Err(StoreError::NotStored(fault)) => Ok(fault),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

/// Whether this user reads the payload, as a status.
async fn reads(cloud: &impl Testbed, user: &User, secret: SecretId) -> Result<u16> {
    let caller = Caller::new(cloud, user).await?;
    let payload = caller.request(Method::GET, &format!("{}/payload", path(secret)));
    Ok(
        Reply::to(payload.header(ACCEPT, "application/octet-stream"))
            .await?
            .status,
    )
}

fn path(secret: SecretId) -> String {
    format!("/v1/secrets/{secret}")
}

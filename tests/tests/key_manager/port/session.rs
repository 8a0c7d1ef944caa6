//! Signing in, and finding Barbican.

use std::sync::Arc;

use anyhow::Result;
use futures_util::future::join_all;
use key_migration::ports::KeyManager;
use key_migration::reasons::{Fault, Reason};
use key_migrator_tests::User;
use openstack_client::{
    BarbicanConfig, BarbicanKeyManager, Credentials, DomainRef, Interface, Operation, Outcome,
    ProjectRef, TokenScope, UserRef,
};

use super::{Counter, barbican, key, key_manager, keystone, name, request};
use crate::testbed::Testbed;

contract! {
    a_probe_needs_no_role_that_stores
    whoever_keystone_does_not_let_in_is_told_both_causes
    a_token_that_was_revoked_is_replaced_once_for_all_requests
    one_token_serves_for_everything
    names_and_ids_sign_in_alike
    barbican_is_found_by_region_and_interface
    an_endpoint_that_is_configured_goes_before_the_catalogue
    an_endpoint_that_is_not_there_is_a_fault_of_the_configuration
}

const UNAUTHORIZED: &str = "Keystone does not let us in: Unauthorized: The request you have made \
                            requires authentication.";

async fn a_probe_needs_no_role_that_stores(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    key_manager(cloud, &cinder)?.probe(request()).await?;
    cloud.grant(&cinder, &cloud.storing_role()).await?;
    key_manager(cloud, &cinder)?.probe(request()).await?;
    Ok(())
}

async fn whoever_keystone_does_not_let_in_is_told_both_causes(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    let wrong = User {
        password: "wrong".into(),
        ..cinder.clone()
    };
    let rejected = |fault: Fault| {
        let domain = &cinder.user_domain_name;
        assert_eq!(
            (fault.reason, &*fault.message),
            (Reason::KeystoneRejected, UNAUTHORIZED)
        );
        assert_eq!(
            fault.remedy,
            format!(
                "either the password is wrong, or the user has no role at all on the project: \
                 check [keystone_authtoken] username, user_domain_name, password, project_name, \
                 project_domain_name, or run: openstack role add --user cinder --user-domain \
                 {domain} --project service --project-domain {domain} member"
            )
        );
    };
    rejected(
        key_manager(cloud, &wrong)?
            .probe(request())
            .await
            .expect_err("a wrong password"),
    );
    cloud.revoke(&cinder, "service").await?;
    let manager = key_manager(cloud, &cinder)?;
    rejected(
        manager
            .probe(request())
            .await
            .expect_err("without any role"),
    );
    cloud.grant(&cinder, "service").await?;
    manager.probe(request()).await?;
    Ok(())
}

async fn a_token_that_was_revoked_is_replaced_once_for_all_requests(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let secret = key_manager(cloud, &cinder)?
        .store(&name("1"), &key(), request())
        .await?;
    let counter = Arc::new(Counter::default());
    let manager =
        BarbicanKeyManager::new(keystone(cloud, &cinder)?, barbican(cloud), counter.clone())?;
    // Barbican has not heard of this token yet, so it does not go by what it has heard.
    manager.session().token(request()).await?;
    cloud.renew_password(&cinder).await?;
    for read in join_all((0..10).map(|_| manager.payload(secret, request()))).await {
        assert!(key().equals(&read?));
    }
    assert!(counter.count(Operation::Payload, Outcome::Unauthorized) > 0);
    assert_eq!(counter.count(Operation::Payload, Outcome::Success), 10);
    assert_eq!(counter.count(Operation::SignIn, Outcome::Success), 2);
    Ok(())
}

async fn one_token_serves_for_everything(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let row = uuid::Uuid::new_v4().to_string();
    let counter = Arc::new(Counter::default());
    let manager =
        BarbicanKeyManager::new(keystone(cloud, &cinder)?, barbican(cloud), counter.clone())?;
    for probed in join_all((0..4).map(|_| manager.probe(request()))).await {
        probed?;
    }
    let secret = manager.store(&name(&row), &key(), request()).await?;
    manager
        .set_readers(
            secret,
            &["a reader".into()].into_iter().collect(),
            request(),
        )
        .await?;
    manager.payload(secret, request()).await?;
    manager.find(&name(&row), request()).await?;
    manager.delete(secret, request()).await?;
    assert_eq!(counter.count(Operation::SignIn, Outcome::Success), 1);
    for operation in [
        Operation::Store,
        Operation::SetReaders,
        Operation::Payload,
        Operation::Find,
        Operation::Delete,
    ] {
        assert_eq!(
            counter.count(operation, Outcome::Success),
            1,
            "{operation:?}"
        );
    }
    Ok(())
}

async fn names_and_ids_sign_in_alike(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let by_name = |name: &str, domain: DomainRef| (name.to_owned(), domain);
    let domain_id = DomainRef::Id(cinder.domain_id.clone());
    let (user, user_domain) = by_name(&cinder.username, domain_id.clone());
    let (project, project_domain) = by_name(&cinder.project_name, domain_id);
    for (user, project) in [
        (
            UserRef::Id(cinder.user_id.clone()),
            ProjectRef::Id(cinder.project_id.clone()),
        ),
        (
            UserRef::Name {
                name: user,
                domain: user_domain,
            },
            ProjectRef::Name {
                name: project,
                domain: project_domain,
            },
        ),
    ] {
        let mut config = keystone(cloud, &cinder)?;
        let Credentials::Password(credentials) = &mut config.credentials else {
            anyhow::bail!("a password");
        };
        credentials.user = user;
        credentials.scope = TokenScope::Project(project);
        let manager = BarbicanKeyManager::new(config, barbican(cloud), Arc::new(()))?;
        let token = manager.session().token(request()).await?;
        for (named, id, name) in [
            (token.user(), &cinder.user_id, &cinder.username),
            (token.project(), &cinder.project_id, &cinder.project_name),
        ] {
            assert_eq!((&named.id, &named.name), (id, name));
            assert_eq!(named.domain_id, cinder.domain_id);
            assert_eq!(named.domain_name, cinder.user_domain_name);
        }
        let mut roles = token.roles().to_vec();
        roles.sort_unstable();
        assert_eq!(roles, cloud.role_names_of_anybody());
    }
    Ok(())
}

async fn barbican_is_found_by_region_and_interface(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    for interface in [Interface::Public, Interface::Internal, Interface::Admin] {
        let config = BarbicanConfig {
            interface,
            ..barbican(cloud)
        };
        let manager = BarbicanKeyManager::new(keystone(cloud, &cinder)?, config, Arc::new(()))?;
        let secret = manager.store(&name("1"), &key(), request()).await?;
        manager.delete(secret, request()).await?;
    }
    Ok(())
}

async fn an_endpoint_that_is_configured_goes_before_the_catalogue(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    for path in ["", "/", "/v1", "/v1/"] {
        let endpoint = format!("{}{path}", cloud.barbican_endpoint());
        let config = BarbicanConfig {
            endpoint: Some(endpoint.parse()?),
            region_name: Some("Elsewhere".into()),
            ..barbican(cloud)
        };
        let manager = BarbicanKeyManager::new(keystone(cloud, &cinder)?, config, Arc::new(()))?;
        let secret = manager.store(&name("1"), &key(), request()).await?;
        manager.delete(secret, request()).await?;
    }
    Ok(())
}

async fn an_endpoint_that_is_not_there_is_a_fault_of_the_configuration(
    cloud: &impl Testbed,
) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let config = BarbicanConfig {
        region_name: Some("Elsewhere".into()),
        ..barbican(cloud)
    };
    let manager = BarbicanKeyManager::new(keystone(cloud, &cinder)?, config, Arc::new(()))?;
    let fault = manager.probe(request()).await.expect_err("no such region");
    assert_eq!(fault.reason, Reason::Configuration);
    assert!(
        fault.message.starts_with(
            "Keystone's catalogue has no public endpoint of service type key-manager in region \
             Elsewhere; it has "
        ),
        "{fault}"
    );
    assert!(
        fault.remedy.contains("barbican_region_name"),
        "{}",
        fault.remedy
    );

    let nowhere = format!("{}/nowhere", cloud.barbican_endpoint());
    let config = BarbicanConfig {
        endpoint: Some(nowhere.parse()?),
        ..barbican(cloud)
    };
    let manager = BarbicanKeyManager::new(keystone(cloud, &cinder)?, config, Arc::new(()))?;
    let fault = manager
        .probe(request())
        .await
        .expect_err("no Barbican there");
    assert_eq!(fault.reason, Reason::Configuration, "{fault}");
    assert!(
        fault.remedy.contains("barbican_endpoint"),
        "{}",
        fault.remedy
    );
    Ok(())
}

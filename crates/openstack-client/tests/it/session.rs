//! One token for everybody: how it is taken, renewed, refused.

use std::time::Duration;

use futures_util::future::join_all;
use key_migration::ports::{KeyManager, SecretError};
use key_migration::reasons::Reason;
use openstack_client::{Credentials, DomainRef, Interface, ProjectRef, TokenScope, UserRef};
use sandbox_cloud::{Cloud, Fault, Operation, Service};

use crate::Stage;
use crate::support::{PASSWORD, barbican, fixed_key, keystone, manager, name, request};

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn w14_a_token_is_kept_until_80_percent_of_its_life_and_then_renewed() {
    let stage = Stage::with_roles(&["member"]).await;
    let session = stage.manager.session();
    let first = session.token(request()).await.expect("a token");
    pass(Duration::from_secs(3600 * 79 / 100)).await;
    let second = session.token(request()).await.expect("a token");
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(stage.cloud.requests(Operation::Token), 1);
    pass(Duration::from_secs(3600 * 2 / 100)).await;
    let third = session.token(request()).await.expect("a token");
    assert!(!std::sync::Arc::ptr_eq(&first, &third));
    assert_eq!(stage.cloud.requests(Operation::Token), 2);
}

#[tokio::test]
async fn a_token_with_life_left_is_used_while_keystone_is_away_and_not_longer() {
    let stage = Stage::with_roles(&["member"]).await;
    let manager = &stage.manager;
    let secret = manager
        .store(&name("1"), &fixed_key(), request())
        .await
        .expect("stored");
    stage.cloud.stop(Service::Keystone).await;
    pass(Duration::from_secs(3600 * 85 / 100)).await;
    manager
        .payload(secret, request())
        .await
        .expect("read with the old token");
    pass(Duration::from_secs(3600 * 20 / 100)).await;
    let Err(SecretError::Fault(fault)) = manager.payload(secret, request()).await else {
        panic!("there is no token left");
    };
    assert_eq!(fault.reason, Reason::KeystoneUnreachable);
    assert!(
        fault.message.contains(&stage.cloud.keystone_url()),
        "{fault}"
    );
    stage
        .cloud
        .restart(Service::Keystone)
        .await
        .expect("its port");
    manager
        .payload(secret, request())
        .await
        .expect("a new token");
}

#[tokio::test]
async fn w14_however_many_requests_meet_a_rejected_token_one_of_them_signs_in() {
    let stage = Stage::with_roles(&["member"]).await;
    let secret = stage
        .manager
        .store(&name("1"), &fixed_key(), request())
        .await
        .expect("stored");
    stage.cloud.revoke_all_tokens();
    let reads = (0..20).map(|_| stage.manager.payload(secret, request()));
    for read in join_all(reads).await {
        assert!(fixed_key().equals(&read.expect("read with the new token")));
    }
    assert_eq!(stage.cloud.requests(Operation::Token), 2);
}

#[tokio::test]
async fn however_many_requests_wait_for_a_token_they_share_its_failure() {
    let stage = Stage::with_roles(&["member"]).await;
    stage
        .cloud
        .inject_until_cleared(Operation::Token, Fault::status_before(503));
    for token in join_all((0..20).map(|_| stage.manager.session().token(request()))).await {
        let fault = token.expect_err("Keystone fails");
        assert_eq!(fault.reason, Reason::KeystoneUnreachable);
        assert!(fault.message.contains("answered Fault: "), "{fault}");
    }
    assert_eq!(stage.cloud.requests(Operation::Token), 1);
    stage.cloud.clear_all_faults();
    stage
        .manager
        .probe(request())
        .await
        .expect("it goes on by itself");
}

#[tokio::test]
async fn a_new_token_that_barbican_rejects_too_is_a_fault_and_not_a_loop() {
    let stage = Stage::with_roles(&["member"]).await;
    stage
        .cloud
        .inject_until_cleared(Operation::ListSecrets, Fault::status_before(401));
    let fault = stage.manager.probe(request()).await.expect_err("rejected");
    assert_eq!(fault.reason, Reason::KeystoneRejected);
    assert_eq!(stage.cloud.requests(Operation::ListSecrets), 2);
    assert_eq!(stage.cloud.requests(Operation::Token), 2);
}

#[tokio::test]
async fn a_refusal_by_keystone_names_both_of_its_causes_and_the_options() {
    let stage = Stage::with_roles(&[]).await;
    stage.cloud.change_password(&stage.cinder.id, "another");
    let fault = stage
        .manager
        .probe(request())
        .await
        .expect_err("wrong password");
    assert_eq!(fault.reason, Reason::KeystoneRejected);
    assert_eq!(
        fault.message,
        "Keystone does not let us in: Unauthorized: The request you have made requires \
         authentication."
    );
    assert_eq!(
        fault.remedy,
        "either the password is wrong, or the user has no role at all on the project: check \
         [keystone_authtoken] username, user_domain_name, password, project_name, \
         project_domain_name, or run: openstack role add --user cinder --project service member"
    );
    stage.cloud.change_password(&stage.cinder.id, PASSWORD);
    stage.manager.probe(request()).await.expect("let in");
    stage
        .cloud
        .revoke_role(&stage.cinder.id, &stage.service.id, "service");
    stage.cloud.revoke_all_tokens();
    let fault = stage.manager.probe(request()).await.expect_err("no role");
    assert_eq!(fault.reason, Reason::KeystoneRejected);
}

#[tokio::test]
async fn users_and_projects_may_be_named_by_id() {
    let stage = Stage::with_roles(&["member"]).await;
    let mut config = keystone(&stage.cloud.keystone_url());
    let Credentials::Password(credentials) = &mut config.credentials else {
        panic!("a password");
    };
    credentials.user = UserRef::Id(stage.cinder.id.clone());
    credentials.scope = TokenScope::Project(ProjectRef::Id(stage.service.id.clone()));
    let manager = manager(config, barbican());
    let token = manager.session().token(request()).await.expect("a token");
    assert_eq!(token.user_id().as_str(), stage.cinder.id);
    assert_eq!(token.project().name, "service");
    assert_eq!(token.user().domain_name, "Default");
    assert!(token.roles().contains(&"member".to_owned()));
}

#[tokio::test]
async fn domains_may_be_named_by_id_and_auth_url_with_or_without_a_version() {
    let stage = Stage::with_roles(&["member"]).await;
    let with_version = stage.cloud.keystone_url();
    let without = with_version.strip_suffix("/v3").expect("/v3").to_owned();
    for auth_url in [
        format!("{with_version}/"),
        without.clone(),
        format!("{without}/"),
    ] {
        let mut config = keystone(&auth_url);
        let Credentials::Password(credentials) = &mut config.credentials else {
            panic!("a password");
        };
        credentials.user = UserRef::Name {
            name: "cinder".into(),
            domain: DomainRef::Id("default".into()),
        };
        let manager = manager(config, barbican());
        manager.probe(request()).await.expect(&auth_url);
    }
}

#[tokio::test]
async fn a_missing_endpoint_is_a_fault_of_the_configuration() {
    let stage = Stage::with_roles(&["member"]).await;
    let mut config = barbican();
    config.region_name = Some("Elsewhere".into());
    config.interface = Interface::Internal;
    let manager = manager(keystone(&stage.cloud.keystone_url()), config);
    let fault = manager.probe(request()).await.expect_err("no such region");
    assert_eq!(fault.reason, Reason::Configuration);
    assert!(
        fault.message.starts_with(
            "Keystone's catalogue has no internal endpoint of service type key-manager in region \
             Elsewhere; it has "
        ),
        "{fault}"
    );
    assert!(
        fault.remedy.contains("barbican_region_name"),
        "{}",
        fault.remedy
    );
}

#[tokio::test]
async fn an_endpoint_of_the_configuration_goes_before_the_catalogue() {
    let one = Stage::with_roles(&["member"]).await;
    let other = Cloud::builder().start().await.expect("a cloud");
    for slash in ["", "/", "/v1", "/v1/"] {
        let mut config = barbican();
        config.region_name = Some("Elsewhere".into());
        config.endpoint = Some(
            format!("{}{slash}", one.cloud.barbican_url())
                .parse()
                .expect("URL"),
        );
        let manager = manager(keystone(&one.cloud.keystone_url()), config);
        manager.probe(request()).await.expect(slash);
    }
    assert_eq!(one.cloud.requests(Operation::ListSecrets), 4);
    assert_eq!(other.requests(Operation::ListSecrets), 0);
}

#[tokio::test]
async fn every_request_carries_the_request_id_of_its_key() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = request();
    stage
        .manager
        .store(&name("1"), &fixed_key(), id)
        .await
        .expect("stored");
    let log = stage.cloud.request_log();
    assert_eq!(log.len(), 2);
    for logged in log {
        assert_eq!(
            logged.global_request_id,
            Some(id.to_string()),
            "{}",
            logged.target
        );
    }
}

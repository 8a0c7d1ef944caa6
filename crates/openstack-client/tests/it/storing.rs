//! Storing a key: after anything that went wrong, is it known whether it was stored?

use std::time::Duration;

use key_migration::ports::{KeyManager, SecretError, StoreError};
use key_migration::reasons::{Fault, Reason};
use openstack_client::Timeouts;
use sandbox_cloud::{Cloud, Fault as Failure, Operation, Reply, RoleWorld, Service, When};

use crate::Stage;
use crate::support::{KEY, barbican, fixed_key, keystone, manager, name, refusal, request};

impl Stage {
    async fn store(&self) -> Result<key_migration::ids::SecretId, StoreError> {
        self.manager
            .store(&name("7b"), &fixed_key(), request())
            .await
    }

    async fn fault(&self) -> Fault {
        match self.store().await {
            Err(StoreError::NotStored(fault)) => fault,
            other => panic!("certainly not stored, but {other:?}"),
        }
    }
}

fn answer(status: u16, body: String) -> Failure {
    Failure::Answer(
        When::BeforeEffect,
        Reply {
            body,
            ..Reply::status(status)
        },
    )
}

#[tokio::test]
async fn a_key_is_stored_under_its_name_for_whoever_signed_in() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stage.store().await.expect("stored");
    let [secret] = &stage.cloud.secrets()[..] else {
        panic!("one secret");
    };
    assert_eq!(secret.secret_id.to_string(), id.to_string());
    assert_eq!(
        secret.name.as_deref(),
        Some("cinder-key-migrator:v1:volume:7b")
    );
    assert_eq!(secret.algorithm.as_deref(), Some("AES"));
    assert_eq!(secret.bit_length, Some(256));
    assert_eq!(secret.secret_type, "symmetric");
    assert_eq!(secret.creator_id, stage.cinder.id);
    assert_eq!(secret.payload(), Some(fixed_key().expose()));
}

#[tokio::test]
async fn of_a_reference_only_the_uuid_is_taken() {
    let builder = Cloud::builder().host_href("http://localhost:9311");
    let stage = Stage::on(builder, &["member"]).await;
    let id = stage.store().await.expect("stored");
    stage
        .manager
        .payload(id, request())
        .await
        .expect("read from where Barbican is");
}

#[tokio::test]
async fn the_remedy_for_a_missing_role_follows_from_the_roles_held() {
    let add = "openstack role add --user cinder --project service";
    for (world, held, remedy) in [
        (RoleWorld::Member, "creator", format!("{add} member")),
        (RoleWorld::Creator, "member", format!("{add} creator")),
        (
            RoleWorld::Member,
            "reader",
            format!(
                "{add} member (Barbican 18.0.0 and later, as shipped), or {add} creator (before \
                 that, or with [oslo_policy] enforce_new_defaults = false in barbican.conf)"
            ),
        ),
    ] {
        let stage = Stage::on(Cloud::builder().role_world(world), &[held]).await;
        let fault = stage.fault().await;
        assert_eq!(fault.reason, Reason::RoleMissing);
        assert_eq!(
            fault.message,
            "Forbidden: Secret creation attempt not allowed - please review your user/project \
             privileges"
        );
        assert_eq!(fault.remedy, remedy, "{world:?} with {held}");
    }
}

#[tokio::test]
async fn with_both_roles_the_policy_itself_is_to_be_looked_at() {
    let stage = Stage::with_roles(&["member", "creator"]).await;
    let body = refusal(403, "Forbidden", "Secret creation attempt not allowed");
    stage
        .cloud
        .inject(Operation::PostSecret, answer(403, body.to_string()), 1);
    let fault = stage.fault().await;
    assert_eq!(fault.reason, Reason::RoleMissing);
    assert!(fault.remedy.contains("secrets:post"), "{}", fault.remedy);
    assert!(!fault.remedy.contains("role add"), "{}", fault.remedy);
}

#[tokio::test]
async fn the_remedy_names_domains_that_are_not_the_default_one() {
    let cloud = Cloud::builder().start().await.expect("a cloud");
    let domain = cloud.create_domain("Heat Stack");
    let service = cloud.create_project_in(&domain, "service");
    let cinder = cloud.create_user("cinder", crate::support::PASSWORD);
    cloud.grant_role(&cinder.id, &service.id, "creator");
    let mut config = keystone(&cloud.keystone_url());
    let openstack_client::Credentials::Password(credentials) = &mut config.credentials else {
        panic!("a password");
    };
    let project = openstack_client::ProjectRef::Id(service.id.clone());
    credentials.scope = openstack_client::TokenScope::Project(project);
    let manager = manager(config, barbican());
    let Err(StoreError::NotStored(fault)) =
        manager.store(&name("1"), &fixed_key(), request()).await
    else {
        panic!("refused");
    };
    assert_eq!(
        fault.remedy,
        "openstack role add --user cinder --project service --project-domain 'Heat Stack' member"
    );
}

#[tokio::test]
async fn a_role_that_is_granted_is_seen_by_the_next_request() {
    let stage = Stage::with_roles(&[]).await;
    assert_eq!(stage.fault().await.reason, Reason::RoleMissing);
    stage
        .cloud
        .grant_role(&stage.cinder.id, &stage.service.id, "member");
    stage.store().await.expect("stored with a new token");
    assert_eq!(stage.cloud.requests(Operation::Token), 2);
}

#[tokio::test]
async fn a_quota_that_is_reached_is_no_missing_role() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.cloud.set_secrets_quota(&stage.service.id, Some(0));
    let fault = stage.fault().await;
    assert_eq!(fault.reason, Reason::QuotaReached);
    assert!(
        fault.message.contains("a quota has been reached"),
        "{fault}"
    );
    assert!(fault.remedy.contains(&stage.service.id), "{}", fault.remedy);
    stage.cloud.set_secrets_quota(&stage.service.id, None);
    stage.store().await.expect("stored");
    assert_eq!(stage.cloud.requests(Operation::Token), 1);
}

#[tokio::test]
async fn what_barbican_refuses_about_a_key_is_a_fault_of_the_configuration() {
    for status in [400, 413, 415, 422] {
        let stage = Stage::with_roles(&["member"]).await;
        stage
            .cloud
            .inject(Operation::PostSecret, Failure::status_before(status), 1);
        let fault = stage.fault().await;
        assert_eq!(fault.reason, Reason::Configuration, "{status}");
        assert_eq!(fault.message, "Fault: This fault was asked for.");
        assert!(stage.cloud.secrets().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_that_quotes_the_key_is_not_passed_on() {
    let stage = Stage::with_roles(&["member"]).await;
    let base64 = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
    let body = refusal(400, "Bad Request", &format!("'{base64}' is too long"));
    stage
        .cloud
        .inject(Operation::PostSecret, answer(400, body.to_string()), 1);
    let fault = stage.fault().await;
    assert!(!format!("{fault:?}").contains(&base64[..8]), "{fault:?}");
}

#[tokio::test]
async fn a_403_from_a_proxy_is_neither_role_nor_quota() {
    let stage = Stage::with_roles(&["member"]).await;
    let page = "<html><h1>403 Forbidden</h1></html>".to_owned();
    stage
        .cloud
        .inject(Operation::PostSecret, answer(403, page), 1);
    assert_eq!(stage.fault().await.reason, Reason::BarbicanFailing);
}

#[tokio::test]
async fn w16_a_failure_after_the_request_was_sent_leaves_its_outcome_unknown() {
    for failure in [
        Failure::status_before(500),
        Failure::status_after(500),
        Failure::status_before(503),
        Failure::status_before(429),
        Failure::status_before(502),
        Failure::status_after(504),
        Failure::status_after(303),
        Failure::drop_before(),
        Failure::drop_after(),
        Failure::TruncatedBody,
        Failure::MalformedBody,
        Failure::HugeBody(2 * 1024 * 1024),
    ] {
        let stage = Stage::with_roles(&["member"]).await;
        stage
            .cloud
            .inject(Operation::PostSecret, failure.clone(), 1);
        let stored = stage.store().await;
        assert!(
            matches!(stored, Err(StoreError::OutcomeUnknown(_))),
            "{failure:?}: {stored:?}"
        );
        assert_eq!(
            stage.cloud.requests(Operation::PostSecret),
            1,
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.manager.probe(request()).await.expect("signed in");
    let mut config = barbican();
    config.timeouts = Timeouts {
        total: Duration::from_millis(200),
        ..config.timeouts
    };
    let impatient = openstack_client::BarbicanKeyManager::with_session(
        std::sync::Arc::clone(stage.manager.session()),
        config,
        std::sync::Arc::new(()),
    )
    .expect("a configuration");
    let gate = sandbox_cloud::Gate::default();
    stage.cloud.inject(
        Operation::PostSecret,
        Failure::Hold(When::AfterEffect, gate.clone()),
        1,
    );
    let stored = impatient.store(&name("1"), &fixed_key(), request()).await;
    gate.open();
    assert!(
        matches!(stored, Err(StoreError::OutcomeUnknown(_))),
        "{stored:?}"
    );
    assert_eq!(stage.cloud.secrets().len(), 1);
}

#[tokio::test]
async fn w16_without_a_connection_nothing_was_stored() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.manager.probe(request()).await.expect("signed in");
    stage.cloud.stop(Service::Barbican).await;
    let fault = stage.fault().await;
    assert_eq!(fault.reason, Reason::BarbicanUnreachable);
    assert!(
        fault.message.contains(&stage.cloud.barbican_url()),
        "{fault}"
    );
    stage
        .cloud
        .restart(Service::Barbican)
        .await
        .expect("its port");
    stage.store().await.expect("stored");
}

#[tokio::test]
async fn a_401_is_answered_before_anything_is_stored_so_the_key_is_sent_again() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.store().await.expect("stored");
    stage.cloud.revoke_all_tokens();
    stage.store().await.expect("stored");
    assert_eq!(stage.cloud.secrets().len(), 2);
    assert_eq!(stage.cloud.requests(Operation::PostSecret), 3);
}

#[tokio::test]
async fn nothing_of_the_key_is_in_an_error() {
    let stage = Stage::with_roles(&["member"]).await;
    stage
        .cloud
        .inject(Operation::PostSecret, Failure::MalformedBody, 1);
    let error = stage.store().await.expect_err("malformed");
    let text = format!("{error} {error:?} {:?}", stage.manager);
    for part in [&KEY[..8], "ABEiM0RV", crate::support::PASSWORD] {
        assert!(!text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_role_that_is_taken_away_shows_in_the_acl_too() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stage.store().await.expect("stored");
    stage
        .cloud
        .revoke_role(&stage.cinder.id, &stage.service.id, "member");
    stage.cloud.revoke_all_tokens();
    let readers = ["reader".into()].into_iter().collect();
    let Err(SecretError::Forbidden(fault)) =
        stage.manager.set_readers(id, &readers, request()).await
    else {
        panic!("refused");
    };
    assert_eq!(fault.reason, Reason::RoleMissing);
}

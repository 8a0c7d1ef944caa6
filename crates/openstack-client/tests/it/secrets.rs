//! What is done with one stored secret.

use key_migration::ids::SecretId;
use key_migration::ports::{KeyManager, SecretError};
use key_migration::reasons::Reason;
use key_migration::rows::Readers;
use sandbox_cloud::{Fault as Failure, Operation, Reply, Service, When};

use crate::Stage;
use crate::support::{SECRET, fixed_key, name, request};

fn unknown() -> SecretId {
    SECRET.parse().expect("a UUID")
}

async fn stored(stage: &Stage) -> SecretId {
    stage
        .manager
        .store(&name("7b"), &fixed_key(), request())
        .await
        .expect("stored")
}

fn readers(users: &[&str]) -> Readers {
    users.iter().map(|user| (*user).into()).collect()
}

#[tokio::test]
async fn the_readers_are_replaced_and_project_access_stays_on() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    for users in [&["alice", "bob"][..], &["carol"]] {
        stage
            .manager
            .set_readers(id, &readers(users), request())
            .await
            .expect("set");
        let secrets = stage.cloud.secrets();
        let acl = secrets[0].acl.as_ref().expect("an ACL");
        assert_eq!(acl.users, users);
        assert!(acl.project_access);
    }
}

#[tokio::test]
async fn a_payload_reads_back_byte_for_byte() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let payload = stage.manager.payload(id, request()).await.expect("read");
    assert!(fixed_key().equals(&payload));
    let uuid = stage.cloud.secrets()[0].secret_id;
    stage.cloud.replace_payload(uuid, b"something else");
    let payload = stage.manager.payload(id, request()).await.expect("read");
    assert!(!fixed_key().equals(&payload));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_not_found_and_counts_as_deleted() {
    let stage = Stage::with_roles(&["member"]).await;
    let manager = &stage.manager;
    assert_eq!(
        manager.payload(unknown(), request()).await.err(),
        Some(SecretError::NotFound(unknown()))
    );
    assert_eq!(
        manager
            .set_readers(unknown(), &readers(&["a"]), request())
            .await,
        Err(SecretError::NotFound(unknown()))
    );
    assert_eq!(manager.delete(unknown(), request()).await, Ok(()));
    let id = stored(&stage).await;
    assert_eq!(manager.delete(id, request()).await, Ok(()));
    assert!(stage.cloud.secrets().is_empty());
    assert_eq!(manager.delete(id, request()).await, Ok(()));
}

#[tokio::test]
async fn a_404_that_barbican_did_not_say_does_not_count_as_deleted() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let reply = Reply {
        body: "<html>not found</html>".into(),
        ..Reply::status(404)
    };
    stage.cloud.inject(
        Operation::DeleteSecret,
        Failure::Answer(When::BeforeEffect, reply),
        1,
    );
    let Err(SecretError::Fault(fault)) = stage.manager.delete(id, request()).await else {
        panic!("that was not Barbican");
    };
    assert_eq!(fault.reason, Reason::Configuration);
    assert_eq!(stage.cloud.secrets().len(), 1);
}

#[tokio::test]
async fn failures_may_be_repeated_and_refusals_may_not() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let users = readers(&["alice"]);
    for failure in [
        Failure::status_before(500),
        Failure::status_after(503),
        Failure::status_before(429),
        Failure::drop_after(),
        Failure::TruncatedBody,
    ] {
        stage.cloud.inject(Operation::PutAcl, failure.clone(), 1);
        let set = stage.manager.set_readers(id, &users, request()).await;
        assert!(
            matches!(set, Err(SecretError::Failed(_))),
            "{failure:?}: {set:?}"
        );
    }
    for status in [400, 413] {
        stage
            .cloud
            .inject(Operation::PutAcl, Failure::status_before(status), 1);
        let set = stage.manager.set_readers(id, &users, request()).await;
        assert_eq!(
            set,
            Err(SecretError::Refused(
                "Fault: This fault was asked for.".into()
            )),
            "{status}"
        );
    }
    stage.cloud.stop(Service::Barbican).await;
    let Err(SecretError::Fault(fault)) = stage.manager.set_readers(id, &users, request()).await
    else {
        panic!("nobody answers");
    };
    assert_eq!(fault.reason, Reason::BarbicanUnreachable);
}

#[tokio::test]
async fn a_foreign_secret_that_may_not_be_read_does_not_cost_the_token() {
    let stage = Stage::with_roles(&["member"]).await;
    let other = stage.cloud.create_project("other");
    let uuid = stage
        .cloud
        .plant_secret(&other.id, "alice", None, b"sixteen bytes ok");
    let id = SecretId::new(uuid).expect("an ID");
    for _ in 0..2 {
        let Err(SecretError::Fault(fault)) = stage.manager.payload(id, request()).await else {
            panic!("refused");
        };
        assert_eq!(fault.reason, Reason::RoleMissing);
    }
    assert_eq!(stage.cloud.requests(Operation::Token), 1);
}

#[tokio::test]
async fn a_payload_that_is_too_long_is_an_error_of_that_call() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    stage.cloud.inject(
        Operation::GetPayload,
        Failure::HugeBody(64 * 1024 * 1024),
        1,
    );
    let payload = stage.manager.payload(id, request()).await;
    assert!(matches!(payload, Err(SecretError::Failed(_))));
    stage.manager.payload(id, request()).await.expect("read");
}

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
async fn readers_are_added_and_what_was_set_before_stays() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let manager = &stage.manager;
    let shown = async || manager.readers(id, request()).await.expect("shown");
    assert_eq!(shown().await, readers(&[]));

    let add = async |users| manager.let_read(id, &readers(users), request()).await;
    add(&["bob"]).await.expect("added where there was no ACL");
    add(&["alice", "bob"]).await.expect("added");
    assert_eq!(shown().await, readers(&["alice", "bob"]));
    let written = stage.cloud.requests(Operation::PutAcl);
    add(&["bob"]).await.expect("there already");
    add(&[]).await.expect("nobody");
    assert_eq!(stage.cloud.requests(Operation::PutAcl), written);
    let secrets = stage.cloud.secrets();
    assert!(secrets[0].acl.as_ref().expect("an ACL").project_access);
}

#[tokio::test]
async fn a_secret_is_described_as_a_listing_shows_it() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let manager = &stage.manager;
    let described = manager.describe(id, request()).await.expect("described");
    let found = manager.find(&name("7b"), request()).await.expect("found");
    assert_eq!((described.id, &*described.name), (id, name("7b").as_str()));
    assert!(described.is_ours());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id, &found[0].name, found[0].is_ours()),
        (id, &described.name, true)
    );

    let uuid = stage
        .cloud
        .plant_secret(&stage.service.id, "alice", None, b"sixteen bytes ok");
    let nameless = SecretId::new(uuid).expect("an ID");
    let described = manager.describe(nameless, request()).await.expect("shown");
    assert_eq!((described.name.as_str(), described.is_ours()), ("", false));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_a_failure_and_nothing_is_written_after_it() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let manager = &stage.manager;
    let odd = |operation| stage.cloud.inject(operation, Failure::MalformedBody, 1);
    odd(Operation::GetSecret);
    let described = manager.describe(id, request()).await;
    assert!(
        matches!(described, Err(SecretError::Failed(_))),
        "{described:?}"
    );
    odd(Operation::GetAcl);
    let added = manager.let_read(id, &readers(&["a"]), request()).await;
    assert!(matches!(added, Err(SecretError::Failed(_))), "{added:?}");
    assert_eq!(stage.cloud.requests(Operation::PutAcl), 0);
}

#[tokio::test]
async fn a_foreign_secret_that_is_not_ours_to_use_does_not_cost_the_token() {
    let stage = Stage::with_roles(&["member"]).await;
    let other = stage.cloud.create_project("other");
    let uuid = stage
        .cloud
        .plant_secret(&other.id, "alice", None, b"sixteen bytes ok");
    let id = SecretId::new(uuid).expect("an ID");
    let manager = &stage.manager;
    for outcome in [
        manager.payload(id, request()).await.map(drop),
        manager.payload(id, request()).await.map(drop),
        manager.describe(id, request()).await.map(drop),
        manager.readers(id, request()).await.map(drop),
        manager.let_read(id, &readers(&["a"]), request()).await,
    ] {
        let Err(SecretError::Forbidden(fault)) = outcome else {
            panic!("forbidden, not {outcome:?}");
        };
        assert_eq!(fault.reason, Reason::RoleMissing);
    }
    assert_eq!(stage.cloud.requests(Operation::Token), 1);
}

#[tokio::test]
async fn a_403_of_something_before_barbican_is_no_matter_of_that_secret() {
    let stage = Stage::with_roles(&["member"]).await;
    let id = stored(&stage).await;
    let reply = Reply {
        body: "<html>forbidden</html>".into(),
        ..Reply::status(403)
    };
    let firewall = Failure::Answer(When::BeforeEffect, reply);
    stage.cloud.inject(Operation::GetPayload, firewall, 1);
    let Err(SecretError::Fault(fault)) = stage.manager.payload(id, request()).await else {
        panic!("that was not Barbican");
    };
    assert_eq!(fault.reason, Reason::BarbicanFailing);
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

//! Faults on demand do what they say, no more and no less.

use std::time::Duration;

use crate::common::{World, secret};
use reqwest::Method;
use sandbox_cloud::{Cloud, Fault, Gate, Operation, Service, When};
use serde_json::Value;

async fn world() -> (World, String) {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    (world, token)
}

#[tokio::test]
async fn a_status_before_the_effect_stores_nothing_and_one_after_it_stores() {
    let (world, token) = world().await;
    world
        .cloud
        .inject(Operation::PostSecret, Fault::status_before(503), 1);
    assert_eq!(world.post(&token, &secret("a")).await.status(), 503);
    assert_eq!(world.cloud.secrets().len(), 0);
    world
        .cloud
        .inject(Operation::PostSecret, Fault::status_after(500), 1);
    assert_eq!(world.post(&token, &secret("a")).await.status(), 500);
    assert_eq!(world.cloud.secrets().len(), 1);
    assert_eq!(world.post(&token, &secret("a")).await.status(), 201);
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer() {
    let (world, token) = world().await;
    for (fault, stored) in [(Fault::drop_before(), 0), (Fault::drop_after(), 1)] {
        world.cloud.inject(Operation::PostSecret, fault, 1);
        let request = world
            .barbican(Method::POST, "/v1/secrets", &token)
            .json(&secret("a"));
        assert!(request.send().await.is_err());
        assert_eq!(world.cloud.secrets().len(), stored);
    }
    assert_eq!(world.cloud.request_log().last().unwrap().status, None);
}

#[tokio::test]
async fn bodies_can_be_truncated_malformed_or_huge() {
    let (world, token) = world().await;
    world
        .cloud
        .inject(Operation::PostSecret, Fault::TruncatedBody, 1);
    let response = world.post(&token, &secret("a")).await;
    assert_eq!(response.status(), 201);
    assert!(response.bytes().await.is_err());
    world
        .cloud
        .inject(Operation::PostSecret, Fault::MalformedBody, 1);
    let response = world.post(&token, &secret("a")).await;
    assert_eq!(response.status(), 201);
    assert!(response.json::<Value>().await.is_err());
    world
        .cloud
        .inject(Operation::PostSecret, Fault::HugeBody(1 << 20), 1);
    let response = world.post(&token, &secret("a")).await;
    assert_eq!(response.bytes().await.unwrap().len(), 1 << 20);
    assert_eq!(world.cloud.secrets().len(), 3);
}

#[tokio::test]
async fn a_fault_strikes_as_often_as_it_was_asked_to() {
    let (world, token) = world().await;
    world
        .cloud
        .inject_after(Operation::ListSecrets, 1, Fault::status_before(503));
    let statuses = [200, 503, 200];
    for status in statuses {
        assert_eq!(
            world.fetch(Method::GET, "/v1/secrets", &token).await.0,
            status
        );
    }
    world
        .cloud
        .inject_until_cleared(Operation::ListSecrets, Fault::status_before(429));
    for _ in 0..3 {
        assert_eq!(world.fetch(Method::GET, "/v1/secrets", &token).await.0, 429);
    }
    world.cloud.clear_faults(Operation::ListSecrets);
    assert_eq!(world.fetch(Method::GET, "/v1/secrets", &token).await.0, 200);
}

#[tokio::test]
async fn a_gate_holds_requests_until_it_is_opened() {
    let (world, token) = world().await;
    let gate = Gate::default();
    let hold = Fault::Hold(When::AfterEffect, gate.clone());
    world.cloud.inject(Operation::PostSecret, hold, 2);
    let (first, second) = (secret("a"), secret("b"));
    let watch = async {
        gate.arrived(2).await;
        assert_eq!(world.cloud.secrets().len(), 2);
        assert_eq!(world.cloud.high_water(Some(Operation::PostSecret)), 2);
        gate.open();
    };
    let (one, two, ()) = tokio::join!(
        world.post(&token, &first),
        world.post(&token, &second),
        watch
    );
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (201, 201));
}

#[tokio::test]
async fn a_request_takes_effect_even_when_the_caller_has_gone() {
    let (world, token) = world().await;
    let gate = Gate::default();
    let hold = Fault::Hold(When::BeforeEffect, gate.clone());
    world.cloud.inject(Operation::PostSecret, hold, 1);
    let request = world
        .barbican(Method::POST, "/v1/secrets", &token)
        .json(&secret("a"));
    let call = tokio::spawn(request.send());
    gate.arrived(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    gate.open();
    world.cloud.idle().await;
    assert_eq!(world.cloud.secrets().len(), 1);
}

#[tokio::test]
async fn a_stopped_keystone_refuses_connections_and_comes_back_on_its_port() {
    let (world, token) = world().await;
    assert_eq!(world.fetch(Method::GET, "/v1/secrets", &token).await.0, 200);
    let unseen = world.token().await;
    world.cloud.stop(Service::Keystone).await;
    assert!(
        world
            .client
            .get(world.cloud.keystone_url())
            .send()
            .await
            .unwrap_err()
            .is_connect()
    );
    // Barbican goes on with what it has validated and has no answer to the rest.
    assert_eq!(world.fetch(Method::GET, "/v1/secrets", &token).await.0, 200);
    assert_eq!(
        world.fetch(Method::GET, "/v1/secrets", &unseen).await.0,
        503
    );
    world.cloud.restart(Service::Keystone).await.unwrap();
    assert_eq!(
        world
            .client
            .get(world.cloud.keystone_url())
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        world.fetch(Method::GET, "/v1/secrets", &unseen).await.0,
        200
    );
}

#[tokio::test]
async fn requests_are_counted_and_logged_with_their_ids() {
    let (world, token) = world().await;
    let mine = "req-00000000-0000-4000-8000-000000000001";
    let request = world.barbican(Method::GET, "/v1/secrets?limit=1", &token);
    let response = request
        .header("x-openstack-request-id", mine)
        .send()
        .await
        .unwrap();
    let theirs = response.headers()["x-openstack-request-id"]
        .to_str()
        .unwrap();
    world
        .cloud
        .wait_for_requests(Operation::ListSecrets, 1)
        .await;
    assert_eq!(world.cloud.requests(Operation::ListSecrets), 1);
    let log = world.cloud.request_log();
    let entry = log.last().unwrap();
    assert_eq!(entry.request_id, theirs);
    assert_eq!(entry.global_request_id.as_deref(), Some(mine));
    assert_eq!(entry.target, "GET /v1/secrets?limit=1");
    assert_eq!(entry.status, Some(200));
}

#[tokio::test]
async fn a_moved_clock_shows_in_created_and_in_the_date_header() {
    let (world, token) = world().await;
    let id = world.store(&token, "a").await.parse().unwrap();
    world.cloud.clock().advance(Duration::from_secs(7200));
    let old = world.cloud.secret(id).unwrap().created;
    let age = world.cloud.clock().now().duration_since(old);
    assert!(age.as_secs() >= 7200);
    let response = world
        .barbican(Method::GET, "/v1/secrets", &token)
        .send()
        .await
        .unwrap();
    let date = response.headers()["date"].to_str().unwrap();
    let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    assert!(date.duration_since(old).as_secs() >= 7200);
}

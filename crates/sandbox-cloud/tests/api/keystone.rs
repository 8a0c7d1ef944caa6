//! The emulated Keystone, by what keystone 30 answers.

use std::time::Duration;

use crate::common::{World, login_body};
use reqwest::Method;
use sandbox_cloud::Cloud;
use serde_json::{Value, json};

#[tokio::test]
async fn a_login_yields_a_token_with_roles_project_and_catalogue() {
    let world = World::start(Cloud::builder(), &["admin", "service"]).await;
    let response = world.login(&world.cinder, &world.service).await;
    assert_eq!(response.status(), 201);
    assert!(response.headers().contains_key("x-subject-token"));
    assert!(
        response.headers()["x-openstack-request-id"]
            .to_str()
            .unwrap()
            .starts_with("req-")
    );
    let body: Value = response.json().await.unwrap();
    let token = &body["token"];
    let roles: Vec<&str> = token["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["admin", "manager", "member", "reader", "service"]);
    assert_eq!(
        token["project"]["domain"],
        json!({"id": "default", "name": "Default"})
    );
    assert_eq!(token["user"]["id"], json!(world.cinder.id));
    let key_manager = &token["catalog"][1];
    assert_eq!(key_manager["type"], "key-manager");
    assert_eq!(key_manager["endpoints"].as_array().unwrap().len(), 3);
    assert_eq!(
        key_manager["endpoints"][0]["url"],
        json!(world.cloud.barbican_url())
    );
    assert_eq!(key_manager["endpoints"][0]["region"], "RegionOne");
}

#[tokio::test]
async fn a_wrong_password_and_a_user_without_a_role_get_the_same_401() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let stranger = world.cloud.create_user("stranger", "password");
    let url = format!("{}/auth/tokens", world.cloud.keystone_url());
    let wrong = login_body(&world.cinder, "wrong", &world.service);
    let wrong = world.client.post(&url).json(&wrong).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let expected = format!("Keystone uri=\"{}\"", world.cloud.keystone_url());
    assert_eq!(wrong.headers()["www-authenticate"], expected);
    let without = world.login(&stranger, &world.service).await;
    assert_eq!(without.status(), 401);
    let expected = json!({"error": {
        "code": 401,
        "message": "The request you have made requires authentication.",
        "title": "Unauthorized",
    }});
    assert_eq!(wrong.json::<Value>().await.unwrap(), expected);
    assert_eq!(without.json::<Value>().await.unwrap(), expected);
}

#[tokio::test]
async fn a_user_name_without_a_domain_is_a_bad_request() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let mut body = login_body(&world.cinder, "cinder's password", &world.service);
    body["auth"]["identity"]["password"]["user"]
        .as_object_mut()
        .unwrap()
        .remove("domain");
    let url = format!("{}/auth/tokens", world.cloud.keystone_url());
    let response = world.client.post(url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Expecting to find domain in user. "),
        "{message}"
    );
}

#[tokio::test]
async fn user_and_project_may_be_named_by_id_and_domain_id() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let url = format!("{}/auth/tokens", world.cloud.keystone_url());
    let mut body = login_body(&world.cinder, "cinder's password", &world.service);
    body["auth"]["scope"]["project"] = json!({"id": world.service.id});
    body["auth"]["identity"]["password"]["user"]["domain"] = json!({"id": "default"});
    assert_eq!(
        world
            .client
            .post(&url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    body["auth"]["identity"]["password"]["user"] =
        json!({"id": world.cinder.id, "password": "cinder's password"});
    assert_eq!(
        world
            .client
            .post(&url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
}

#[tokio::test]
async fn discovery_names_version_3() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let root = world.cloud.keystone_url().replace("/v3", "/");
    let response = world.client.get(root).send().await.unwrap();
    assert_eq!(response.status(), 300);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["versions"]["values"][0]["id"], "v3.14");
    let response = world
        .client
        .get(world.cloud.keystone_url())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["version"]["status"], "stable");
}

#[tokio::test]
async fn a_granted_role_is_seen_by_barbican_with_a_new_token_only() {
    let world = World::start(Cloud::builder(), &["service"]).await;
    let token = world.token().await;
    assert_eq!(
        world
            .post(&token, &crate::common::secret("a"))
            .await
            .status(),
        403
    );
    world
        .cloud
        .grant_role(&world.cinder.id, &world.service.id, "member");
    assert_eq!(
        world
            .post(&token, &crate::common::secret("a"))
            .await
            .status(),
        403
    );
    let renewed = world.token().await;
    assert_eq!(
        world
            .post(&renewed, &crate::common::secret("a"))
            .await
            .status(),
        201
    );
    world.cloud.clock().advance(Duration::from_secs(301));
    assert_eq!(
        world
            .post(&token, &crate::common::secret("a"))
            .await
            .status(),
        201
    );
}

#[tokio::test]
async fn a_token_ends_with_its_lifetime_or_when_it_is_revoked() {
    let builder = Cloud::builder().token_lifetime(Duration::from_secs(60));
    let world = World::start(builder, &["member"]).await;
    let token = world.token().await;
    let list = |token: String| async {
        let token = token;
        world.fetch(Method::GET, "/v1/secrets", &token).await.0
    };
    assert_eq!(list(token.clone()).await, 200);
    world.cloud.clock().advance(Duration::from_secs(61));
    assert_eq!(list(token).await, 401);
    let token = world.token().await;
    world.cloud.revoke_all_tokens();
    assert_eq!(list(token).await, 401);
}

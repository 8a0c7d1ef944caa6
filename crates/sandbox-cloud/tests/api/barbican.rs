//! The emulated Barbican, by what barbican 23 answers in both role worlds.

use crate::common::{PAYLOAD_BYTES, World, secret};
use reqwest::Method;
use sandbox_cloud::{Cloud, RoleWorld};
use serde_json::{Value, json};

const REFUSED: &str =
    "Secret creation attempt not allowed - please review your user/project privileges";

#[tokio::test]
async fn each_role_world_takes_its_own_role_and_refuses_the_other() {
    for (world, wanted, other) in [
        (RoleWorld::Member, "member", "creator"),
        (RoleWorld::Creator, "creator", "member"),
    ] {
        let granted = World::start(Cloud::builder().role_world(world), &[wanted]).await;
        let token = granted.token().await;
        assert_eq!(granted.post(&token, &secret("a")).await.status(), 201);
        let refused = World::start(Cloud::builder().role_world(world), &[other]).await;
        let token = refused.token().await;
        let response = refused.post(&token, &secret("a")).await;
        assert_eq!(response.status(), 403);
        let body: Value = response.json().await.unwrap();
        let expected = json!({"code": 403, "title": "Forbidden", "description": REFUSED});
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_stored_secret_can_be_shown_listed_read_and_deleted() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    let response = world.post(&token, &secret("a name")).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body, json!({"secret_ref": location}));
    let path = location.strip_prefix(&world.cloud.barbican_url()).unwrap();

    let (status, shown) = world.fetch(Method::GET, path, &token).await;
    assert_eq!(status, 200);
    assert_eq!(shown["name"], "a name");
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["creator_id"], json!(world.cinder.id));
    assert_eq!(
        shown["content_types"],
        json!({"default": "application/octet-stream"})
    );
    assert_eq!(shown["secret_ref"], json!(location));
    assert!(shown.get("consumers").is_none());
    let (status, list) = world.fetch(Method::GET, "/v1/secrets/", &token).await;
    assert_eq!((status, &list["total"]), (200, &json!(1)));
    assert_eq!(list["secrets"][0], shown);

    let read = world.barbican(Method::GET, &format!("{path}/payload"), &token);
    let read = read
        .header("accept", "application/octet-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(read.headers()["content-type"], "application/octet-stream");
    assert_eq!(read.bytes().await.unwrap().as_ref(), PAYLOAD_BYTES);
    let refused = world.barbican(Method::GET, &format!("{path}/payload"), &token);
    let refused = refused
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 406);

    let deleted = world
        .barbican(Method::DELETE, path, &token)
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), 204);
    let (status, body) = world.fetch(Method::GET, path, &token).await;
    let expected = json!({"code": 404, "title": "Not Found", "description": "Secret not found."});
    assert_eq!((status, body), (404, expected));
}

#[tokio::test]
async fn what_does_not_validate_is_refused_with_barbicans_words() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    let mismatch = "Provided object does not match schema 'Secret': ";
    let cases = [
        (
            json!({"bit_length": 0}),
            400,
            "0 is less than the minimum of 1",
        ),
        (
            json!({"bit_length": "256"}),
            400,
            "'256' is not of type 'integer'",
        ),
        (
            json!({"payload_content_encoding": "hex"}),
            400,
            "'hex' is not one of ['base64']",
        ),
        (
            json!({"payload_content_type": null}),
            400,
            "If 'payload' is supplied",
        ),
        (
            json!({"payload": ""}),
            400,
            "If 'payload' specified, must be non empty",
        ),
        (
            json!({"payload": "A"}),
            400,
            "Invalid payload for payload_content_encoding",
        ),
        (json!({"name": "n".repeat(256)}), 400, "' is too long"),
        (
            json!({"payload": "A".repeat(20_004)}),
            413,
            "Provided information too large to process",
        ),
        (
            json!({"payload": "A".repeat(26_000)}),
            400,
            "Malformed JSON",
        ),
    ];
    for (change, status, text) in cases {
        let mut body = secret("a");
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let response = world.post(&token, &body).await;
        assert_eq!(response.status(), status, "{text}");
        let body: Value = response.json().await.unwrap();
        let description = body["description"].as_str().unwrap();
        assert!(description.contains(text), "{description}");
        assert!(text == "Malformed JSON" || status == 413 || description.starts_with(mismatch));
    }
    let plain = world
        .barbican(Method::POST, "/v1/secrets", &token)
        .body("{}");
    assert_eq!(
        plain
            .header("content-type", "text/plain")
            .send()
            .await
            .unwrap()
            .status(),
        415
    );
    assert!(world.cloud.secrets().is_empty());
}

#[tokio::test]
async fn listing_pages_and_matches_names_as_sql_like_does() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    for number in 0..12 {
        world.store(&token, &format!("cinder-key:{number}")).await;
    }
    world.store(&token, "other").await;
    let path = "/v1/secrets?name=cinder-key%3A%25&limit=5&offset=5&sort=created:asc";
    let (_, page) = world.fetch(Method::GET, path, &token).await;
    assert_eq!(page["total"], 12);
    assert_eq!(page["secrets"].as_array().unwrap().len(), 5);
    assert!(
        page["next"]
            .as_str()
            .unwrap()
            .contains("limit=5&offset=10&name=")
    );
    assert!(
        page["previous"]
            .as_str()
            .unwrap()
            .contains("limit=5&offset=0&name=")
    );
    let (_, all) = world.fetch(Method::GET, "/v1/secrets", &token).await;
    assert_eq!(all["secrets"].as_array().unwrap().len(), 10);
    let (_, none) = world
        .fetch(Method::GET, "/v1/secrets?name=none", &token)
        .await;
    assert_eq!(none, json!({"secrets": [], "total": 0}));
    let (status, _) = world
        .fetch(Method::GET, "/v1/secrets?sort=nonsense", &token)
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn an_acl_lets_a_user_of_another_project_read_and_only_read() {
    for (role_world, role) in [
        (RoleWorld::Member, "member"),
        (RoleWorld::Creator, "creator"),
    ] {
        let world = World::start(Cloud::builder().role_world(role_world), &[role]).await;
        let token = world.token().await;
        let id = world.store(&token, "a").await;
        let tenant = world.cloud.create_project("tenant");
        let owner = world.cloud.create_user("owner", "password");
        world.cloud.grant_role(&owner.id, &tenant.id, "reader");
        let owner_token = world.token_of(&owner, &tenant).await;
        let payload = format!("/v1/secrets/{id}/payload");
        assert_eq!(
            world.fetch(Method::GET, &payload, &owner_token).await.0,
            403
        );

        let acl = format!("/v1/secrets/{id}/acl");
        let default = json!({"read": {"project-access": true}});
        assert_eq!(world.fetch(Method::GET, &acl, &token).await, (200, default));
        let put = world.barbican(Method::PUT, &acl, &token);
        let put = put.json(&json!({"read": {"users": [owner.id, owner.id]}}));
        let put = put.send().await.unwrap();
        assert_eq!(put.status(), 200);
        let expected = json!({"acl_ref": format!("{}{acl}", world.cloud.barbican_url())});
        assert_eq!(put.json::<Value>().await.unwrap(), expected);
        let (_, shown) = world.fetch(Method::GET, &acl, &token).await;
        assert_eq!(shown["read"]["users"], json!([owner.id]));
        assert_eq!(shown["read"]["project-access"], true);

        let read = world
            .barbican(Method::GET, &payload, &owner_token)
            .send()
            .await
            .unwrap();
        assert_eq!(read.bytes().await.unwrap().as_ref(), PAYLOAD_BYTES);
        let secret = format!("/v1/secrets/{id}");
        assert_eq!(
            world.fetch(Method::DELETE, &secret, &owner_token).await.0,
            403
        );
    }
}

#[tokio::test]
async fn an_acl_of_another_shape_is_refused() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    let acl = format!("/v1/secrets/{}/acl", world.store(&token, "a").await);
    for (body, text) in [
        (
            json!({"read": {"users": [null]}}),
            "None is not of type 'string'",
        ),
        (
            json!({"write": {}}),
            "Additional properties are not allowed ('write' was unexpected)",
        ),
        (
            json!({"read": {"users": "me"}}),
            "'me' is not of type 'array'",
        ),
        (json!([]), "[] is not of type 'object'"),
    ] {
        let put = world
            .barbican(Method::PUT, &acl, &token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(put.status(), 400);
        let body: Value = put.json().await.unwrap();
        assert!(
            body["description"].as_str().unwrap().contains(text),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_quota_refuses_with_a_text_of_its_own() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    let token = world.token().await;
    world.cloud.set_secrets_quota(&world.service.id, Some(1));
    world.store(&token, "a").await;
    let response = world.post(&token, &secret("b")).await;
    assert_eq!(response.status(), 403);
    let body: Value = response.json().await.unwrap();
    let text =
        "Secret creation issue seen - Creation not allowed because a quota has been reached.";
    assert_eq!(body["description"], text);
}

#[tokio::test]
async fn a_bad_token_gets_the_401_of_keystonemiddleware() {
    let world = World::start(Cloud::builder(), &["member"]).await;
    for path in ["/v1", "/v1/secrets"] {
        let response = world
            .barbican(Method::GET, path, "nonsense")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 401);
        let header = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(
            header.starts_with("Keystone uri=\"http://127.0.0.1:"),
            "{header}"
        );
    }
    let root = world
        .client
        .get(world.cloud.barbican_url())
        .send()
        .await
        .unwrap();
    assert_eq!(root.status(), 300);
    assert!(root.headers().contains_key("date"));
    let body: Value = root.json().await.unwrap();
    assert_eq!(body["versions"]["values"][0]["id"], "v1");
}

#[tokio::test]
async fn references_name_the_host_that_barbican_was_told() {
    let builder = Cloud::builder().host_href("http://elsewhere:9311/");
    let world = World::start(builder, &["member"]).await;
    let token = world.token().await;
    let response = world.post(&token, &secret("a")).await;
    let location = response.headers()["location"].to_str().unwrap();
    assert!(
        location.starts_with("http://elsewhere:9311/v1/secrets/"),
        "{location}"
    );
}

//! Signing in at Keystone, and what Barbican makes of a token.

use anyhow::{Context, Result};
use jiff::Timestamp;
use key_migrator_tests::{Cloud, RoleWorld, User};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Caller, Reply, not_allowed, secret};
use crate::testbed::{DEADLINE, Testbed, http, own_token, token};

contract! {
    a_password_gets_a_token_that_says_who_signed_in
    whoever_may_not_sign_in_gets_one_and_the_same_401
    a_request_that_lacks_a_part_is_a_400
    without_a_scope_a_token_is_for_no_project_and_barbican_wants_one
    barbican_refuses_what_is_no_token
    a_token_that_was_revoked_is_refused
    a_new_password_ends_every_token
    a_role_that_is_granted_later_shows_in_a_new_token
    a_user_that_lost_every_role_is_refused
}

async fn a_password_gets_a_token_that_says_who_signed_in(cloud: &impl Testbed) -> Result<()> {
    let owner = cloud.anybody().await?.user;
    let (user_id, project_id) = (&owner.user_id, &owner.project_id);
    for domain in [
        json!({ "id": owner.domain_id }),
        json!({ "name": owner.user_domain_name }),
    ] {
        for (user, project) in [
            (json!({ "id": user_id }), json!({ "id": project_id })),
            (
                json!({ "name": owner.username, "domain": domain }),
                json!({ "name": owner.project_name, "domain": domain }),
            ),
        ] {
            let scope = json!({ "project": project });
            let reply = sign_in(cloud, user, &owner.password, Some(scope)).await?;
            assert_eq!(reply.status, 201, "{reply:?}");
            assert!(!reply.header("X-Subject-Token").is_empty());
            assert!(
                reply.header("X-Openstack-Request-Id").starts_with("req-"),
                "{reply:?}"
            );
            assert_token(cloud, &owner, &reply.json()?["token"])?;
        }
    }
    Ok(())
}

fn assert_token(cloud: &impl Testbed, owner: &User, token: &Value) -> Result<()> {
    let domain = json!({ "id": owner.domain_id, "name": owner.user_domain_name });
    assert_eq!(token["user"]["id"], owner.user_id);
    assert_eq!(token["user"]["name"], owner.username);
    assert_eq!(token["user"]["domain"], domain);
    let project = json!({ "id": owner.project_id, "name": owner.project_name, "domain": domain });
    assert_eq!(token["project"], project);
    assert_eq!(token["methods"], json!(["password"]));
    assert_eq!(role_names(token)?, cloud.role_names_of_anybody());

    let instant = |key: &str| anyhow::Ok(token[key].as_str().context("an instant")?.parse()?);
    let issued_at: Timestamp = instant("issued_at")?;
    let expires_at: Timestamp = instant("expires_at")?;
    assert_eq!(expires_at.duration_since(issued_at).as_secs(), 3600);

    let services = token["catalog"].as_array().context("a catalog")?;
    let key_manager = services
        .iter()
        .find(|service| service["type"] == "key-manager");
    let endpoints = key_manager.context("a key-manager")?["endpoints"].as_array();
    for interface in ["public", "internal", "admin"] {
        let ours = endpoints.context("endpoints")?.iter().find(|endpoint| {
            endpoint["interface"] == interface && endpoint["region"] == cloud.region_name()
        });
        assert_eq!(ours.context(interface)?["url"], cloud.barbican_endpoint());
    }
    Ok(())
}

async fn whoever_may_not_sign_in_gets_one_and_the_same_401(cloud: &impl Testbed) -> Result<()> {
    let owner = cloud.create_owner().await?;
    let stranger = cloud.anybody().await?.user;
    let id = |id: &str| json!({ "id": id });
    let project = |project: &User| json!({ "project": { "id": project.project_id } });
    let in_domain =
        |name: &str, domain: &str| json!({ "name": name, "domain": { "name": domain } });
    let (known, password) = (id(&owner.user_id), owner.password.as_str());
    for (user, password, scope) in [
        (known.clone(), "wrong", project(&owner)),
        (known.clone(), "", project(&owner)),
        (known.clone(), password, project(&stranger)),
        (
            known.clone(),
            password,
            json!({ "project": { "id": "0123456789abcdef" } }),
        ),
        (
            known,
            password,
            json!({ "project": in_domain("nowhere", &owner.user_domain_name) }),
        ),
        (id("0123456789abcdef"), password, project(&owner)),
        (
            in_domain("nobody", &owner.user_domain_name),
            password,
            project(&owner),
        ),
        (
            in_domain(&owner.username, "nowhere"),
            password,
            project(&owner),
        ),
    ] {
        let reply = sign_in(cloud, user, password, Some(scope)).await?;
        let expected = json!({ "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        } });
        assert_eq!((reply.status, reply.json()?), (401, expected));
        let challenge = format!("Keystone uri=\"{}\"", cloud.auth_url());
        assert_eq!(reply.header("WWW-Authenticate"), challenge);
    }
    Ok(())
}

async fn a_request_that_lacks_a_part_is_a_400(cloud: &impl Testbed) -> Result<()> {
    let owner = cloud.anybody().await?.user;
    let user = json!({ "id": owner.user_id, "password": owner.password });
    let identity = json!({ "methods": ["password"], "password": { "user": user } });
    for body in [
        json!({}),
        json!({ "auth": {} }),
        json!({ "auth": { "identity": {} } }),
        json!({ "auth": { "identity": { "methods": ["password"], "password": {
            "user": { "name": owner.username, "password": owner.password } } } } }),
        json!({ "auth": { "identity": identity, "scope": {
            "project": { "name": owner.project_name } } } }),
    ] {
        let reply = post_token(cloud, body.to_string()).await?;
        let error = &reply.json()?["error"];
        assert_eq!(reply.status, 400, "{body}: {error}");
        assert_eq!(
            (&error["code"], &error["title"]),
            (&json!(400), &json!("Bad Request"))
        );
        assert!(error["message"].is_string());
    }
    let reply = post_token(cloud, "{".to_owned()).await?;
    assert_eq!(reply.status, 400, "{reply:?}");
    Ok(())
}

async fn without_a_scope_a_token_is_for_no_project_and_barbican_wants_one(
    cloud: &impl Testbed,
) -> Result<()> {
    let owner = cloud.anybody().await?.user;
    let user = json!({ "id": owner.user_id });
    let reply = sign_in(cloud, user, &owner.password, None).await?;
    let body = reply.json()?;
    assert_eq!(reply.status, 201);
    for absent in ["project", "roles", "catalog"] {
        assert_eq!(body["token"].get(absent), None, "{absent}");
    }
    let unscoped = reply.header("X-Subject-Token").to_owned();
    let reply = Caller::with_token(cloud, Some(unscoped))
        .get("/v1/secrets")
        .await?;
    assert_eq!(reply.status, 401);
    Ok(())
}

async fn barbican_refuses_what_is_no_token(cloud: &impl Testbed) -> Result<()> {
    for token in [None, Some("nonsense"), Some("gAAAAABnonsense")] {
        let caller = Caller::with_token(cloud, token.map(str::to_owned));
        for path in ["/v1", "/v1/secrets", "/v1/secrets/nonsense/payload"] {
            assert_unauthorized(cloud, &caller.get(path).await?)?;
        }
        assert_unauthorized(cloud, &caller.post(&secret("a")).await?)?;
    }
    Ok(())
}

fn assert_unauthorized(cloud: &impl Cloud, reply: &Reply) -> Result<()> {
    let expected = json!({ "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "The request you have made requires authentication.",
    } });
    assert_eq!((reply.status, reply.json()?), (401, expected));
    let challenge = format!("Keystone uri=\"{}\"", cloud.auth_url());
    assert_eq!(reply.header("WWW-Authenticate"), challenge);
    assert!(
        reply.header("X-Openstack-Request-Id").starts_with("req-"),
        "{reply:?}"
    );
    Ok(())
}

async fn a_token_that_was_revoked_is_refused(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.anybody().await?.user;
    let (unused, used) = (token(cloud, &cinder).await?, token(cloud, &cinder).await?);
    let caller = Caller::with_token(cloud, Some(used.clone()));
    assert_eq!(caller.get("/v1/secrets").await?.status, 200);
    for token in [&unused, &used] {
        assert_eq!(own_token(cloud, token).await?, 200);
        let request = http().delete(format!("{}/auth/tokens", cloud.auth_url()));
        let request = request
            .header("X-Auth-Token", token)
            .header("X-Subject-Token", token);
        assert_eq!(Reply::to(request).await?.status, 204);
        assert!(own_token(cloud, token).await?.is_client_error());
    }
    let stranger = Caller::with_token(cloud, Some(unused));
    assert_unauthorized(cloud, &stranger.get("/v1/secrets").await?)?;
    // Barbican goes by what it has heard of a token for as long as `token_cache_time` says, which
    // is too long to wait for as shipped.
    if cloud.world() == RoleWorld::Creator {
        let refused = async {
            while caller.get("/v1/secrets").await?.status != 401 {}
            anyhow::Ok(())
        };
        timeout(DEADLINE, refused).await??;
    }
    Ok(())
}

async fn a_new_password_ends_every_token(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let old = [token(cloud, &cinder).await?, token(cloud, &cinder).await?];
    cloud.renew_password(&cinder).await?;
    for token in old {
        assert!(own_token(cloud, &token).await?.is_client_error());
        let caller = Caller::with_token(cloud, Some(token));
        assert_eq!(caller.get("/v1/secrets").await?.status, 401);
    }
    assert_eq!(
        Caller::new(cloud, &cinder)
            .await?
            .get("/v1/secrets")
            .await?
            .status,
        200
    );
    Ok(())
}

async fn a_role_that_is_granted_later_shows_in_a_new_token(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    let early = Caller::new(cloud, &cinder).await?;
    let refused = early.post(&secret("a")).await?;
    refused.assert_refused(403, &not_allowed("Secret creation"))?;
    cloud.grant(&cinder, &cloud.storing_role()).await?;
    assert_eq!(
        Caller::new(cloud, &cinder)
            .await?
            .post(&secret("b"))
            .await?
            .status,
        201
    );
    // The old one is good for it, too, once Barbican asks Keystone again, which as shipped it
    // does too late to wait for.
    let status = early.post(&secret("c")).await?.status;
    assert!([201, 403].contains(&status), "{status}");
    if cloud.world() == RoleWorld::Creator {
        let stored = async {
            while early.post(&secret("c")).await?.status != 201 {}
            anyhow::Ok(())
        };
        timeout(DEADLINE, stored).await??;
    }
    Ok(())
}

async fn a_user_that_lost_every_role_is_refused(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    let early = token(cloud, &cinder).await?;
    cloud.revoke(&cinder, "service").await?;
    assert!(own_token(cloud, &early).await?.is_client_error());
    let caller = Caller::with_token(cloud, Some(early));
    assert_unauthorized(cloud, &caller.get("/v1/secrets").await?)?;
    let project = json!({ "project": { "id": cinder.project_id } });
    let user = json!({ "id": cinder.user_id });
    // In the second of the revocation Keystone may also fail to find the token that it just made.
    let reply = sign_in(cloud, user, &cinder.password, Some(project)).await?;
    assert!([401, 404].contains(&reply.status), "{}", reply.status);
    Ok(())
}

async fn sign_in(
    cloud: &impl Cloud,
    user: Value,
    password: &str,
    scope: Option<Value>,
) -> Result<Reply> {
    let mut user = user;
    user["password"] = json!(password);
    let mut auth = json!({ "identity": { "methods": ["password"], "password": { "user": user } } });
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    post_token(cloud, json!({ "auth": auth }).to_string()).await
}

async fn post_token(cloud: &impl Cloud, body: String) -> Result<Reply> {
    let url = format!("{}/auth/tokens", cloud.auth_url());
    let request = http().request(Method::POST, url);
    Reply::to(
        request
            .header("Content-Type", "application/json")
            .body(body),
    )
    .await
}

fn role_names(token: &Value) -> Result<Vec<&str>> {
    let roles = token["roles"].as_array().context("roles")?;
    let mut names: Vec<&str> = roles
        .iter()
        .filter_map(|role| role["name"].as_str())
        .collect();
    names.sort_unstable();
    Ok(names)
}

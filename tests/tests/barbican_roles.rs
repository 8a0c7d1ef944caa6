//! The rig itself against both kinds of Barbican: which role stores secrets, and who reads them.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_migrator_tests::program::DEADLINE;
use key_migrator_tests::{Cloud, RealCloud, RoleWorld, Services, User};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

const PAYLOAD: [u8; 32] = [7; 32];

#[tokio::test]
async fn without_the_right_role_barbican_refuses_in_the_words_that_operators_grep_for() -> Result<()>
{
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let cloud = services.cloud(world);
        let cinder = cloud.create_cinder_user().await?;
        for useless_role in [None, Some(world.useless_role())] {
            if let Some(role) = useless_role {
                cloud.grant(&cinder, role).await?;
            }
            let answer = cloud
                .barbican(&cinder, Method::POST, "/v1/secrets", secret())
                .await?;
            assert_eq!(
                answer.status,
                StatusCode::FORBIDDEN,
                "{world:?}, {useless_role:?}"
            );
            assert_eq!(
                answer.body,
                json!({
                    "code": 403,
                    "title": "Forbidden",
                    "description": "Secret creation attempt not allowed - please review your \
                                    user/project privileges",
                })
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn with_the_right_role_a_secret_is_stored_and_only_its_acl_lets_the_owner_read_it()
-> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let cloud = services.cloud(world);
        let cinder = cloud.create_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        cloud.grant(&cinder, world.storing_role()).await?;
        let secret_id = store(&cloud, &cinder).await?;
        let python = services.python();

        let before = python.payloads_as(&cloud, &owner, &[secret_id]).await?;
        let refusal = before[0].as_ref().unwrap_err();
        assert!(refusal.contains("Forbidden"), "{world:?}: {refusal}");

        let acl = json!({ "read": { "users": [owner.user_id] } });
        let path = format!("/v1/secrets/{secret_id}/acl");
        let answer = cloud
            .barbican(&cinder, Method::PUT, &path, Some(acl))
            .await?;
        assert_eq!(answer.status, StatusCode::OK, "{world:?}: {}", answer.body);

        for user in [&owner, &cinder] {
            let after = python.payloads_as(&cloud, user, &[secret_id]).await?;
            assert_eq!(after, [Ok(PAYLOAD.to_vec())], "{world:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_revoked_role_stores_no_more() -> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let cloud = services.cloud(world);
        let cinder = cloud.create_authorised_cinder_user().await?;
        store(&cloud, &cinder).await?;
        cloud.revoke(&cinder, world.storing_role()).await?;
        let answer = cloud
            .barbican(&cinder, Method::POST, "/v1/secrets", secret())
            .await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{world:?}");
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_listed_with_their_names_and_deleted_in_the_users_own_project_only()
-> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let cloud = services.cloud(world);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let stranger = cloud.create_authorised_cinder_user().await?;
        let secret_id = store(&cloud, &cinder).await?;
        let python = services.python();

        let listed = python.secrets_of(&cloud, &cinder).await?;
        assert_eq!(listed.len(), 1, "{world:?}: {listed:?}");
        assert_eq!(listed[0].secret_id, secret_id);
        assert_eq!(listed[0].name.as_deref(), Some("a name"));
        assert_eq!(python.secrets_of(&cloud, &stranger).await?, []);

        let refused = python.delete_as(&cloud, &stranger, &[secret_id]).await?;
        assert!(refused[0].is_err(), "{world:?}");
        assert_eq!(
            python.delete_as(&cloud, &cinder, &[secret_id]).await?,
            [Ok(())]
        );
        assert_eq!(python.secrets_of(&cloud, &cinder).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_is_soon_refused_where_barbican_hardly_keeps_any() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::Creator);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let token = cloud.keystone().token(&cinder).await?;
    let status = async || {
        let api = key_migrator_tests::http::Api::anonymous().with_token(&token);
        let url = format!("{}/v1/secrets", cloud.barbican_endpoint());
        anyhow::Ok(api.call(Method::GET, &url, None).await?.status)
    };
    assert_eq!(status().await?, StatusCode::OK);
    cloud.keystone().revoke_token(&token).await?;
    timeout(DEADLINE, async {
        while status().await? != StatusCode::UNAUTHORIZED {}
        Ok(())
    })
    .await?
}

#[tokio::test]
async fn a_user_without_any_role_on_its_project_gets_no_token() -> Result<()> {
    let cloud = Services::from_env().cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_cinder_user().await?;
    cloud.revoke(&cinder, "service").await?;
    let refusal = cloud.keystone().token(&cinder).await.unwrap_err();
    assert!(format!("{refusal:#}").contains("401"), "{refusal:#}");
    Ok(())
}

#[tokio::test]
async fn each_barbican_stands_in_the_catalog_of_its_region() -> Result<()> {
    let services = Services::from_env();
    let keystone = services.cloud(RoleWorld::AsShipped);
    let catalog = keystone
        .keystone()
        .administer(Method::GET, "auth/catalog", Value::Null)
        .await?;
    let services_listed = catalog.body["catalog"].as_array().context("a catalog")?;
    let key_manager = services_listed
        .iter()
        .find(|service| service["type"] == "key-manager")
        .context("a key-manager")?;
    for world in RoleWorld::ALL {
        for interface in ["public", "internal", "admin"] {
            let endpoints = key_manager["endpoints"].as_array().context("endpoints")?;
            let found = endpoints.iter().find(|endpoint| {
                endpoint["region"] == world.region_name() && endpoint["interface"] == interface
            });
            let endpoint = found.with_context(|| format!("{world:?}, {interface}"))?;
            assert_eq!(endpoint["url"], services.cloud(world).barbican_endpoint());
        }
    }
    Ok(())
}

fn secret() -> Option<Value> {
    Some(json!({
        "name": "a name",
        "algorithm": "AES",
        "bit_length": 256,
        "secret_type": "symmetric",
        "payload": STANDARD.encode(PAYLOAD),
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    }))
}

async fn store(cloud: &RealCloud, user: &User) -> Result<Uuid> {
    let answer = cloud
        .barbican(user, Method::POST, "/v1/secrets", secret())
        .await?;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let secret_ref = answer.body["secret_ref"].as_str().context("a secret_ref")?;
    Ok(secret_ref
        .rsplit('/')
        .next()
        .context("a last part")?
        .parse()?)
}

//! Keystone and Barbican: reaching them, roles, quotas, clocks.

use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Request, Rule};
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::http::Api;
use key_migrator_tests::{CinderDatabase, Cloud, Dialect, EmulatedCloud, RoleWorld, Services};
use reqwest::Method;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn keystone_must_answer_and_let_us_in() -> Result<()> {
    let stage = Stage::set().await?;
    let wrong = stage
        .conf
        .clone()
        .set("keystone_authtoken", "password", "wrong");
    let said = stage.check_as(&wrong).await?;
    said.fails(
        "Keystone",
        "does not let us in",
        "openstack role add --user cinder",
    );
    let url = format!("http://127.0.0.1:{}/v3", free_port()?);
    let away = stage
        .conf
        .clone()
        .set("keystone_authtoken", "auth_url", &url);
    let said = stage.check_as(&away).await?;
    said.fails(
        "Keystone",
        "cannot be reached",
        "[keystone_authtoken] auth_url",
    );
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn barbican_must_be_in_the_catalogue_and_answer() -> Result<()> {
    let stage = Stage::set().await?;
    let catalogue = stage.conf.clone().unset("barbican", "barbican_endpoint");
    let nowhere = catalogue
        .clone()
        .set("barbican", "barbican_region_name", "Nowhere");
    let said = stage.check_as(&nowhere).await?;
    said.fails("Barbican", "no public endpoint", "barbican_region_name");
    let said = stage.check_as(&catalogue).await?;
    said.is_all_success();
    let details = said.details("Barbican");
    assert!(
        details.contains("Keystone's catalogue") && details.contains("knows microversions"),
        "{details}"
    );
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let away = stage
        .conf
        .clone()
        .set("barbican", "barbican_endpoint", &url);
    let said = stage.check_as(&away).await?;
    said.fails(
        "Barbican",
        "cannot be reached",
        "[barbican] barbican_endpoint",
    );
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn without_a_probe_any_role_that_stores_somewhere_will_do_and_none_fails() -> Result<()> {
    for world in RoleWorld::ALL {
        let stage = Stage::set_on(Dialect::Sqlite, world).await?;
        let (cloud, cinder) = (&stage.cloud, &stage.cinder);
        cloud.revoke(cinder, world.storing_role()).await?;
        let said = stage.check().await?;
        assert_eq!(said.code, Some(2));
        assert_eq!(said.line("Role")["result"], 2, "{said:#?}");
        for role in ["member", "creator"] {
            assert!(
                said.remedy("Role").contains(&format!(" {role}")),
                "{said:#?}"
            );
        }
        cloud.grant(cinder, world.useless_role()).await?;
        let said = stage.check().await?;
        said.warns("Barbican quota", "it wants another role", "check --probe");
        assert!(said.details("Role").contains("check --probe"), "{said:#?}");
        cloud.grant(cinder, world.storing_role()).await?;
        stage.check().await?.is_all_success();
    }
    Ok(())
}

#[tokio::test]
async fn a_probe_tells_which_role_is_missing_and_leaves_nothing() -> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let stage = Stage::set_on(Dialect::Sqlite, world).await?;
        let (cloud, cinder) = (&stage.cloud, &stage.cinder);
        let (role, useless) = (world.storing_role(), world.useless_role());
        cloud.revoke(cinder, role).await?;
        cloud.grant(cinder, useless).await?;
        let said = stage.probe().await?;
        assert_eq!(
            (said.code, said.line("Role")["result"].as_u64()),
            (Some(2), Some(2))
        );
        let refused = "Forbidden: Secret creation attempt not allowed";
        assert!(said.details("Role").contains(refused), "{said:#?}");
        let command = "openstack role add --user cinder";
        assert!(said.remedy("Role").starts_with(command), "{said:#?}");
        assert!(said.remedy("Role").ends_with(role), "{said:#?}");
        cloud.grant(cinder, role).await?;
        let said = stage.probe().await?;
        said.is_all_success();
        assert!(
            said.details("Role").contains("stored and deleted"),
            "{said:#?}"
        );
        let left = services.python().secrets_of(cloud, cinder).await?;
        assert_eq!(left, [], "{world:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_probe_whose_secret_is_not_deleted_names_it() -> Result<()> {
    let stage = Stage::set().await?;
    let proxy = FaultProxy::http(&stage.cloud.barbican_endpoint()).await?;
    let url = proxy.through(&stage.cloud.barbican_endpoint());
    let conf = stage
        .conf
        .clone()
        .set("barbican", "barbican_endpoint", &url);
    let fault = proxy.add(Rule::until_healed(Request::Delete, Fault::Unavailable));
    let said = stage.check_with(&conf, &["--probe"]).await?;
    said.fails("Role", "could not be deleted", "openstack secret delete ");
    fault.heal();
    let python = Services::from_env().python();
    let left = python.secrets_of(&stage.cloud, &stage.cinder).await?;
    assert_eq!(left.len(), 1);
    let id = left[0].secret_id;
    assert!(said.remedy("Role").ends_with(&id.to_string()), "{said:#?}");
    let name = left[0].name.clone().unwrap_or_default();
    assert!(name.starts_with("cinder-key-migrator:check:"), "{name}");

    let fault = proxy.add(Rule::until_healed(Request::Store, Fault::ReplyLost));
    let said = stage.check_with(&conf, &["--probe"]).await?;
    said.fails(
        "Role",
        "Nobody knows",
        "openstack secret list --name cinder-key-migrator:check:",
    );
    fault.heal();
    let said = stage.check_with(&conf, &["--probe"]).await?;
    said.is_all_success();
    Ok(())
}

#[tokio::test]
async fn the_quota_must_hold_what_is_to_come() -> Result<()> {
    let stage = Stage::set_on(Dialect::Sqlite, RoleWorld::AsShipped).await?;
    let keystone = stage.cloud.keystone();
    let admin = keystone.create_user("service-admin", "services").await?;
    stage.cloud.grant(&admin, "admin").await?;
    let path = format!("/v1/project-quotas/{}", stage.cinder.project_id);
    let set = async |quota: i64| {
        let body = json!({ "project_quotas": { "secrets": quota } });
        let answer = stage.cloud.barbican(&admin, Method::PUT, &path, Some(body));
        let answer = answer.await?;
        anyhow::ensure!(answer.status.is_success(), "{}", answer.body);
        Ok(())
    };
    // One volume and one backup are to come.
    set(1).await?;
    let said = stage.check().await?;
    let remedy = format!("PUT {path} with");
    said.fails(
        "Barbican quota",
        "has 0 secrets, may have 1, and 2 are to come",
        &remedy,
    );
    set(2).await?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn clocks_that_differ_are_told() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let stage = Stage::set_with(cloud, CinderDatabase::sqlite().await?).await?;
    stage.check().await?.is_all_success();
    let clock = stage.cloud.emulation().clock().clone();
    clock.advance(Duration::from_secs(90));
    let said = stage.check().await?;
    said.warns("Clock", "s ahead of this host's", "chronyc tracking");
    clock.set_back(Duration::from_secs(180));
    let said = stage.check().await?;
    said.warns("Clock", "s behind this host's", "chronyc makestep");
    clock.advance(Duration::from_secs(90));
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn cinders_own_migrator_is_seen_while_it_works() -> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "Cinder's own migrator";
    let token = stage.cloud.keystone().token(&stage.cinder).await?;
    let body = json!({
        "algorithm": "AES", "bit_length": 128, "secret_type": "symmetric",
        "payload": "AAECAwQFBgcICQoLDA0ODw==",
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    });
    let url = format!("{}/v1/secrets", stage.cloud.barbican_endpoint());
    let api = Api::anonymous().with_token(token);
    let stored = api.succeed(Method::POST, &url, Some(body)).await?.body;
    let id = stored["secret_ref"]
        .as_str()
        .and_then(|url| url.rsplit('/').next());
    let id = id.expect("an ID").to_owned();
    let change = async |updated_at: &str| {
        let sql = format!(
            "UPDATE volumes SET encryption_key_id = '{id}', updated_at = '{updated_at}' \
             WHERE id = '{}'",
            stage.volume.id
        );
        stage.database.execute(&sql).await
    };
    change(&key_migrator_tests::rows::instant_seconds_ago(1)).await?;
    let said = stage.check().await?;
    said.warns(LINE, "It is at work", "let it end");
    change(&key_migrator_tests::rows::instant_seconds_ago(120)).await?;
    stage.check().await?.is_all_success();
    Ok(())
}

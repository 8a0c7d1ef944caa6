//! Where the versions are, and what every answer carries.

use anyhow::{Context, Result};
use jiff::fmt::rfc2822;
use reqwest::Method;
use serde_json::json;

use super::{Caller, Reply};
use crate::testbed::{Testbed, http};

contract! {
    keystone_says_where_version_3_is
    barbican_says_where_version_1_is
    an_api_version_that_barbican_knows_is_answered_in_kind
    every_answer_of_barbican_has_an_id_and_a_date
}

async fn keystone_says_where_version_3_is(cloud: &impl Testbed) -> Result<()> {
    let v3 = cloud.auth_url();
    let root = v3.strip_suffix("v3").context("a URL that ends in v3")?;
    let reply = Reply::to(http().get(root)).await?;
    assert_eq!(reply.status, 300);
    assert_eq!(reply.header("Location"), format!("{v3}/"));
    let versions = reply.json()?;
    for url in [v3.clone(), format!("{v3}/")] {
        let reply = Reply::to(http().get(url)).await?;
        assert_eq!(reply.status, 200);
        let version = &reply.json()?["version"];
        assert_eq!(*version, versions["versions"]["values"][0]);
        assert!(
            version["id"].as_str().context("an ID")?.starts_with("v3."),
            "{version}"
        );
        assert_eq!(
            version["links"],
            json!([{ "rel": "self", "href": format!("{v3}/") }])
        );
    }
    Ok(())
}

async fn barbican_says_where_version_1_is(cloud: &impl Testbed) -> Result<()> {
    let href = json!(format!("{}/v1/", cloud.barbican_endpoint()));
    for path in ["", "/"] {
        let reply = Caller::with_token(cloud, None).get(path).await?;
        assert_eq!(reply.status, 300);
        let version = &reply.json()?["versions"]["values"][0];
        assert_eq!(
            (&version["id"], &version["links"][0]["href"]),
            (&json!("v1"), &href)
        );
    }
    let caller = Caller::anybody(cloud).await?;
    for path in ["/v1", "/v1/"] {
        let reply = caller.get(path).await?;
        let version = &reply.json()?["version"];
        assert_eq!((reply.status, &version["links"][0]["href"]), (200, &href));
    }
    for path in ["/v2/secrets", "/v1/nonsense", "/nonsense"] {
        assert_eq!(caller.get(path).await?.status, 404, "{path}");
    }
    Ok(())
}

async fn an_api_version_that_barbican_knows_is_answered_in_kind(
    cloud: &impl Testbed,
) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let path = caller.store("a").await?;
    for (asked, given, consumers) in [
        (None, "key-manager 1.0", None),
        (Some("key-manager 1.0"), "key-manager 1.0", None),
        (Some("key-manager 1.1"), "key-manager 1.1", Some(json!([]))),
        (
            Some("key-manager latest"),
            "key-manager 1.2",
            Some(json!([])),
        ),
        (Some("volume 3.70"), "key-manager 1.0", None),
    ] {
        let mut request = caller.request(Method::GET, &path);
        if let Some(asked) = asked {
            request = request.header("OpenStack-API-Version", asked);
        }
        let reply = Reply::to(request).await?;
        assert_eq!(reply.status, 200, "{asked:?}");
        assert_eq!(reply.header("OpenStack-API-Version"), given, "{asked:?}");
        assert_eq!(
            reply.json()?.get("consumers"),
            consumers.as_ref(),
            "{asked:?}"
        );
    }
    let request = caller.request(Method::GET, &path);
    let reply = Reply::to(request.header("OpenStack-API-Version", "key-manager 1.99")).await?;
    assert_eq!(reply.status, 406);
    Ok(())
}

async fn every_answer_of_barbican_has_an_id_and_a_date(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let path = caller.store("a").await?;
    let mut ids = Vec::new();
    for path in [&path, "/v1/secrets", "/v1/secrets/nonsense", "/v1"] {
        let reply = caller.get(path).await?;
        let id = reply.header("X-Openstack-Request-Id").to_owned();
        assert!(id.starts_with("req-") && !ids.contains(&id), "{id}");
        ids.push(id);
        rfc2822::parse(reply.header("Date")).with_context(|| format!("{path}: {reply:?}"))?;
    }
    Ok(())
}

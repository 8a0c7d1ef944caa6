//! Who registered as using a secret.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, not_allowed};
use crate::testbed::Testbed;

contract! {
    consumers_are_listed_whatever_microversion_is_asked_for
    what_barbican_does_not_know_is_a_404_without_a_word
}

async fn consumers_are_listed_whatever_microversion_is_asked_for(
    cloud: &impl Testbed,
) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let secret = caller.store("a").await?;
    let consumers = format!("{secret}/consumers");
    let none = json!({ "consumers": [], "total": 0 });
    assert_eq!(caller.get(&consumers).await?.json()?, none);

    let volume = json!({ "service": "cinder", "resource_type": "volume", "resource_id": "7b" });
    for _ in 0..2 {
        let reply = caller.send(Method::POST, &consumers, &volume).await?;
        let fields = reply.json()?;
        assert_eq!(
            (reply.status, &fields["consumers"], &fields["name"]),
            (200, &json!([volume]), &json!("a"))
        );
    }
    let image = json!({ "service": "glance", "resource_type": "image", "resource_id": "8c" });
    caller.send(Method::POST, &consumers, &image).await?;
    for version in [None, Some("1.0"), Some("1.1"), Some("1.2")] {
        let mut request = caller.request(Method::GET, &consumers);
        if let Some(version) = version {
            let version = format!("key-manager {version}");
            request = request.header("OpenStack-API-Version", version);
        }
        let mut list = super::Reply::to(request).await?.json()?;
        assert_eq!(list["total"], 2, "{version:?}: {list}");
        let shown = list["consumers"].as_array_mut();
        let shown = shown.context("a list of consumers")?;
        // Stored within one second they have no order.
        shown.sort_by_key(|consumer| consumer["service"].to_string());
        for consumer in shown.iter_mut() {
            assert_eq!(consumer["status"], "ACTIVE");
            for field in ["status", "created", "updated"] {
                let fields = consumer.as_object_mut();
                assert!(fields.and_then(|fields| fields.remove(field)).is_some());
            }
        }
        assert_eq!(*shown, [volume.clone(), image.clone()]);
    }

    let stranger = Caller::new(cloud, &cloud.create_authorised_cinder_user().await?).await?;
    let refused = stranger.get(&consumers).await?;
    refused.assert_refused(403, &not_allowed("SecretConsumers(s) retrieval"))?;
    let refused = stranger.send(Method::POST, &consumers, &volume).await?;
    refused.assert_refused(403, &not_allowed("SecretConsumer creation"))?;
    let part = json!({ "service": "cinder" });
    let refused = caller.send(Method::POST, &consumers, &part).await?;
    refused.assert_refused(
        400,
        "Provided object does not match schema 'Secret Consumer': 'resource_type' is a required \
         property. Invalid property: 'None'",
    )?;

    assert_eq!(caller.delete(&secret).await?.status, 204);
    caller
        .get(&consumers)
        .await?
        .assert_refused(404, "Secret not found.")
}

/// So answers a Barbican from before there were consumers when it is asked for them.
async fn what_barbican_does_not_know_is_a_404_without_a_word(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let secret = caller.store("a").await?;
    let reply = caller.get(&format!("{secret}/nonsense")).await?;
    let expected = json!({ "code": 404, "title": "Not Found", "description": "" });
    assert_eq!((reply.status, reply.json()?), (404, expected));
    let fields = caller.get(&secret).await?.json()?;
    assert_eq!(fields.get("consumers"), None::<&Value>);
    Ok(())
}

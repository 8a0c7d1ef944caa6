//! A secret's metadata and payload, and what is not there.

use anyhow::{Context, Result};
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use super::{Caller, PAYLOAD_BYTES, Reply};
use crate::testbed::{Anybody, Testbed};

contract! {
    metadata_says_everything_but_the_payload
    the_payload_comes_as_it_is_asked_for
    what_is_not_there_is_a_404
    what_is_deleted_is_gone
    a_method_that_a_resource_does_not_have_is_a_405
}

async fn metadata_says_everything_but_the_payload(cloud: &impl Testbed) -> Result<()> {
    let Anybody { user, token } = cloud.anybody().await?;
    let caller = Caller::with_token(cloud, Some(token));
    let path = caller.store("a name").await?;
    let reply = caller.get(&path).await?;
    let mut fields = reply.json()?;
    assert_eq!(reply.status, 200, "{fields}");
    let created = fields["created"].as_str().context("created")?.to_owned();
    assert_eq!(fields["updated"], created.as_str());
    // In UTC without saying so, and by the clock that the answer is dated with.
    let created = created.parse::<DateTime>()?;
    let created = TimeZone::UTC.to_timestamp(created)?;
    let age = rfc2822::parse(reply.header("Date"))?
        .timestamp()
        .duration_since(created);
    assert!((0..3600).contains(&age.as_secs()), "{age:?}");

    fields["created"] = Value::Null;
    fields["updated"] = Value::Null;
    let expected = json!({
        "created": null,
        "updated": null,
        "status": "ACTIVE",
        "name": "a name",
        "secret_type": "symmetric",
        "expiration": null,
        "algorithm": "AES",
        "bit_length": 128,
        "mode": null,
        "creator_id": user.user_id,
        "content_types": { "default": "application/octet-stream" },
        "secret_ref": format!("{}{path}", cloud.barbican_endpoint()),
    });
    assert_eq!(fields, expected);
    for path in [path.clone(), format!("{path}/")] {
        let request = caller
            .request(Method::GET, &path)
            .header(ACCEPT, "application/json");
        assert_eq!(Reply::to(request).await?.json()?["name"], "a name");
    }
    let reply = caller
        .post(&json!({ "name": "without a payload" }))
        .await?
        .json()?;
    let reference = reply["secret_ref"].as_str().context("a secret_ref")?;
    let path = reference
        .strip_prefix(&cloud.barbican_endpoint())
        .context("from here")?;
    let fields = caller.get(path).await?.json()?;
    assert_eq!(fields.get("content_types"), None);
    assert_eq!(
        (&fields["secret_type"], &fields["bit_length"]),
        (&json!("opaque"), &Value::Null)
    );
    let refusal = "Not Found. Sorry but your secret has no payload.";
    let octets = caller.request(Method::GET, &format!("{path}/payload"));
    let octets = octets.header(ACCEPT, "application/octet-stream");
    Reply::to(octets).await?.assert_refused(404, refusal)
}

async fn the_payload_comes_as_it_is_asked_for(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let path = caller.store("a").await?;
    let octets = "application/octet-stream";
    for (path, accept, content_type) in [
        (format!("{path}/payload"), octets, octets),
        (format!("{path}/payload/"), octets, octets),
        (format!("{path}/payload"), "*/*", "*/*"),
        (format!("{path}/payload"), "", octets),
        (
            format!("{path}/payload"),
            "application/pkcs8",
            "application/pkcs8",
        ),
        (path.clone(), octets, octets),
    ] {
        let request = caller.request(Method::GET, &path).header(ACCEPT, accept);
        let reply = Reply::to(request).await?;
        assert_eq!(
            (reply.status, &*reply.body),
            (200, &PAYLOAD_BYTES[..]),
            "{path} {accept}"
        );
        assert_eq!(
            reply.header("Content-Type"),
            content_type,
            "{path} {accept}"
        );
    }
    for accept in [
        "application/json",
        "text/html",
        "application/octet-stream, */*",
    ] {
        let request = caller.request(Method::GET, &format!("{path}/payload"));
        Reply::to(request.header(ACCEPT, accept))
            .await?
            .assert_refused(
                406,
                "Secret payload retrieval issue seen - Wrong payload content-type.",
            )?;
    }
    let request = caller
        .request(Method::GET, &path)
        .header(ACCEPT, "text/html");
    let refusal = "Secret retrieval issue seen - Wrong payload content-type.";
    Reply::to(request).await?.assert_refused(406, refusal)
}

async fn what_is_not_there_is_a_404(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let stored = caller.store("a").await?;
    let absent = format!("/v1/secrets/{}", uuid::Uuid::new_v4());
    for path in [
        absent.clone(),
        format!("{absent}/payload"),
        format!("{absent}/acl"),
    ] {
        caller
            .get(&path)
            .await?
            .assert_refused(404, "Secret not found.")?;
    }
    caller
        .delete(&absent)
        .await?
        .assert_refused(404, "Secret not found.")?;
    let acl = json!({ "read": { "users": [] } });
    let reply = caller
        .send(Method::PUT, &format!("{absent}/acl"), &acl)
        .await?;
    reply.assert_refused(404, "Secret not found.")?;
    let id = stored.rsplit('/').next().context("an ID")?;
    for other_form in ["nonsense".into(), id.to_uppercase(), id.replace('-', "")] {
        let reply = caller.get(&format!("/v1/secrets/{other_form}")).await?;
        reply.assert_refused(404, "Not Found. Provided secret id is invalid.")?;
    }
    assert_eq!(caller.get(&format!("{stored}/nonsense")).await?.status, 404);
    Ok(())
}

async fn what_is_deleted_is_gone(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let name = uuid::Uuid::new_v4().to_string();
    let path = caller.store(&name).await?;
    let reply = caller.delete(&path).await?;
    assert_eq!((reply.status, &*reply.body), (204, &b""[..]));
    caller
        .delete(&path)
        .await?
        .assert_refused(404, "Secret not found.")?;
    caller
        .get(&path)
        .await?
        .assert_refused(404, "Secret not found.")?;
    let listed = caller
        .get(&format!("/v1/secrets?name={name}"))
        .await?
        .json()?;
    assert_eq!(listed, json!({ "secrets": [], "total": 0 }));
    Ok(())
}

async fn a_method_that_a_resource_does_not_have_is_a_405(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let path = caller.store("a").await?;
    for (method, path) in [
        (Method::PUT, "/v1/secrets".to_owned()),
        (Method::DELETE, "/v1/secrets".to_owned()),
        (Method::PATCH, path.clone()),
        (Method::DELETE, format!("{path}/payload")),
        (Method::POST, format!("{path}/acl")),
    ] {
        let reply = caller.send(method.clone(), &path, &json!({})).await?;
        assert_eq!(reply.status, 405, "{method} {path}: {reply:?}");
    }
    Ok(())
}

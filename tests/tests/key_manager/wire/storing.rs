//! `POST /v1/secrets`.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, PAYLOAD, Reply, not_allowed, secret};
use crate::testbed::Testbed;

contract! {
    a_secret_is_stored_under_a_reference_of_its_own
    without_the_right_role_nothing_else_is_looked_at
    a_body_of_another_shape_is_refused_with_the_reason
    a_body_that_is_no_json_is_refused
    a_payload_that_is_too_large_is_refused
    lenient_as_barbican_is_these_are_stored
    a_quota_is_refused_in_words_of_its_own
}

async fn a_secret_is_stored_under_a_reference_of_its_own(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let mut references = Vec::new();
    for path in ["/v1/secrets", "/v1/secrets/", "/v1/secrets"] {
        let reply = caller
            .send(Method::POST, path, &secret("the same name"))
            .await?;
        let body = reply.json()?;
        assert_eq!(reply.status, 201, "{body}");
        assert!(
            reply.header("Content-Type").starts_with("application/json"),
            "{reply:?}"
        );
        assert_eq!(body, json!({ "secret_ref": reply.header("Location") }));
        let base = format!("{}/v1/secrets/", cloud.barbican_endpoint());
        let id = reply
            .header("Location")
            .strip_prefix(&base)
            .unwrap_or_default()
            .to_owned();
        assert_eq!(id.parse::<uuid::Uuid>()?.to_string(), id);
        assert!(!references.contains(&id));
        references.push(id);
    }
    Ok(())
}

async fn without_the_right_role_nothing_else_is_looked_at(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_cinder_user().await?;
    for role in ["service", cloud.world().useless_role()] {
        cloud.grant(&cinder, role).await?;
        let caller = Caller::new(cloud, &cinder).await?;
        let refusal = not_allowed("Secret creation");
        caller
            .post(&secret("a"))
            .await?
            .assert_refused(403, &refusal)?;
        caller
            .post(&json!({ "bit_length": "nonsense" }))
            .await?
            .assert_refused(403, &refusal)?;
        let text = caller.request(Method::POST, "/v1/secrets").body("{");
        let text = text.header("Content-Type", "text/plain");
        Reply::to(text).await?.assert_refused(403, &refusal)?;
        let listing = caller.get("/v1/secrets").await?;
        listing.assert_refused(403, &not_allowed("Secret(s) retrieval"))?;
    }
    Ok(())
}

async fn a_body_of_another_shape_is_refused_with_the_reason(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let name = uuid::Uuid::new_v4().to_string();
    let long = "n".repeat(256);
    let types = "payload_content_type is not one of ['text/plain', 'text/plain;charset=utf-8', \
                 'text/plain; charset=utf-8', 'application/octet-stream', 'application/pkcs8']";
    let invalid_payload = "Invalid payload for payload_content_encoding";
    let no_type = "If 'payload' is supplied, 'payload_content_type' must also be supplied.";
    let empty = "If 'payload' specified, must be non empty";
    for (property, value, reason) in [
        ("payload", json!("A"), invalid_payload),
        ("payload", json!("AAECAw"), invalid_payload),
        (
            "payload",
            json!("AAECAwQFBgcéICQoLDA0ODw=="),
            invalid_payload,
        ),
        ("payload", json!(""), empty),
        ("payload", json!("  "), empty),
        ("payload", json!(5), "5 is not of type 'string'"),
        ("payload_content_type", Value::Null, no_type),
        ("payload_content_type", json!("image/png"), types),
        (
            "payload_content_encoding",
            json!("hex"),
            "'hex' is not one of ['base64']",
        ),
        (
            "payload_content_encoding",
            Value::Null,
            "None is not of type 'string'",
        ),
        ("bit_length", json!(0), "0 is less than the minimum of 1"),
        ("bit_length", json!(-8), "-8 is less than the minimum of 1"),
        (
            "bit_length",
            json!(32_768),
            "32768 is greater than the maximum of 32767",
        ),
        ("bit_length", json!("256"), "'256' is not of type 'integer'"),
        ("bit_length", json!(1.5), "1.5 is not of type 'integer'"),
        ("bit_length", Value::Null, "None is not of type 'integer'"),
        ("name", json!(long), &format!("'{long}' is too long")),
        ("name", json!(5), "5 is not of type 'string', 'null'"),
        ("algorithm", Value::Null, "None is not of type 'string'"),
        (
            "secret_type",
            json!("magic"),
            "'magic' is not one of ['symmetric', 'passphrase', 'private', 'public', \
             'certificate', 'opaque']",
        ),
        ("expiration", json!("soon"), "Invalid date for 'expiration'"),
        (
            "expiration",
            json!("2020-01-01T00:00:00"),
            "'expiration' is before current time",
        ),
    ] {
        let mut body = secret(&name);
        body[property] = value;
        caller
            .post(&body)
            .await?
            .assert_refused(400, &mismatch(reason, property))?;
    }
    let expected = [
        ("payload_content_type", no_type, "payload_content_type"),
        (
            "payload_content_encoding",
            "payload_content_encoding is not one of ['base64', 'binary']",
            "payload_content_encoding",
        ),
        (
            "payload",
            "payload must be provided when payload_content_type is specified",
            "payload",
        ),
    ];
    for (absent, reason, property) in expected {
        let mut body = secret(&name);
        body.as_object_mut().expect("an object").remove(absent);
        caller
            .post(&body)
            .await?
            .assert_refused(400, &mismatch(reason, property))?;
    }
    for (body, shown) in [(json!([1]), "[1]"), (json!("x"), "'x'")] {
        let reason = format!("{shown} is not of type 'object'");
        caller
            .post(&body)
            .await?
            .assert_refused(400, &mismatch(&reason, "None"))?;
    }
    assert_eq!(
        caller
            .get(&format!("/v1/secrets?name={name}"))
            .await?
            .json()?["total"],
        0
    );
    Ok(())
}

fn mismatch(reason: &str, property: &str) -> String {
    format!(
        "Provided object does not match schema 'Secret': {reason}. Invalid property: '{property}'"
    )
}

async fn a_body_that_is_no_json_is_refused(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let post = |content_type: &'static str, body: String| {
        let request = caller.request(Method::POST, "/v1/secrets").body(body);
        Reply::to(request.header("Content-Type", content_type))
    };
    for body in ["", "{", "{\"name\": \"a\"} and more"] {
        let reply = post("application/json", body.into()).await?;
        reply.assert_refused(400, "Malformed JSON")?;
    }
    for content_type in ["text/plain", "application/octet-stream"] {
        post(content_type, secret("a").to_string())
            .await?
            .assert_refused(
                415,
                "Unexpected content type. Expected content types are: ['application/json']",
            )?;
    }
    let reply = post("application/json; charset=utf-8", secret("a").to_string()).await?;
    assert_eq!(reply.status, 201);
    Ok(())
}

async fn a_payload_that_is_too_large_is_refused(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let payload = async |letters: usize| {
        let mut body = secret("a");
        body["payload"] = json!("A".repeat(letters));
        caller.post(&body).await
    };
    assert_eq!(payload(20_000).await?.status, 201);
    let too_large = "Provided information too large to process";
    payload(20_004).await?.assert_refused(413, too_large)?;
    // Of a request this long it reads the beginning only.
    payload(26_000).await?.assert_refused(400, "Malformed JSON")
}

async fn lenient_as_barbican_is_these_are_stored(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    for (property, value) in [
        ("bit_length", json!(256)),
        ("bit_length", json!(128.0)),
        ("name", Value::Null),
        ("name", json!("")),
        ("name", json!("n".repeat(255))),
        ("unheard_of", json!("of")),
        ("payload", json!(format!(" {PAYLOAD}\n"))),
        ("payload", json!("AAEC-AwQF_BgcI?CQoLDA0ODw==")),
        ("expiration", json!("2099-01-01T00:00:00Z")),
    ] {
        let mut body = secret("a");
        body[property] = value.clone();
        let reply = caller.post(&body).await?;
        assert_eq!(reply.status, 201, "{property} {value}: {reply:?}");
    }
    for body in [json!({}), json!({ "name": "without a payload" })] {
        assert_eq!(caller.post(&body).await?.status, 201, "{body}");
    }
    Ok(())
}

async fn a_quota_is_refused_in_words_of_its_own(cloud: &impl Testbed) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let caller = Caller::new(cloud, &cinder).await?;
    cloud.limit_secrets(&cinder, 1).await?;
    let path = caller.store("a").await?;
    let refusal = "Secret creation issue seen - Creation not allowed because a quota has been \
                   reached.";
    caller
        .post(&secret("b"))
        .await?
        .assert_refused(403, refusal)?;
    let malformed = mismatch("0 is less than the minimum of 1", "bit_length");
    caller
        .post(&json!({ "bit_length": 0 }))
        .await?
        .assert_refused(400, &malformed)?;
    assert_eq!(caller.delete(&path).await?.status, 204);
    caller.store("b").await?;
    Ok(())
}

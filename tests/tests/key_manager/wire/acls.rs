//! A secret's ACL.

use anyhow::{Context, Result};
use jiff::civil::DateTime;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Caller, Reply};
use crate::testbed::Testbed;

contract! {
    an_acl_is_replaced_merged_and_deleted
    a_part_of_an_acl_makes_one_where_there_is_none
    an_acl_of_another_shape_is_refused_and_changes_nothing
}

async fn an_acl_is_replaced_merged_and_deleted(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let secret = caller.store("a").await?;
    let acl = format!("{secret}/acl");
    let default = json!({ "read": { "project-access": true } });
    assert_eq!(caller.get(&acl).await?.json()?, default);
    assert_eq!(caller.get(&format!("{acl}/")).await?.json()?, default);
    for (method, body, users, project_access) in [
        (
            Method::PUT,
            json!({ "users": ["b", "a", "b"] }),
            vec!["a", "b"],
            true,
        ),
        (Method::PATCH, json!({ "users": ["c"] }), vec!["c"], true),
        (
            Method::PATCH,
            json!({ "project-access": false }),
            vec!["c"],
            false,
        ),
        (
            Method::PATCH,
            json!({ "users": ["d", "e"] }),
            vec!["d", "e"],
            false,
        ),
        (Method::PUT, json!({ "users": ["f"] }), vec!["f"], true),
        (
            Method::PUT,
            json!({ "project-access": false }),
            vec![],
            false,
        ),
        (Method::PUT, json!({ "users": [] }), vec![], true),
    ] {
        let reply = caller
            .send(method.clone(), &acl, &json!({ "read": body }))
            .await?;
        let acl_ref = format!("{}{acl}", cloud.barbican_endpoint());
        assert_eq!(
            (reply.status, reply.json()?),
            (200, json!({ "acl_ref": acl_ref }))
        );
        let shown = caller.get(&acl).await?.json()?;
        let read = &shown["read"];
        assert_eq!(
            (users_of(read)?, &read["project-access"]),
            (users, &json!(project_access))
        );
        for instant in ["created", "updated"] {
            read[instant]
                .as_str()
                .context(instant)?
                .parse::<DateTime>()?;
        }
    }
    for (method, body) in [
        (Method::PUT, json!({})),
        (Method::PUT, json!({ "read": {} })),
    ] {
        caller
            .send(Method::PUT, &acl, &json!({ "read": { "users": ["a"] } }))
            .await?;
        assert_eq!(caller.send(method, &acl, &body).await?.status, 200);
        assert_eq!(caller.get(&acl).await?.json()?, default);
    }
    caller
        .send(Method::PATCH, &acl, &json!({ "read": { "users": ["a"] } }))
        .await?;
    caller.send(Method::PATCH, &acl, &json!({})).await?;
    assert_eq!(users_of(&caller.get(&acl).await?.json()?["read"])?, ["a"]);
    for _ in 0..2 {
        let reply = caller.delete(&acl).await?;
        assert_eq!((reply.status, reply.json()?), (200, Value::Null));
        assert_eq!(caller.get(&acl).await?.json()?, default);
    }
    Ok(())
}

/// Though Barbican's own comment says that PATCH wants one to be there.
async fn a_part_of_an_acl_makes_one_where_there_is_none(cloud: &impl Testbed) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    for (part, users, project_access) in [
        (json!({ "users": ["b", "a", "b"] }), vec!["a", "b"], true),
        (json!({ "project-access": false }), vec![], false),
    ] {
        let acl = format!("{}/acl", caller.store("a").await?);
        let body = json!({ "read": part });
        assert_eq!(caller.send(Method::PATCH, &acl, &body).await?.status, 200);
        let shown = caller.get(&acl).await?.json()?;
        let read = &shown["read"];
        assert_eq!(
            (users_of(read)?, &read["project-access"]),
            (users, &json!(project_access))
        );
    }
    Ok(())
}

async fn an_acl_of_another_shape_is_refused_and_changes_nothing(
    cloud: &impl Testbed,
) -> Result<()> {
    let caller = Caller::anybody(cloud).await?;
    let acl = format!("{}/acl", caller.store("a").await?);
    let readers = json!({ "read": { "users": ["a reader"] } });
    assert_eq!(caller.send(Method::PUT, &acl, &readers).await?.status, 200);
    let long = "u".repeat(256);
    for (body, reason, property) in [
        (
            json!({ "read": { "users": [null] } }),
            "None is not of type 'string'",
            "read",
        ),
        (
            json!({ "read": { "users": [5] } }),
            "5 is not of type 'string'",
            "read",
        ),
        (
            json!({ "read": { "users": [long] } }),
            &format!("'{long}' is too long"),
            "read",
        ),
        (
            json!({ "read": { "users": "me" } }),
            "'me' is not of type 'array'",
            "read",
        ),
        (
            json!({ "read": { "users": null } }),
            "None is not of type 'array'",
            "read",
        ),
        (
            json!({ "read": { "project-access": 1 } }),
            "1 is not of type 'boolean'",
            "read",
        ),
        (
            json!({ "read": null }),
            "None is not of type 'object'",
            "read",
        ),
        (
            json!({ "read": { "users": [], "groups": [] } }),
            "Additional properties are not allowed ('groups' was unexpected)",
            "read",
        ),
        (
            json!({ "write": { "users": ["me"] } }),
            "Additional properties are not allowed ('write' was unexpected)",
            "None",
        ),
        (json!([]), "[] is not of type 'object'", "None"),
    ] {
        for method in [Method::PUT, Method::PATCH] {
            let refusal = format!(
                "Provided object does not match schema 'ACL': {reason}. Invalid property: \
                 '{property}'"
            );
            caller
                .send(method, &acl, &body)
                .await?
                .assert_refused(400, &refusal)?;
        }
    }
    let failure = "SecretACL(s) Update failure seen - please contact site administrator.";
    let second_null = json!({ "read": { "users": ["a", null] } });
    caller
        .send(Method::PUT, &acl, &second_null)
        .await?
        .assert_refused(500, failure)?;

    let put = |content_type: &'static str| {
        let request = caller.request(Method::PUT, &acl).body("{");
        Reply::to(request.header("Content-Type", content_type))
    };
    put("application/json")
        .await?
        .assert_refused(400, "Malformed JSON")?;
    put("text/plain").await?.assert_refused(
        415,
        "Unexpected content type. Expected content types are: ['application/json']",
    )?;
    assert_eq!(
        users_of(&caller.get(&acl).await?.json()?["read"])?,
        ["a reader"]
    );
    Ok(())
}

/// In no order: Barbican gives them in its database's.
fn users_of(read: &Value) -> Result<Vec<&str>> {
    let users = read["users"].as_array().context("users")?;
    let mut users: Vec<&str> = users.iter().filter_map(Value::as_str).collect();
    users.sort_unstable();
    Ok(users)
}

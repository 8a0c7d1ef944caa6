//! The secrets of cinder's user, as Barbican tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::cloud::{Cloud, User};
use crate::http::{self, Api};
use crate::real_cloud::issue_token;

/// Barbican's largest page.
const PAGE: usize = 100;

/// Secrets that are read at a time.
const AT_A_TIME: usize = 4;

/// A secret as Barbican tells of it.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) id: Uuid,
    pub(super) name: Option<String>,
    pub(super) active: bool,
    /// In hexadecimal, or why it cannot be read.
    pub(super) payload: Result<String, StatusCode>,
    pub(super) readers: BTreeSet<String>,
}

/// All secrets that cinder's user can list, each with payload and ACL.
pub(super) async fn all(cloud: &impl Cloud, cinder: &User) -> Result<BTreeMap<Uuid, Secret>> {
    let token = issue_token(&Api::anonymous(), &cloud.auth_url(), cinder).await?;
    let api = Api::anonymous().with_token(token.clone());
    let client = http::client();
    let endpoint = cloud.barbican_endpoint();
    let mut listed = Vec::new();
    loop {
        let offset = listed.len();
        let url =
            format!("{endpoint}/v1/secrets?limit={PAGE}&offset={offset}&sort=created:asc,name:asc");
        let page = api.succeed(reqwest::Method::GET, &url, None).await?.body;
        let page = page["secrets"].as_array().context("a list of secrets")?;
        listed.extend(page.iter().cloned());
        if page.len() < PAGE {
            break;
        }
    }
    let secrets = listed.iter().map(|listed| {
        let (api, client, token, endpoint) = (&api, &client, &token, &endpoint);
        async move { secret(listed, endpoint, api, client, token).await }
    });
    stream::iter(secrets)
        .buffer_unordered(AT_A_TIME)
        .map_ok(|secret| (secret.id, secret))
        .try_collect()
        .await
}

async fn secret(
    listed: &Value,
    endpoint: &str,
    api: &Api,
    client: &reqwest::Client,
    token: &str,
) -> Result<Secret> {
    let id = listed["secret_ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next()?.parse().ok());
    let id: Uuid = id.with_context(|| format!("a secret_ref in {listed}"))?;
    let url = format!("{endpoint}/v1/secrets/{id}");
    let payload = client
        .get(format!("{url}/payload"))
        .header("X-Auth-Token", token)
        .header("Accept", "application/octet-stream")
        .send()
        .await?;
    let payload = match payload.status() {
        StatusCode::OK => Ok(hex::encode(payload.bytes().await?)),
        status => Err(status),
    };
    let acl = api
        .succeed(reqwest::Method::GET, &format!("{url}/acl"), None)
        .await?;
    let users = acl.body["read"]["users"].as_array();
    let readers = users.into_iter().flatten().filter_map(Value::as_str);
    Ok(Secret {
        id,
        name: listed["name"].as_str().map(str::to_owned),
        active: listed["status"] == "ACTIVE",
        payload,
        readers: readers.map(str::to_owned).collect(),
    })
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("without a name");
        write!(f, "secret {} ({name})", self.id)
    }
}

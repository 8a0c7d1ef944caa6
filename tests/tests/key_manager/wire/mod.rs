//! The wire: statuses, headers and bodies.

mod acls;
mod consumers;
mod discovery;
mod listing;
mod reading;
mod rights;
mod storing;
mod tokens;

use anyhow::{Context, Result};
use key_migrator_tests::{Cloud, User};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::testbed::{Testbed, http, token};

/// 16 bytes, in base64 and plain.
const PAYLOAD: &str = "AAECAwQFBgcICQoLDA0ODw==";
const PAYLOAD_BYTES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Somebody who talks to Barbican.
pub(crate) struct Caller {
    client: Client,
    endpoint: String,
    token: Option<String>,
}

impl Caller {
    /// A user, signed in anew.
    pub(crate) async fn new(cloud: &impl Testbed, user: &User) -> Result<Self> {
        Ok(Self::with_token(cloud, Some(token(cloud, user).await?)))
    }

    /// Who needs no user of its own.
    pub(crate) async fn anybody(cloud: &impl Testbed) -> Result<Self> {
        Ok(Self::with_token(cloud, Some(cloud.anybody().await?.token)))
    }

    pub(crate) fn with_token(cloud: &impl Cloud, token: Option<String>) -> Self {
        Self {
            client: http(),
            endpoint: cloud.barbican_endpoint(),
            token,
        }
    }

    /// A request below Barbican's root.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.endpoint));
        match &self.token {
            Some(token) => request.header("X-Auth-Token", token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        Reply::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Reply> {
        Reply::to(self.request(method, path).json(body)).await
    }

    async fn delete(&self, path: &str) -> Result<Reply> {
        Reply::to(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, secret: &Value) -> Result<Reply> {
        self.send(Method::POST, "/v1/secrets", secret).await
    }

    /// Stores a secret and returns its path.
    pub(crate) async fn store(&self, name: &str) -> Result<String> {
        let reply = self.post(&secret(name)).await?;
        assert_eq!(reply.status, 201, "{reply:?}");
        let reference = reply.json()?["secret_ref"]
            .as_str()
            .context("a secret_ref")?
            .to_owned();
        Ok(reference
            .strip_prefix(&self.endpoint)
            .context("a reference to here")?
            .to_owned())
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) async fn to(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} is no JSON", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Barbican's refusal, to the letter.
    fn assert_refused(&self, status: u16, description: &str) -> Result<()> {
        let title = match status {
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            413 => "Request Entity Too Large",
            415 => "Unsupported Media Type",
            _ => "Internal Server Error",
        };
        let expected = json!({ "code": status, "title": title, "description": description });
        assert_eq!((self.status, self.json()?), (status, expected));
        Ok(())
    }
}

/// The body that stores a secret as castellan does.
pub(crate) fn secret(name: &str) -> Value {
    json!({
        "name": name,
        "algorithm": "AES",
        "bit_length": 128,
        "secret_type": "symmetric",
        "payload": PAYLOAD,
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    })
}

fn not_allowed(what: &str) -> String {
    format!("{what} attempt not allowed - please review your user/project privileges")
}

//! Users of the cloud, reading their keys through Keystone and Barbican as any
//! client would. Shares no code with the program that it checks.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use reqwest::Client;
use reqwest::header::ACCEPT;
use secrecy::ExposeSecret;
use serde_json::json;
use zeroize::Zeroizing;

use crate::Cloud;
use crate::cinder::Planted;

/// Requests at one time; enough to hide a latency that was asked for.
const AT_ONCE: usize = 32;

type Answer = Result<Zeroizing<Vec<u8>>, String>;

pub(crate) struct Reader<'a> {
    cloud: &'a Cloud,
    planted: &'a Planted,
    client: Client,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(cloud: &'a Cloud, planted: &'a Planted) -> Self {
        Self {
            cloud,
            planted,
            client: http_client(),
        }
    }

    /// Reads each secret as the user beside it; the answers are in the same order.
    pub(crate) async fn read_all(&self, wanted: Vec<(String, String)>) -> Vec<Answer> {
        let mut tokens: BTreeMap<String, Result<String, String>> = BTreeMap::new();
        for (user_id, _) in &wanted {
            if !tokens.contains_key(user_id) {
                tokens.insert(user_id.clone(), self.token(user_id).await);
            }
        }
        let tokens = &tokens;
        futures_util::stream::iter(wanted)
            .map(|(user_id, secret_id)| async move {
                match tokens.get(&user_id) {
                    Some(Ok(token)) => self.payload(token, &secret_id).await,
                    Some(Err(why)) => Err(why.clone()),
                    None => Err("no token".to_owned()),
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    async fn token(&self, user_id: &str) -> Result<String, String> {
        let (user, project) = self.planted.user(user_id).ok_or("nobody knows this user")?;
        let login = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "id": user.id, "password": user.password.expose_secret(),
            }}},
            "scope": {"project": {"id": project.id}},
        }});
        let url = format!("{}/auth/tokens", self.cloud.keystone_url());
        let answer = self.client.post(url).json(&login).send().await;
        let answer = answer.map_err(|error| format!("Keystone does not answer: {error}"))?;
        let token = answer
            .headers()
            .get("x-subject-token")
            .and_then(|text| text.to_str().ok());
        token
            .map(ToOwned::to_owned)
            .ok_or_else(|| format!("Keystone says {}", answer.status()))
    }

    async fn payload(&self, token: &str, secret_id: &str) -> Answer {
        let url = format!(
            "{}/v1/secrets/{secret_id}/payload",
            self.cloud.barbican_url()
        );
        let request = self.client.get(url).header("x-auth-token", token);
        let answer = request
            .header(ACCEPT, "application/octet-stream")
            .send()
            .await;
        let answer = answer.map_err(|error| format!("Barbican does not answer: {error}"))?;
        if !answer.status().is_success() {
            return Err(format!("Barbican says {}", answer.status()));
        }
        let bytes = answer.bytes().await;
        let bytes = bytes.map_err(|error| format!("Barbican's answer breaks off: {error}"))?;
        Ok(Zeroizing::new(bytes.to_vec()))
    }
}

/// An HTTP client as somebody outside the program has one: no proxy, no TLS of
/// its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the cloud's users are not the program: they must not share the transport that they check"
)]
pub fn http_client() -> Client {
    Client::builder()
        .no_proxy()
        .build()
        .expect("a client without TLS settings can be built")
}

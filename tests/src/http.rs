//! The one home of the tests' own HTTP client.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// An HTTP client that talks to 127.0.0.1 only: without proxies and redirects.
///
/// # Panics
///
/// When the TLS library cannot start, which no test could survive.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tests call the services beside the program, not through the program's client"
)]
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client without certificates of its own can be built")
}

/// One request to an OpenStack API, with the answer's status and JSON body.
#[derive(Clone, Debug)]
pub struct Api {
    client: reqwest::Client,
    token: Option<String>,
}

/// An answer: the status, and the body as JSON (null if there is none).
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, or its text as a JSON string if it is not JSON.
    pub body: Value,
    /// The token that Keystone's answer carries in `X-Subject-Token`.
    pub subject_token: Option<String>,
}

impl Api {
    /// Requests without a token.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            client: client(),
            token: None,
        }
    }

    /// Requests with a token.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self {
            client: self.client.clone(),
            token: Some(token.into()),
        }
    }

    /// Sends one request and reads its answer, whatever its status is.
    ///
    /// # Errors
    ///
    /// When no answer comes.
    pub async fn call(&self, method: Method, url: &str, body: Option<Value>) -> Result<Answer> {
        let mut request = self.request(&method, url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        answer(request)
            .await
            .with_context(|| format!("{method} {url}"))
    }

    /// One request about the token `subject`, which must succeed.
    ///
    /// # Errors
    ///
    /// When no answer comes, or one that is not a success.
    pub async fn subject(&self, method: Method, url: &str, subject: &str) -> Result<Answer> {
        let request = self
            .request(&method, url)
            .header("X-Subject-Token", subject);
        success(answer(request).await).with_context(|| format!("{method} {url}"))
    }

    /// As [`call`](Self::call), but a status other than 2xx is an error.
    ///
    /// # Errors
    ///
    /// When no answer comes, or one that is not a success.
    pub async fn succeed(&self, method: Method, url: &str, body: Option<Value>) -> Result<Answer> {
        success(self.call(method.clone(), url, body).await)
            .with_context(|| format!("{method} {url}"))
    }

    fn request(&self, method: &Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method.clone(), url);
        match &self.token {
            Some(token) => request.header("X-Auth-Token", token),
            None => request,
        }
    }
}

fn success(answer: Result<Answer>) -> Result<Answer> {
    let answer = answer?;
    if !answer.status.is_success() {
        bail!("answered {}: {}", answer.status, answer.body);
    }
    Ok(answer)
}

async fn answer(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let subject_token = response
        .headers()
        .get("X-Subject-Token")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let text = response.text().await?;
    let body = match text.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(Answer {
        status,
        body,
        subject_token,
    })
}

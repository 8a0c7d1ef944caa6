//! The one home of the HTTP client: a limit on everything, nothing done twice, and errors that
//! tell whether anything was sent.
//!
//! An idle connection is kept for one second. What stands before a service closes idle connections
//! after 2 s (gunicorn), 5 s (Apache) or 10 s and more (HAProxy, uwsgi), and a connection that
//! closes under a POST leaves its outcome unknown, which costs minutes; a new connection costs
//! milliseconds. While keys are in flight, connections are never idle for a second.
//!
//! One repetition cannot be switched off: hyper sends a request again whose connection had closed
//! before the first byte of it was written. Nothing was sent then, so nothing is sent twice.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use key_migration::ids::RequestId;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, StatusCode, redirect, retry};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;
use zeroize::Zeroizing;

use crate::config::{ClientCertificate, ConfigError, ServerTrust, Timeouts};
use crate::observer::{Api, Operation, Outcome, RequestObserver};

const USER_AGENT: &str = concat!("cinder-key-migrator/", env!("CARGO_PKG_VERSION"));
const IDLE_CONNECTION: Duration = Duration::from_secs(1);

/// The longest answer that is read, in bytes: a hundred secrets in a listing take 60 KiB, a large
/// catalogue 200 KiB.
const LONGEST_ANSWER: usize = 1024 * 1024;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Sends requests to one service, and tells of each.
pub(crate) struct Transport {
    client: Client,
    api: Api,
    observer: Arc<dyn RequestObserver>,
    longest_answer: usize,
}

/// One request, which may be sent more than once.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) accept: &'static str,
    /// A body in JSON.
    pub(crate) body: Option<Bytes>,
    pub(crate) request: RequestId,
}

/// What came back, whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// No whole answer came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Nothing was written: the request may be repeated.
    #[error("{0}")]
    NotSent(String),
    /// Nobody knows what became of the request.
    #[error("{0}")]
    Unanswered(String),
}

impl Transport {
    pub(crate) fn new(client: Client, api: Api, observer: Arc<dyn RequestObserver>) -> Self {
        Self {
            client,
            api,
            observer,
            longest_answer: LONGEST_ANSWER,
        }
    }

    /// Reads answers of up to so many bytes.
    pub(crate) fn longest_answer(self, longest_answer: usize) -> Self {
        Self {
            longest_answer,
            ..self
        }
    }

    /// Sends the request once.
    pub(crate) async fn send(
        &self,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, TransportError> {
        let started = Instant::now();
        let result = self.exchange(call, token).await;
        let duration = started.elapsed();
        let outcome = match &result {
            Ok(answer) => Outcome::from(answer.status),
            Err(failure) => failure.outcome,
        };
        self.observer
            .observe(self.api, call.operation, outcome, duration);
        trace_request(call, &result, duration);
        result.map_err(|failure| failure.error)
    }

    async fn exchange(&self, call: &Call, token: Option<&HeaderValue>) -> Result<Answer, Failure> {
        let mut request = self
            .client
            .request(call.method.clone(), call.url.clone())
            .header(REQUEST_ID, call.request.to_string())
            .header(ACCEPT, call.accept);
        if let Some(token) = token {
            request = request.header(AUTH_TOKEN, token.clone());
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let mut response = request.send().await.map_err(Failure::from)?;
        let body = read_body(&mut response, self.longest_answer).await?;
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

/// Reads the whole answer into memory that is wiped, also where it had to grow.
async fn read_body(
    response: &mut reqwest::Response,
    longest: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let expected = response.content_length().unwrap_or(0);
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    if expected > longest {
        return Err(Failure::longer_than(longest));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(expected));
    while let Some(chunk) = response.chunk().await.map_err(Failure::from)? {
        let length = body.len() + chunk.len();
        if length > longest {
            return Err(Failure::longer_than(longest));
        }
        if length > body.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * length));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

struct Failure {
    error: TransportError,
    outcome: Outcome,
}

impl Failure {
    fn longer_than(longest: usize) -> Self {
        Self {
            error: TransportError::Unanswered(format!("its answer is longer than {longest} bytes")),
            outcome: Outcome::Broken,
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let text = cause(&error);
        if error.is_connect() || error.is_builder() {
            return Self {
                error: TransportError::NotSent(text),
                outcome: Outcome::NotSent,
            };
        }
        if error.is_timeout() {
            return Self {
                error: TransportError::Unanswered("it did not answer in time".into()),
                outcome: Outcome::TimedOut,
            };
        }
        Self {
            error: TransportError::Unanswered(text),
            outcome: Outcome::Broken,
        }
    }
}

/// The innermost cause, which is the one an operator can use (`Connection refused`, `invalid peer
/// certificate: UnknownIssuer`).
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match error.source() {
        None => "the request cannot be built".into(),
        Some(_) => innermost.to_string(),
    }
}

fn trace_request(call: &Call, result: &Result<Answer, Failure>, duration: Duration) {
    let (method, path, request) = (&call.method, call.url.path(), call.request);
    let milliseconds = duration.as_millis();
    match result {
        Ok(answer) => debug!(
            request_id = %request,
            "{method} {path}: {status} after {milliseconds} ms, answered as {answered}",
            status = answer.status.as_u16(),
            answered = answered_as(&answer.headers),
        ),
        Err(failure) => debug!(
            request_id = %request,
            "{method} {path}: no answer after {milliseconds} ms: {error}",
            error = failure.error
        ),
    }
}

/// The request ID under which the service logged it; anything else than one is not logged.
fn answered_as(headers: &HeaderMap) -> &str {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| id.len() <= 64 && id.starts_with("req-"))
        .unwrap_or("-")
}

/// Builds an HTTP client with these limits: no proxy, no redirect, nothing done twice.
///
/// # Errors
/// Names the option and the file where a bundle or a certificate cannot be used.
pub fn client(
    trust: &ServerTrust,
    certificate: Option<&ClientCertificate>,
    timeouts: Timeouts,
) -> Result<Client, ConfigError> {
    let tls_failed = |error: reqwest::Error| ConfigError::Tls(cause(&error));
    let certificate = certificate.map(identity).transpose()?;
    let limited = || match &certificate {
        Some(certificate) => limited(timeouts).identity(certificate.clone()),
        None => limited(timeouts),
    };
    match trust {
        ServerTrust::System => limited().build().or_else(|error| {
            warn!(
                "no certificate authority of this system can be used ({}): HTTPS will not work \
                 until one is installed or configured",
                cause(&error)
            );
            limited().tls_certs_only([]).build().map_err(tls_failed)
        }),
        ServerTrust::Bundle { path, option } => limited()
            .tls_certs_only(bundle(path, option)?)
            .build()
            .map_err(tls_failed),
        ServerTrust::Anything { option } => {
            warn!(
                "{option} switches the check of certificates off: whoever stands between this \
                 host and the service can read the keys"
            );
            limited()
                .tls_danger_accept_invalid_certs(true)
                .build()
                .map_err(tls_failed)
        }
    }
}

/// A certificate and its key, as they are sent to a server that asks.
fn identity(files: &ClientCertificate) -> Result<Identity, ConfigError> {
    let read = |path: &Path, option: &str| {
        let pem = fs::read(path).map_err(|source| ConfigError::UnreadableBundle {
            option: option.into(),
            path: path.into(),
            source,
        })?;
        Ok(Zeroizing::new(pem))
    };
    let bad = |path: &Path, option: &str, problem| ConfigError::BadCertificate {
        option: option.into(),
        path: path.into(),
        problem,
    };
    let (path, option) = (&files.certificate, &files.certificate_option);
    let certificate = read(path, option)?;
    let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(bad(path, option, "holds no certificate in PEM form"));
    }
    let (key_path, key_option) = match &files.key {
        Some((path, option)) => (path, option),
        None => (path, option),
    };
    let pem = read(key_path, key_option)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let problem = "holds no private key in PEM form that is not encrypted";
        bad(key_path, key_option, problem)
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => "does not belong to the certificate",
            _ => "holds a private key that cannot be used",
        };
        bad(key_path, key_option, problem)
    })?;
    let mut both = Zeroizing::new(Vec::with_capacity(certificate.len() + pem.len() + 1));
    both.extend_from_slice(&certificate);
    if files.key.is_some() {
        both.push(b'\n');
        both.extend_from_slice(&pem);
    }
    Identity::from_pem(&both).map_err(|_| bad(key_path, key_option, "cannot be used"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one home of HTTP clients"
)]
fn limited(timeouts: Timeouts) -> ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .http1_only()
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
        .pool_idle_timeout(IDLE_CONNECTION)
}

fn bundle(path: &Path, option: &str) -> Result<Vec<Certificate>, ConfigError> {
    let unreadable = |source| ConfigError::UnreadableBundle {
        option: option.into(),
        path: path.into(),
        source,
    };
    let certificates = if path.is_dir() {
        let mut all = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            // Beside certificates such a folder may hold anything.
            if let Ok(pem) = fs::read(file) {
                all.extend(Certificate::from_pem_bundle(&pem).unwrap_or_default());
            }
        }
        all
    } else {
        let pem = fs::read(path).map_err(unreadable)?;
        Certificate::from_pem_bundle(&pem).unwrap_or_default()
    };
    if certificates.is_empty() {
        return Err(ConfigError::BadBundle {
            option: option.into(),
            path: path.into(),
        });
    }
    Ok(certificates)
}

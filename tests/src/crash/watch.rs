//! A relay in front of Barbican that sees what is stored, for runs that are killed.
//!
//! A request that has come through completes even when its sender is gone, as in Barbican itself,
//! and it can be awaited that nothing is under way any more.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::http;
use crate::relay::without_framing;

/// Far above any request of the program's.
const MOST_BYTES: usize = 1 << 20;

/// A request to store a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The name that the secret was to have.
    pub name: String,
    /// The secret, once Barbican has stored it.
    pub secret_id: Option<Uuid>,
}

/// The relay. It ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Seen {
    target: String,
    client: reqwest::Client,
    posts: Mutex<Vec<Post>>,
    arrived: watch::Sender<usize>,
    /// Connections, and what came on them.
    under_way: TaskTracker,
}

impl Watch {
    /// Starts a relay to the service at this URL (scheme, host and port).
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn before(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen {
            target: target.trim_end_matches('/').to_owned(),
            client: http::client(),
            posts: Mutex::default(),
            arrived: watch::Sender::new(0),
            under_way: TaskTracker::new(),
        });
        seen.under_way.close();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Ok(Self {
            address,
            seen,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests to store a secret have come, since the relay was started.
    pub async fn posts_have_come(&self, count: usize) {
        let mut arrived = self.seen.arrived.subscribe();
        // The sender lives in self, so the channel cannot close while waiting.
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
    }

    /// Waits until all who have connected so far are gone, and Barbican has answered all that they
    /// sent: after that nothing more can come of a program that was killed.
    pub async fn hung_up(&self) {
        // Connections are accepted in turn: once this one is, so are those before it.
        if let Ok(mut last) = TcpStream::connect(self.address).await {
            let _ = last.shutdown().await;
            let _ = last.read_to_end(&mut Vec::new()).await;
        }
        self.seen.under_way.wait().await;
    }

    /// Every request to store a secret, in the order in which they came.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.seen.posts().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Seen {
    fn posts(&self) -> MutexGuard<'_, Vec<Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request to store a secret, and says which it is.
    fn note(&self, name: String) -> usize {
        let mut posts = self.posts();
        posts.push(Post {
            name,
            secret_id: None,
        });
        self.arrived.send_replace(posts.len());
        posts.len() - 1
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let app = Router::new()
        .fallback(pass_on)
        .with_state(Arc::clone(&seen));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        // One that breaks is what this is for.
        seen.under_way.spawn(async { drop(connection.await) });
    }
}

async fn pass_on(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let under_way = seen.under_way.clone();
    let forwarded = under_way
        .spawn(async move { forward(&seen, parts, body).await })
        .await;
    match forwarded {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn forward(seen: &Seen, parts: Parts, body: Bytes) -> Result<Response> {
    let rest = parts.uri.path_and_query().context("a request has a path")?;
    let stores = parts.method == Method::POST && parts.uri.path() == "/v1/secrets";
    let post = stores.then(|| seen.note(text_of(&body, "name")));
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = seen
        .client
        .request(parts.method, format!("{}{rest}", seen.target))
        .headers(headers)
        .body(body)
        .send()
        .await?;
    let (status, headers) = (answer.status(), without_framing(answer.headers()));
    let body = answer.bytes().await?;
    if let (Some(post), StatusCode::CREATED) = (post, status) {
        let reference = text_of(&body, "secret_ref");
        let id = reference.rsplit('/').next().unwrap_or_default();
        seen.posts()[post].secret_id = Some(id.parse().context("a secret_ref ends with an ID")?);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// A text in a JSON object; empty where there is none.
fn text_of(body: &[u8], key: &str) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body[key].as_str().unwrap_or_default().to_owned()
}

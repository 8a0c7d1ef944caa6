//! A relay in front of an HTTP service: it passes requests on, lets a test act between a request
//! and its answer, and can be taken away and given back.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::free_port::free_port;
use crate::http;

/// What is done after a request, with this path and query, was answered, before the answer is passed
/// back.
pub type Between = Arc<dyn Fn(Method, String) -> BoxFuture<'static, ()> + Send + Sync>;

/// A relay for HTTP.
#[derive(Debug)]
pub struct HttpRelay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl HttpRelay {
    /// Starts a relay to the service at this URL (scheme, host and port).
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn to(target: &str, between: Between) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let target = target.trim_end_matches('/').to_owned();
        let app = Router::new()
            .fallback(pass_on)
            .with_state((target, between));
        let task = tokio::spawn(async move {
            // It serves until the relay is dropped.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for HttpRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State((target, between)): State<(String, Between)>, request: Request) -> Response {
    match forward(&target, request).await {
        Ok((method, path, answer)) => {
            between(method, path).await;
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

async fn forward(target: &str, request: Request) -> Result<(Method, String, Response)> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().context("a request has a path")?;
    let path = path.as_str().to_owned();
    let body = to_bytes(body, 1 << 20).await?;
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = http::client()
        .request(parts.method.clone(), format!("{target}{path}"))
        .headers(headers)
        .body(body)
        .send()
        .await?;
    let (status, headers) = (answer.status(), without_framing(answer.headers()));
    let mut response = Response::new(Body::from(answer.bytes().await?));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok((parts.method, path, response))
}

/// The headers but for those that are about one connection only.
pub(crate) fn without_framing(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for framing in ["transfer-encoding", "content-length", "connection"] {
        headers.remove(framing);
    }
    headers
}

/// A relay for any TCP service, such as a database, that can go away and come back.
#[derive(Debug)]
pub struct TcpRelay {
    address: SocketAddr,
    target: String,
    /// While it is there.
    listening: Option<JoinHandle<()>>,
    cut: watch::Sender<u64>,
}

impl TcpRelay {
    /// Prepares a relay to this `host:port`; nobody listens yet.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub fn to(target: &str) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let (cut, _) = watch::channel(0);
        Ok(Self {
            address,
            target: target.to_owned(),
            listening: None,
            cut,
        })
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The service is gone: every connection breaks, and new ones are refused.
    ///
    /// # Errors
    ///
    /// When the listener did not end as it should.
    pub async fn take_away(&mut self) -> Result<()> {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let ended = listening.await;
            ensure!(
                ended.is_err_and(|error| error.is_cancelled()),
                "the relay had ended by itself"
            );
        }
        self.cut.send_modify(|cuts| *cuts += 1);
        Ok(())
    }

    /// The service is there, again.
    ///
    /// # Errors
    ///
    /// When somebody else has taken the port.
    pub async fn give(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let (target, cut) = (self.target.clone(), self.cut.clone());
        self.listening = Some(tokio::spawn(accept(listener, target, cut)));
        Ok(())
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

async fn accept(listener: TcpListener, target: String, cut: watch::Sender<u64>) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let mut cuts = cut.subscribe();
        let target = target.clone();
        tokio::spawn(async move {
            let Ok(mut outside) = TcpStream::connect(&target).await else {
                return;
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

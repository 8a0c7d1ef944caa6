//! A proxy that breaks what passes through it, between the program and Keystone, Barbican or
//! MariaDB: at the level of bytes, so that a reset is a reset and half an answer is half an answer.
//!
//! What goes wrong is told by [`Rule`]s: which request, what happens to it, how often. Each returns
//! a handle that counts, that can be awaited, and that heals.
//!
//! ```no_run
//! # use key_migrator_tests::*;
//! use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Request, Rule};
//!
//! # async fn test(cloud: &RealCloud, conf: CinderConf) -> anyhow::Result<()> {
//! let barbican = FaultProxy::http(&cloud.barbican_endpoint()).await?;
//! let lost = barbican.add(Rule::once(Request::Store, Fault::ReplyLost));
//! let conf = conf.set(
//!     "barbican",
//!     "barbican_endpoint",
//!     &barbican.through(&cloud.barbican_endpoint()),
//! );
//! let program = Program::start(&conf)?;
//! lost.fired(1).await;
//! # Ok(())
//! # }
//! ```
//!
//! A request is read whole before anything is decided about it, and answers are read whole before
//! they are passed on, so that "it took effect" is certain and not a matter of time. Each exchange
//! has a connection of its own to an HTTP service, so that no idle connection closes under it.

mod buffered;
mod http;
mod mysql;
mod rules;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use crate::free_port::free_port;
use buffered::Buffered;
pub use rules::{Fault, Handle, Request, Rule};
use rules::{Met, Rules};

/// A proxy in front of one service. Dropping it ends all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    protocol: Protocol,
    address: SocketAddr,
    /// `host:port` of the service.
    target: String,
    rules: Arc<Rules>,
    /// While it is there.
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http,
    MySql,
}

impl FaultProxy {
    /// Starts a proxy to the HTTP service at this URL.
    ///
    /// # Errors
    ///
    /// When the URL names no host and port, or it cannot listen.
    pub async fn http(url: &str) -> Result<Self> {
        Self::start(Protocol::Http, url).await
    }

    /// Starts a proxy to the MariaDB of this connection URL. What passes is not encrypted.
    ///
    /// # Errors
    ///
    /// When the URL names no host and port, or it cannot listen.
    pub async fn mysql(url: &str) -> Result<Self> {
        Self::start(Protocol::MySql, url).await
    }

    async fn start(protocol: Protocol, url: &str) -> Result<Self> {
        let proxy = Self {
            protocol,
            address: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
            target: authority(url)?.to_owned(),
            rules: Arc::default(),
            listening: Mutex::default(),
        };
        proxy.give_back().await?;
        Ok(proxy)
    }

    /// The same URL, but through this proxy.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        url.replacen(&self.target, &self.address.to_string(), 1)
    }

    /// From now on this goes wrong. Where several rules are about a request, the oldest that is
    /// not used up or healed decides.
    pub fn add(&self, rule: Rule) -> Handle {
        self.rules.add(rule)
    }

    /// How many such requests have come, whatever became of them.
    #[must_use]
    pub fn requests(&self, request: Request) -> u64 {
        self.rules.requests(request)
    }

    /// The service is gone: every connection ends, and new ones are refused.
    ///
    /// # Errors
    ///
    /// When the listener had ended by itself.
    pub async fn take_away(&self) -> Result<()> {
        if let Some(listening) = self.listening.lock().await.take() {
            listening.abort();
            let ended = listening.await;
            ensure!(
                ended.is_err_and(|error| error.is_cancelled()),
                "the proxy had ended by itself"
            );
        }
        Ok(())
    }

    /// The service is there, again.
    ///
    /// # Errors
    ///
    /// When somebody else has taken the port.
    pub async fn give_back(&self) -> Result<()> {
        let mut listening = self.listening.lock().await;
        if listening.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            let (protocol, target) = (self.protocol, self.target.clone());
            let rules = Arc::clone(&self.rules);
            *listening = Some(tokio::spawn(accept(listener, protocol, target, rules)));
        }
        Ok(())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.get_mut().take() {
            listening.abort();
        }
    }
}

/// Serves connections; they end when this does.
async fn accept(listener: TcpListener, protocol: Protocol, target: String, rules: Arc<Rules>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let (target, rules) = (target.clone(), Arc::clone(&rules));
                connections.spawn(async move {
                    // Small packets go at once, as they would without us.
                    let _ = client.set_nodelay(true);
                    // A connection that breaks is what this is for; there is nobody to tell.
                    let _ = match protocol {
                        Protocol::Http => http::serve(client, &target, &rules).await,
                        Protocol::MySql => mysql::serve(client, &target, &rules).await,
                    };
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(target: &str) -> Result<TcpStream> {
    let server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Ends the connection with a reset instead of an end.
fn reset(client: TcpStream) -> Result<()> {
    client.set_zero_linger()?;
    drop(client);
    Ok(())
}

/// Answers nothing until the client has left; when the rule is healed before, the connection is
/// reset.
async fn swallow(mut client: Buffered, met: &Met) -> Result<()> {
    tokio::select! {
        () = client.left() => Ok(()),
        () = met.healed() => reset(client.stream),
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> Result<&str> {
    let (_, rest) = url.split_once("://").context("a URL")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    Ok(authority.rsplit('@').next().unwrap_or(authority))
}

//! Listening and serving, with a limit on everything that a client can take from us.

use std::collections::VecDeque;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use std::{io, net};

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::events::Closing;
use crate::settings::Listen;

/// Most connections at a time; for a further one the oldest is given up.
const MOST_CONNECTIONS: usize = 128;
/// What every connection has before that, so that a crowd does not drive out one another, and a
/// probe among them, at the speed of our processor. With the number above it is how many a second
/// are let in: more than two thousand clients that come again each second, or a probe would wait
/// behind them.
const LEAST_TIME: Duration = Duration::from_millis(50);
/// Most who wait to be let in, if the kernel allows it: one who finds the queue full waits for as
/// long as TCP takes to try again, which is seconds.
const QUEUE: u32 = 4096;
/// For the head of a request, and so also the longest time that a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Most bytes that are kept of what a client sends.
const BUFFER: usize = 16 * 1024;
/// A connection is closed after this time, between two requests.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// What a client then has to read its last answer.
const LAST_ANSWER_TIME: Duration = Duration::from_secs(5);
/// The same when the process ends.
const LAST_ANSWER_TIME_AT_THE_END: Duration = Duration::from_millis(500);

/// The configured address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error(
    "[key_migrator] listen: cannot serve HTTP at {listen}: {source}; end what uses this address, \
     or set another one"
)]
pub(crate) struct BindError {
    listen: Listen,
    source: io::Error,
}

/// A bound address, which no runtime serves yet.
#[derive(Debug)]
pub(crate) enum Listener {
    /// TCP
    Tcp(net::TcpListener),
    /// A socket in the file system, removed when dropped.
    Unix(StdUnixListener, SocketFile),
}

impl Listener {
    /// Binds the address. A socket file that nobody serves any more is replaced.
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, BindError> {
        let bound = match listen {
            Listen::Tcp { host, port } => bind_tcp(host, *port).await,
            Listen::Unix(path) => bind_unix(path).await,
        };
        bound.map_err(|source| BindError {
            listen: listen.clone(),
            source,
        })
    }

    /// The address as a log line shows it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "?".to_owned(), |address| address.to_string()),
            Self::Unix(_, SocketFile(path)) => format!("unix:{}", path.display()),
        }
    }
}

/// The first address of this name that can be listened at.
async fn bind_tcp(host: &str, port: u16) -> io::Result<Listener> {
    let mut failure = io::ErrorKind::NotFound.into();
    for address in lookup_host((host, port)).await? {
        match listen_at(address) {
            Ok(listener) => return listener.into_std().map(Listener::Tcp),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_at(address: net::SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As whatever else listens: what is left of an earlier process is in nobody's way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

async fn bind_unix(path: &Path) -> io::Result<Listener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path).await {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            Err(error) => return Err(error),
        }
    }
    let listener = UnixListener::bind(path)?.into_std()?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}

/// Removes the file when it is no longer served.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        _ = std::fs::remove_file(&self.0);
    }
}

/// A bound address that the runtime of this thread serves.
pub(super) enum Served {
    Tcp(TcpListener),
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "it is there to be dropped")] SocketFile,
    ),
}

impl TryFrom<Listener> for Served {
    type Error = io::Error;

    fn try_from(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(tcp) => Self::Tcp(TcpListener::from_std(tcp)?),
            Listener::Unix(unix, file) => Self::Unix(UnixListener::from_std(unix)?, file),
        })
    }
}

/// Serves until told to stop.
pub(super) async fn serve(listener: Served, router: Router, stop: CancellationToken) {
    let mut server = Server {
        router,
        stop: stop.clone(),
        running: TaskTracker::new(),
        connections: VecDeque::with_capacity(MOST_CONNECTIONS),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = server.accept(&listener) => {}
    }
    // Nobody new is kept waiting for an answer that will not come.
    drop(listener);
    server.running.close();
    _ = timeout(LAST_ANSWER_TIME_AT_THE_END, server.running.wait()).await;
}

struct Server {
    router: Router,
    stop: CancellationToken,
    running: TaskTracker,
    /// The oldest first.
    connections: VecDeque<Connection>,
}

struct Connection {
    since: Instant,
    task: AbortHandle,
}

impl Server {
    async fn accept(&mut self, listener: &Served) {
        loop {
            match listener {
                Served::Tcp(tcp) => match tcp.accept().await {
                    Ok((stream, _)) => self.serve(stream).await,
                    Err(error) => wait_out(&error).await,
                },
                Served::Unix(unix, _) => match unix.accept().await {
                    Ok((stream, _)) => self.serve(stream).await,
                    Err(error) => wait_out(&error).await,
                },
            }
        }
    }

    /// Whoever comes is served, so that a probe is answered however many others sit and wait.
    async fn serve(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        self.make_room().await;
        let connection = connection(stream, self.router.clone(), self.stop.child_token());
        self.connections.push_back(Connection {
            since: Instant::now(),
            task: self.running.spawn(connection).abort_handle(),
        });
    }

    async fn make_room(&mut self) {
        if self.connections.len() < MOST_CONNECTIONS {
            return;
        }
        self.connections.retain(|one| !one.task.is_finished());
        if self.connections.len() < MOST_CONNECTIONS {
            return;
        }
        if let Some(oldest) = self.connections.pop_front() {
            sleep_until(oldest.since + LEAST_TIME).await;
            oldest.task.abort();
        }
    }
}

/// Such as a lack of file descriptors.
async fn wait_out(error: &io::Error) {
    tracing::warn!("cannot accept an HTTP connection: {error}");
    sleep(Duration::from_secs(1)).await;
}

/// `closing` ends it, and tells answers without an end that it does.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    closing: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let token = closing.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Closing(token.clone()));
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // A client that breaks off or speaks no HTTP is its own affair.
    tokio::select! {
        _ = served.as_mut() => return,
        () = closing.cancelled() => {}
        () = sleep(CONNECTION_TIME) => closing.cancel(),
    }
    served.as_mut().graceful_shutdown();
    _ = timeout(LAST_ANSWER_TIME, served).await;
}

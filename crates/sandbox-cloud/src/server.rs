//! One service's socket. It can be stopped and started again on the same port
//! ("Keystone is away"), and one connection can be closed without an answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A service that listens on one address of 127.0.0.1 as long as it is started.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    app: Router,
    running: Mutex<Option<Running>>,
    /// What is held by a connection, and by each request that came on it.
    callers: TaskTracker,
}

#[derive(Debug)]
struct Running {
    accepting: JoinHandle<()>,
    connections: CancellationToken,
}

impl Server {
    /// Serves `app` on the listener's address.
    pub(crate) fn start_on(listener: TcpListener, app: Router) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let callers = TaskTracker::new();
        // It can be waited for only when closed, which keeps nobody out.
        callers.close();
        let server = Self {
            address,
            app,
            running: Mutex::new(None),
            callers,
        };
        server.serve(listener);
        Ok(server)
    }

    pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
    }

    /// Starts again after [`Server::stop`]; does nothing while running.
    pub(crate) async fn start(&self) -> io::Result<()> {
        if self.lock().is_none() {
            self.serve(Self::bind(self.address.port()).await?);
        }
        Ok(())
    }

    /// Stops listening and closes every connection, answered or not.
    pub(crate) async fn stop(&self) {
        let running = self.lock().take();
        if let Some(Running {
            accepting,
            connections,
        }) = running
        {
            connections.cancel();
            accepting.abort();
            // The listening socket is closed once the task has ended.
            let _ = accepting.await;
        }
    }

    /// Waits until all who have connected so far are gone, and all that they sent is done.
    pub(crate) async fn hung_up(&self) {
        // Connections are accepted in turn: once this one is, so are those before it.
        if let Ok(mut last) = TcpStream::connect(self.address).await {
            let _ = last.shutdown().await;
            let _ = last.read_to_end(&mut Vec::new()).await;
        }
        self.callers.wait().await;
    }

    fn serve(&self, listener: TcpListener) {
        let connections = CancellationToken::new();
        let listener = ClosableListener {
            listener,
            connections: connections.clone(),
            callers: self.callers.clone(),
        };
        let app = self
            .app
            .clone()
            .into_make_service_with_connect_info::<Connection>();
        let accepting = tokio::spawn(async move {
            // It never ends by itself: the listener above waits out accept errors.
            let _ = axum::serve(listener, app).await;
        });
        *self.lock() = Some(Running {
            accepting,
            connections,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.lock().take() {
            running.connections.cancel();
            running.accepting.abort();
        }
    }
}

/// The connection a request came on.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    token: CancellationToken,
    _caller: TaskTrackerToken,
}

impl Connection {
    /// Closes it; an answer that is not written yet never will be.
    pub(crate) fn close(&self) {
        self.token.cancel();
    }
}

impl Connected<IncomingStream<'_, ClosableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ClosableListener>) -> Self {
        Self {
            token: stream.io().token.clone(),
            _caller: stream.io().caller.clone(),
        }
    }
}

pub(crate) struct ClosableListener {
    listener: TcpListener,
    connections: CancellationToken,
    callers: TaskTracker,
}

impl Listener for ClosableListener {
    type Io = ClosableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (ClosableStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Small answers must not wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let token = self.connections.child_token();
                    let stream = ClosableStream::new(stream, token, self.callers.token());
                    return (stream, address);
                }
                // Out of file descriptors, most likely: room comes when connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

pub(crate) struct ClosableStream {
    stream: TcpStream,
    token: CancellationToken,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    caller: TaskTrackerToken,
}

impl ClosableStream {
    fn new(stream: TcpStream, token: CancellationToken, caller: TaskTrackerToken) -> Self {
        let closed = Box::pin(token.clone().cancelled_owned());
        Self {
            stream,
            token,
            closed,
            caller,
        }
    }

    fn check_open(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for ClosableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_open(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClosableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_open(context)?;
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

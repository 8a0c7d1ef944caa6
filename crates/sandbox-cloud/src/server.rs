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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A service that listens on one address of 127.0.0.1 as long as it is started.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    app: Router,
    running: Mutex<Option<Running>>,
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
        let server = Self {
            address,
            app,
            running: Mutex::new(None),
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

    fn serve(&self, listener: TcpListener) {
        let connections = CancellationToken::new();
        let listener = ClosableListener {
            listener,
            connections: connections.clone(),
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
pub(crate) struct Connection(CancellationToken);

impl Connection {
    /// Closes it; an answer that is not written yet never will be.
    pub(crate) fn close(&self) {
        self.0.cancel();
    }
}

impl Connected<IncomingStream<'_, ClosableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, ClosableListener>) -> Self {
        Self(stream.io().token.clone())
    }
}

pub(crate) struct ClosableListener {
    listener: TcpListener,
    connections: CancellationToken,
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
                    return (
                        ClosableStream::new(stream, self.connections.child_token()),
                        address,
                    );
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
}

impl ClosableStream {
    fn new(stream: TcpStream, token: CancellationToken) -> Self {
        let closed = Box::pin(token.clone().cancelled_owned());
        Self {
            stream,
            token,
            closed,
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

//! A TCP tunnel to a server, which can be cut and laid again.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The tunnel. It ends with its value.
pub(crate) struct Tunnel {
    port: u16,
    server: u16,
    needle: Arc<Mutex<Option<&'static [u8]>>>,
    carrying: JoinHandle<()>,
}

impl Tunnel {
    /// Lays a tunnel from a free port of 127.0.0.1 to this one.
    pub(crate) async fn to(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let needle = Arc::default();
        let carrying = tokio::spawn(carry(listener, server, Arc::clone(&needle)));
        Ok(Self {
            port,
            server,
            needle,
            carrying,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        self.carrying.abort();
        let ended = (&mut self.carrying).await;
        assert!(ended.is_err(), "the tunnel was cut already");
    }

    /// Takes connections again, at the same port.
    pub(crate) async fn reopen(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        self.carrying = tokio::spawn(carry(listener, self.server, Arc::clone(&self.needle)));
        Ok(())
    }

    /// The next request that holds these bytes reaches the server, whose answer does not come
    /// back: the connection breaks instead.
    pub(crate) fn lose_the_answer_to(&self, needle: &'static [u8]) {
        *self.needle.lock().expect("nobody panics while holding it") = Some(needle);
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(listener: TcpListener, server: u16, needle: Arc<Mutex<Option<&'static [u8]>>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry_one(client, server, Arc::clone(&needle)));
    }
}

async fn carry_one(
    mut client: TcpStream,
    server: u16,
    needle: Arc<Mutex<Option<&'static [u8]>>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut request, mut answer) = (vec![0; 65536], vec![0; 65536]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let request = &request[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                server.write_all(request).await?;
                let found = needle
                    .lock()
                    .expect("nobody panics while holding it")
                    .take_if(|needle| request.windows(needle.len()).any(|it| it == *needle));
                if found.is_some() {
                    server.readable().await?;
                    return Ok(());
                }
            }
            read = server.read(&mut answer) => {
                let answer = &answer[..read?];
                if answer.is_empty() {
                    return Ok(());
                }
                client.write_all(answer).await?;
            }
        }
    }
}

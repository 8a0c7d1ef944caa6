//! Clients that take what they can, and what a probe waits beside them.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http;
use crate::program::DEADLINE;

/// Rude clients on a thread of their own, until it is dropped.
#[derive(Debug)]
pub struct Crowd {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many, each of which connects again and again to this host and port: some say nothing,
    /// some a little at a time, some too much, some listen to events.
    ///
    /// # Errors
    ///
    /// When there is no thread for them.
    pub fn gather(address: &str, size: usize) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let address = address.to_owned();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = all(&address, size) => {}
                }
            });
        });
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A test that fails says why by itself.
            _ = thread.join();
        }
    }
}

async fn all(address: &str, size: usize) {
    let mut all = JoinSet::new();
    for n in 0..size {
        let address = address.to_owned();
        all.spawn(async move {
            loop {
                // That it is thrown out is what is wanted.
                _ = rude(&address, n).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    all.join_all().await;
}

async fn rude(address: &str, n: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match n % 4 {
        0 => _ = stream.read(&mut [0]).await?,
        1 => {
            for byte in b"GET /v1/status HTTP/1.1\r\nX-Slow: "
                .iter()
                .chain([&b'x'; 100])
            {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        2 => {
            let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024));
            stream.write_all(long.as_bytes()).await?;
            while stream.read(&mut [0; 1024]).await? > 0 {}
        }
        _ => {
            stream
                .write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n")
                .await?;
            while stream.read(&mut [0; 1024]).await? > 0 {}
        }
    }
    Ok(())
}

/// How long a new client waits for its answer. One that is thrown out in the crowd comes again, as
/// probes do.
///
/// # Errors
///
/// When it does not come in time.
pub async fn probe(address: &str, path: &str) -> Result<Duration> {
    let (client, url) = (http::client(), format!("http://{address}{path}"));
    let began = Instant::now();
    let asking = async {
        loop {
            let Ok(answer) = client.get(&url).send().await else {
                continue;
            };
            if answer.status() == 200 && answer.text().await.is_ok() {
                return;
            }
        }
    };
    timeout(DEADLINE, asking).await.context(path.to_owned())?;
    Ok(began.elapsed())
}

//! A server that says exactly what a test wants, byte by byte, with or without TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A request as it came.
pub(crate) struct Heard {
    /// Method, path and query.
    pub(crate) target: String,
    /// Request line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// What to do about it.
pub(crate) enum Act {
    /// Answer with this status, these header lines and this body.
    Answer(u16, Vec<String>, Vec<u8>),
    /// Send these bytes and nothing more, but stay.
    Stall(Vec<u8>),
}

/// Answers with this JSON.
pub(crate) fn json(status: u16, body: &serde_json::Value) -> Act {
    Act::Answer(status, Vec::new(), body.to_string().into_bytes())
}

/// Answers requests until the test ends.
pub(crate) async fn serve(act: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> SocketAddr {
    start(None, act).await
}

/// The same over TLS, for `localhost`; returns its certificate in PEM form too.
pub(crate) async fn serve_tls(
    act: impl Fn(&Heard) -> Act + Send + Sync + 'static,
) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key fits the certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    (start(Some(acceptor), act).await, made.cert.pem())
}

/// Accepts connections and closes them as soon as a request arrives, unread: a reset.
pub(crate) async fn serve_resets() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.expect("readable");
        }
    });
    address
}

async fn start(
    tls: Option<TlsAcceptor>,
    act: impl Fn(&Heard) -> Act + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let act = Arc::new(act);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (act, tls) = (Arc::clone(&act), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => converse(stream, &*act).await,
                    // A client that refuses our certificate ends the handshake.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => converse(stream, &*act).await,
                        Err(_) => None,
                    },
                }
            });
        }
    });
    address
}

/// Until the client goes.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    act: &(impl Fn(&Heard) -> Act + Send + Sync),
) -> Option<()> {
    loop {
        let heard = hear(&mut stream).await?;
        match act(&heard) {
            Act::Stall(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.flush().await.ok()?;
                std::future::pending::<()>().await;
            }
            Act::Answer(status, headers, body) => {
                let mut head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n",
                    body.len()
                );
                for header in headers {
                    head.push_str(&header);
                    head.push_str("\r\n");
                }
                head.push_str("\r\n");
                stream.write_all(head.as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
                stream.flush().await.ok()?;
            }
        }
    }
}

async fn hear<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let target = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Some(Heard {
        target,
        head,
        body: bytes.split_off(end),
    })
}

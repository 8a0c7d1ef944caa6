//! What speaks TLS for a service that does not, as HAProxy does before most Keystones.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use super::Certified;
use crate::cinder_conf::CinderConf;
use crate::cloud::Cloud;

/// It ends when it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Starts one before the service at this URL (scheme, host and port). With a bundle of
    /// authorities it asks every client for a certificate of theirs.
    ///
    /// # Errors
    ///
    /// When it cannot listen or the certificates cannot be used.
    pub async fn before(
        target: &str,
        server: &Certified,
        clients_of: Option<&Path>,
    ) -> Result<Self> {
        let target = target.split("://").last().unwrap_or_default();
        let target: SocketAddr = target.split('/').next().unwrap_or_default().parse()?;
        Self::start(target, Opening::AtOnce, server, clients_of).await
    }

    /// Starts one before a PostgreSQL server at this port.
    ///
    /// # Errors
    ///
    /// As [`before`](Self::before).
    pub async fn before_postgresql(
        port: u16,
        server: &Certified,
        clients_of: Option<&Path>,
    ) -> Result<Self> {
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        Self::start(target, Opening::Postgres, server, clients_of).await
    }

    async fn start(
        target: SocketAddr,
        opening: Opening,
        server: &Certified,
        clients_of: Option<&Path>,
    ) -> Result<Self> {
        let acceptor = acceptor(server, clients_of)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that is refused, or leaves, is nobody's concern.
                tokio::spawn(async move { pass_on(acceptor, opening, stream, target).await.ok() });
            }
        });
        Ok(Self { address, task })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What stands before both Keystone and Barbican.
#[derive(Debug)]
pub struct TlsFronts {
    keystone: TlsFront,
    barbican: TlsFront,
}

impl TlsFronts {
    /// As [`TlsFront::before`].
    ///
    /// # Errors
    ///
    /// As [`TlsFront::before`].
    pub async fn before(
        cloud: &impl Cloud,
        server: &Certified,
        clients_of: Option<&Path>,
    ) -> Result<Self> {
        let (keystone, barbican) = (cloud.auth_url(), cloud.barbican_endpoint());
        Ok(Self {
            keystone: TlsFront::before(&keystone, server, clients_of).await?,
            barbican: TlsFront::before(&barbican, server, clients_of).await?,
        })
    }

    /// A configuration that goes through these.
    #[must_use]
    pub fn used_by(&self, conf: CinderConf) -> CinderConf {
        let auth_url = format!("{}/v3", self.keystone.url());
        conf.set("keystone_authtoken", "auth_url", &auth_url).set(
            "barbican",
            "barbican_endpoint",
            &self.barbican.url(),
        )
    }
}

/// How TLS begins.
#[derive(Clone, Copy, Debug)]
enum Opening {
    /// With the first byte.
    AtOnce,
    /// The client asks for it (`SSLRequest`, 8 bytes), and is told `S`.
    Postgres,
}

async fn pass_on(
    acceptor: TlsAcceptor,
    opening: Opening,
    mut stream: TcpStream,
    target: SocketAddr,
) -> Result<()> {
    if let Opening::Postgres = opening {
        stream.read_exact(&mut [0; 8]).await?;
        stream.write_all(b"S").await?;
    }
    let mut client = acceptor.accept(stream).await?;
    let mut service = TcpStream::connect(target).await?;
    copy_bidirectional(&mut client, &mut service).await?;
    Ok(())
}

fn acceptor(server: &Certified, clients_of: Option<&Path>) -> Result<TlsAcceptor> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(bundle) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(bundle)? {
                roots.add(certificate?)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_file_iter(&server.certificate)?
        .collect::<Result<Vec<_>, _>>()
        .context("the server's certificate")?;
    let key = PrivateKeyDer::from_pem_file(&server.key).context("the server's key")?;
    let config = builder.with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

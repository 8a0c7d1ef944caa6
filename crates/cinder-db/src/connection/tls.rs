//! The files that TLS needs. They are looked at when the configuration is read, so that a wrong one
//! is a fault of the configuration and not of the database; a connection reads them again, so that a
//! renewed one counts.

use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::ConnectionError;

/// A certificate of our own, and the file with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Certificate authorities: at least one in PEM form.
pub(super) fn authorities(parameter: &'static str, path: &str) -> Result<PathBuf, ConnectionError> {
    let path = PathBuf::from(path);
    certificates(parameter, &path).map(|_| path)
}

/// The certificate that the database may ask for. Its key may be in the same file.
pub(super) fn client(
    [certificate_parameter, key_parameter]: [&'static str; 2],
    certificate: &str,
    key: Option<&str>,
) -> Result<ClientCertificate, ConnectionError> {
    let client = ClientCertificate {
        certificate: certificate.into(),
        key: key.unwrap_or(certificate).into(),
    };
    let chain = certificates(certificate_parameter, &client.certificate)?;
    let file = |problem| ConnectionError::TlsFile {
        parameter: if key.is_some() {
            key_parameter
        } else {
            certificate_parameter
        },
        path: client.key.clone(),
        problem,
    };
    let key = PrivateKeyDer::from_pem_file(&client.key).map_err(|error| {
        file(problem(
            &error,
            "holds no private key that is not encrypted",
        ))
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        file(match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("does not belong to {}", client.certificate.display())
            }
            _ => "holds a key that cannot be used".into(),
        })
    })?;
    Ok(client)
}

/// The system's own bundle of certificate authorities, where OpenSSL looks for it.
pub(super) fn system_authorities() -> Option<PathBuf> {
    openssl_probe::probe().cert_file
}

fn certificates(
    parameter: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let file = |problem| ConnectionError::TlsFile {
        parameter,
        path: path.to_owned(),
        problem,
    };
    let nothing = "holds no certificate in PEM form";
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(problem(&error, nothing)))?;
    if found.is_empty() {
        return Err(file(nothing.into()));
    }
    Ok(found)
}

fn problem(error: &pem::Error, otherwise: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read ({})", error.kind()),
        _ => otherwise.to_owned(),
    }
}

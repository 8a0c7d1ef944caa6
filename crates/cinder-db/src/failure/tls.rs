//! Why a TLS handshake failed, and which part of `[database] connection` bears on it. Names in a
//! certificate are left out, as they may tell where the database is.

use std::error::Error;
use std::io;

use rustls::CertificateError as Bad;

/// What went wrong and what to do about it, if TLS is what the error is about.
pub(super) fn trouble(error: &sqlx::Error) -> Option<(String, &'static str)> {
    if let Some(error) = in_depth(error) {
        return Some(told(error));
    }
    let sqlx::Error::Tls(error) = error else {
        return None;
    };
    // sqlx has no type for this one.
    Some(if error.to_string() == "server does not support TLS" {
        (
            "the server does not offer it".into(),
            "switch TLS on at the database, or take the TLS parameters (ssl_ca, ssl_cert, ssl_key, \
             ssl_verify_cert, ssl_verify_identity; PostgreSQL: sslmode) out of [database] connection",
        )
    } else {
        (
            "certificates cannot be used".into(),
            "check the files that [database] connection names: ssl_ca, ssl_cert and ssl_key \
             (PostgreSQL: sslrootcert, sslcert and sslkey)",
        )
    })
}

/// The error of the TLS library that this one stems from.
fn in_depth<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // Its source is that of the error inside it, which is therefore missed.
    let inside = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inside {
        Some(inside) => in_depth(inside),
        None => in_depth(error.source()?),
    }
}

fn told(error: &rustls::Error) -> (String, &'static str) {
    let (cause, remedy) = match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => (
                "the server's certificate has expired",
                "renew the certificate of the database server",
            ),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => (
                "the server's certificate is not valid yet",
                "check the clocks of this host and of the database server",
            ),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => (
                "the server's certificate is for another name than the one in [database] connection",
                "let [database] connection name the host as the certificate does \
                 (subjectAltName), or have only the issuer checked: ssl_check_hostname=false \
                 (PostgreSQL: sslmode=verify-ca)",
            ),
            Bad::UnknownIssuer => (
                "the server's certificate was issued by an authority that is not trusted",
                "let ssl_ca (PostgreSQL: sslrootcert) in [database] connection name a file with the \
                 certificate of that authority",
            ),
            _ => (
                "the server's certificate is not acceptable",
                "give the database server a certificate of version 3, not self-signed, for its name",
            ),
        },
        rustls::Error::AlertReceived(alert) => {
            return (
                format!("the server ended it with the alert {alert:?}"),
                "where the server asks for a certificate, let ssl_cert and ssl_key (PostgreSQL: \
                 sslcert and sslkey) in [database] connection name one that it accepts, and renew it \
                 before it expires",
            );
        }
        _ => (
            "both sides have no protocol in common",
            "let the database server offer TLS 1.2 or 1.3",
        ),
    };
    (cause.into(), remedy)
}

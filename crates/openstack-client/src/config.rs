//! What a session and a key manager are built from. The program translates Cinder's configuration
//! into these; nothing here knows about files. Options are named only so that errors and remedies
//! can name them.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// How to sign in at Keystone, from `[keystone_authtoken]`.
#[derive(Clone, Debug)]
pub struct KeystoneConfig {
    /// The section that the options were read from, without brackets; remedies name it. It is
    /// `keystone_authtoken`, or what `auth_section` says.
    pub section: String,
    /// `auth_url`, with or without `/v3`.
    pub auth_url: Url,
    /// What to sign in with; `auth_type` chooses the variant.
    pub credentials: Credentials,
    /// Whose certificates are believed.
    pub trust: ServerTrust,
    /// The certificate that is shown to a server that asks for one.
    pub certificate: Option<ClientCertificate>,
    /// Limits on every request.
    pub timeouts: Timeouts,
}

/// The ways to sign in, one variant for each `auth_type`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// `password` and `v3password`.
    Password(PasswordCredentials),
    /// `v3applicationcredential`
    Application(ApplicationCredential),
}

impl Credentials {
    /// What nobody else may know of them.
    pub(crate) fn secret(&self) -> &SecretString {
        match self {
            Self::Password(credentials) => &credentials.password,
            Self::Application(credential) => &credential.secret,
        }
    }
}

/// A user, a password and what to sign in to.
#[derive(Clone, Debug)]
pub struct PasswordCredentials {
    /// `user_id`, or `username` with its domain.
    pub user: UserRef,
    /// `password`
    pub password: SecretString,
    /// What the token is for.
    pub scope: TokenScope,
}

/// What a token is for; its roles are those that the user has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// `project_id`, or `project_name` with its domain.
    Project(ProjectRef),
    /// `trust_id`: a project of another user's, who has lent some roles in it.
    Trust(String),
}

/// A user's application credential, made for one project and with roles of its own.
#[derive(Clone, Debug)]
pub struct ApplicationCredential {
    /// Which one.
    pub credential: ApplicationCredentialRef,
    /// `application_credential_secret`
    pub secret: SecretString,
}

/// An application credential as Keystone finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationCredentialRef {
    /// `application_credential_id`
    Id(String),
    /// By its name among those of a user.
    Name {
        /// `application_credential_name`
        name: String,
        /// `user_id`, or `username` with its domain.
        user: UserRef,
    },
}

/// A user as Keystone finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserRef {
    /// By its ID.
    Id(String),
    /// By its name in a domain.
    Name {
        /// `username`
        name: String,
        /// `user_domain_id` or `user_domain_name`
        domain: DomainRef,
    },
}

/// A project as Keystone finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectRef {
    /// By its ID.
    Id(String),
    /// By its name in a domain.
    Name {
        /// `project_name`
        name: String,
        /// `project_domain_id` or `project_domain_name`
        domain: DomainRef,
    },
}

/// A domain as Keystone finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainRef {
    /// By its ID.
    Id(String),
    /// By its name.
    Name(String),
}

/// Where Barbican is, from `[barbican]`.
#[derive(Clone, Debug)]
pub struct BarbicanConfig {
    /// `barbican_endpoint`, with or without `/v1`; without it the catalogue of the token tells.
    pub endpoint: Option<Url>,
    /// `barbican_endpoint_type`
    pub interface: Interface,
    /// `barbican_region_name`; without it the first endpoint of the interface is taken.
    pub region_name: Option<String>,
    /// Whose certificates are believed.
    pub trust: ServerTrust,
    /// The certificate that is shown to a server that asks for one.
    pub certificate: Option<ClientCertificate>,
    /// Limits on every request.
    pub timeouts: Timeouts,
}

impl Default for BarbicanConfig {
    /// What Cinder does without any option in `[barbican]`.
    fn default() -> Self {
        Self {
            endpoint: None,
            interface: Interface::default(),
            region_name: None,
            trust: ServerTrust::default(),
            certificate: None,
            timeouts: Timeouts::default(),
        }
    }
}

/// The interface of an endpoint in the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// `public`
    #[default]
    Public,
    /// `internal`
    Internal,
    /// `admin`
    Admin,
}

impl Interface {
    /// As it stands in the catalogue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of public, internal, admin")]
pub struct BadInterface;

impl FromStr for Interface {
    type Err = BadInterface;

    /// Takes the old form too (`internalURL`), as keystoneauth does.
    fn from_str(text: &str) -> Result<Self, BadInterface> {
        match text.strip_suffix("URL").unwrap_or(text) {
            "public" => Ok(Self::Public),
            "internal" => Ok(Self::Internal),
            "admin" => Ok(Self::Admin),
            _ => Err(BadInterface),
        }
    }
}

/// Whose certificates are believed. Options are named in full, as in `[barbican] verify_ssl_path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerTrust {
    /// The certificate authorities that this system trusts.
    #[default]
    System,
    /// Those in this file and no others, as Python's requests does it.
    Bundle {
        /// A file of certificates in PEM form, or a folder of such files.
        path: PathBuf,
        /// The option that names it.
        option: String,
    },
    /// Any certificate at all.
    Anything {
        /// The option that says so.
        option: String,
    },
}

/// A certificate of our own, in PEM form, not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file with the certificate, and with what leads from it to its authority.
    pub certificate: PathBuf,
    /// The option that names it.
    pub certificate_option: String,
    /// The file with its private key, if that is another one, and the option that names it.
    pub key: Option<(PathBuf, String)>,
}

/// Limits on every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection: name, TCP and TLS.
    pub connect: Duration,
    /// For all of it, up to the last byte of the answer.
    pub total: Duration,
}

impl Default for Timeouts {
    /// Ten seconds to connect. A minute in all: what HAProxy before Barbican allows in most
    /// deployments, so that an answer which still comes is still heard, and half of the time that
    /// an unknown outcome is left alone.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(60),
        }
    }
}

/// The configuration cannot be used. No text of it holds a value that may be secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file of certificates cannot be read.
    #[error("{option}: cannot read {}: {source}", path.display())]
    UnreadableBundle {
        /// The option that names it.
        option: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no certificate, or one that is damaged.
    #[error("{option}: {} is no bundle of certificates in PEM form", path.display())]
    BadBundle {
        /// The option that names it.
        option: String,
        /// The file.
        path: PathBuf,
    },
    /// The file of a certificate of our own, or of its key, cannot be used.
    #[error("{option}: {} {problem}", path.display())]
    BadCertificate {
        /// The option that names it.
        option: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The URL of a service cannot be used.
    #[error("{option}: the URL {problem}")]
    BadUrl {
        /// The option that holds it.
        option: String,
        /// What is wrong, without the URL, which may hold a password.
        problem: &'static str,
    },
    /// The TLS library refuses to start.
    #[error("cannot set up HTTPS: {0}")]
    Tls(String),
}

/// Refuses what requests cannot be sent to, and passwords in a URL, which would reach logs.
pub(crate) fn checked_url(url: &Url, option: impl FnOnce() -> String) -> Result<(), ConfigError> {
    let problem = if !matches!(url.scheme(), "http" | "https") {
        "begins with neither http:// nor https://"
    } else if !url.username().is_empty() || url.password().is_some() {
        "holds a user name or password, which belong into options of their own"
    } else if url.query().is_some() || url.fragment().is_some() {
        "holds a ? or #, which no endpoint has"
    } else {
        return Ok(());
    };
    Err(ConfigError::BadUrl {
        option: option(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_in_both_forms() {
        for (text, interface) in [
            ("public", Interface::Public),
            ("internalURL", Interface::Internal),
            ("admin", Interface::Admin),
        ] {
            assert_eq!(text.parse(), Ok(interface));
        }
        assert_eq!("URL".parse::<Interface>(), Err(BadInterface));
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_showing_it() {
        let url: Url = "http://cinder:hunter2@keystone:5000/".parse().expect("URL");
        let error = checked_url(&url, || "[keystone_authtoken] auth_url".into())
            .expect_err("a password in a URL");
        assert!(
            error
                .to_string()
                .starts_with("[keystone_authtoken] auth_url: ")
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn debug_output_of_a_configuration_shows_no_password() {
        let credentials = Credentials::Password(PasswordCredentials {
            user: UserRef::Id("u".into()),
            password: "hunter2".into(),
            scope: TokenScope::Project(ProjectRef::Id("p".into())),
        });
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let credentials = Credentials::Application(ApplicationCredential {
            credential: ApplicationCredentialRef::Id("a".into()),
            secret: "hunter2".into(),
        });
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}

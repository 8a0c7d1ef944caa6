//! What is sent to Keystone and what comes back: `POST /v3/auth/tokens`.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

use crate::catalog::Catalog;
use crate::config::{
    ApplicationCredentialRef, Credentials, DomainRef, ProjectRef, TokenScope, UserRef,
};
use crate::transport::Answer;

pub(crate) const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The body of the request, in memory that is wiped when the last request is done with it.
pub(crate) fn sign_in_body(credentials: &Credentials) -> Bytes {
    let mut body = Zeroizing::new(Vec::with_capacity(longest_body(credentials)));
    serde_json::to_writer(&mut *body, &SignIn::with(credentials))
        .expect("strings always become JSON, and memory takes any number of bytes");
    Bytes::from_owner(body)
}

/// Enough that the body never moves and leaves a copy behind: an escape takes six bytes.
fn longest_body(credentials: &Credentials) -> usize {
    let names = |name: &str, domain: &DomainRef| {
        name.len()
            + match domain {
                DomainRef::Id(id) => id.len(),
                DomainRef::Name(name) => name.len(),
            }
    };
    let user = |user: &UserRef| match user {
        UserRef::Id(id) => id.len(),
        UserRef::Name { name, domain } => names(name, domain),
    };
    let who = match credentials {
        Credentials::Password(password) => {
            user(&password.user)
                + match &password.scope {
                    TokenScope::Trust(id) | TokenScope::Project(ProjectRef::Id(id)) => id.len(),
                    TokenScope::Project(ProjectRef::Name { name, domain }) => names(name, domain),
                }
        }
        Credentials::Application(application) => match &application.credential {
            ApplicationCredentialRef::Id(id) => id.len(),
            ApplicationCredentialRef::Name { name, user: of } => name.len() + user(of),
        },
    };
    512 + 6 * (who + credentials.secret().expose_secret().len())
}

#[derive(Serialize)]
struct SignIn<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    /// An application credential has its project already.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Identity<'a> {
    Password {
        methods: [&'static str; 1],
        password: PasswordMethod<'a>,
    },
    Application {
        methods: [&'static str; 1],
        application_credential: ApplicationMethod<'a>,
    },
}

#[derive(Serialize)]
struct PasswordMethod<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(flatten)]
    who: Reference<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct ApplicationMethod<'a> {
    #[serde(flatten)]
    which: Application<'a>,
    secret: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Application<'a> {
    Id { id: &'a str },
    Name { name: &'a str, user: Reference<'a> },
}

#[derive(Serialize)]
enum Scope<'a> {
    #[serde(rename = "project")]
    Project(Reference<'a>),
    #[serde(rename = "OS-TRUST:trust")]
    Trust { id: &'a str },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Reference<'a> {
    Id { id: &'a str },
    Name { name: &'a str, domain: Domain<'a> },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Domain<'a> {
    Id(&'a str),
    Name(&'a str),
}

impl<'a> SignIn<'a> {
    fn with(credentials: &'a Credentials) -> Self {
        let secret = credentials.secret().expose_secret();
        let (identity, scope) = match credentials {
            Credentials::Password(credentials) => (
                Identity::Password {
                    methods: ["password"],
                    password: PasswordMethod {
                        user: User {
                            who: Reference::from(&credentials.user),
                            password: secret,
                        },
                    },
                },
                Some(Scope::from(&credentials.scope)),
            ),
            Credentials::Application(credential) => (
                Identity::Application {
                    methods: ["application_credential"],
                    application_credential: ApplicationMethod {
                        which: Application::from(&credential.credential),
                        secret,
                    },
                },
                None,
            ),
        };
        Self {
            auth: Auth { identity, scope },
        }
    }
}

impl<'a> Reference<'a> {
    fn named(name: &'a str, domain: &'a DomainRef) -> Self {
        Self::Name {
            name,
            domain: match domain {
                DomainRef::Id(id) => Domain::Id(id),
                DomainRef::Name(name) => Domain::Name(name),
            },
        }
    }
}

impl<'a> From<&'a UserRef> for Reference<'a> {
    fn from(user: &'a UserRef) -> Self {
        match user {
            UserRef::Id(id) => Self::Id { id },
            UserRef::Name { name, domain } => Self::named(name, domain),
        }
    }
}

impl<'a> From<&'a TokenScope> for Scope<'a> {
    fn from(scope: &'a TokenScope) -> Self {
        match scope {
            TokenScope::Project(ProjectRef::Id(id)) => Self::Project(Reference::Id { id }),
            TokenScope::Project(ProjectRef::Name { name, domain }) => {
                Self::Project(Reference::named(name, domain))
            }
            TokenScope::Trust(id) => Self::Trust { id },
        }
    }
}

impl<'a> From<&'a ApplicationCredentialRef> for Application<'a> {
    fn from(credential: &'a ApplicationCredentialRef) -> Self {
        match credential {
            ApplicationCredentialRef::Id(id) => Self::Id { id },
            ApplicationCredentialRef::Name { name, user } => Self::Name {
                name,
                user: Reference::from(user),
            },
        }
    }
}

/// What a token says of itself (Keystone's API, "Password authentication with scoped
/// authorization").
#[derive(Deserialize)]
pub(crate) struct TokenBody {
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) user: InDomain,
    pub(crate) project: InDomain,
    #[serde(default)]
    pub(crate) roles: Vec<Role>,
    #[serde(default)]
    pub(crate) catalog: Catalog,
    pub(crate) application_credential: Option<IgnoredAny>,
    #[serde(rename = "OS-TRUST:trust")]
    pub(crate) trust: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct InDomain {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) domain: Home,
}

#[derive(Deserialize)]
pub(crate) struct Home {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Role {
    pub(crate) name: String,
}

/// A token as Keystone issued it.
pub(crate) struct Issued {
    pub(crate) value: HeaderValue,
    /// From its issue to its end, both by Keystone's clock.
    pub(crate) life: Duration,
    pub(crate) body: TokenBody,
}

/// Why an answer that looks like success is none; holds nothing of the answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer {0}")]
pub(crate) struct Malformed(&'static str);

/// Reads a token from the answer.
pub(crate) fn issued(answer: &Answer) -> Result<Issued, Malformed> {
    #[derive(Deserialize)]
    struct Envelope {
        token: TokenBody,
    }
    let value = answer
        .headers
        .get(SUBJECT_TOKEN)
        .ok_or(Malformed("holds no X-Subject-Token"))?;
    let Envelope { token } = serde_json::from_slice(&answer.body)
        .map_err(|_| Malformed("describes no token for a project"))?;
    let life = Duration::try_from(token.expires_at.duration_since(token.issued_at))
        .ok()
        .filter(|life| !life.is_zero())
        .ok_or(Malformed("is a token that ended before it began"))?;
    Ok(Issued {
        value: wiped_header(value)?,
        life,
        body: token,
    })
}

/// A copy of the token that prints as `Sensitive` and is wiped with its last use.
fn wiped_header(value: &HeaderValue) -> Result<HeaderValue, Malformed> {
    let bytes = Bytes::from_owner(Zeroizing::new(value.as_bytes().to_vec()));
    let mut value = HeaderValue::from_maybe_shared(bytes)
        .map_err(|_| Malformed("holds an X-Subject-Token that is no header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{ApplicationCredential, PasswordCredentials};

    fn user() -> UserRef {
        UserRef::Name {
            name: "cinder".into(),
            domain: DomainRef::Name("Default".into()),
        }
    }

    fn password(scope: TokenScope) -> Credentials {
        Credentials::Password(PasswordCredentials {
            user: user(),
            password: "p\"w\u{1}".into(),
            scope,
        })
    }

    fn application(credential: ApplicationCredentialRef) -> Credentials {
        Credentials::Application(ApplicationCredential {
            credential,
            secret: "s".into(),
        })
    }

    fn body(credentials: &Credentials) -> Value {
        serde_json::from_slice(&sign_in_body(credentials)).expect("JSON")
    }

    #[test]
    fn the_body_names_user_password_and_scope_as_keystone_wants_them() {
        let identity = json!({"methods": ["password"], "password": {"user": {
            "name": "cinder", "domain": {"name": "Default"}, "password": "p\"w\u{1}"}}});
        let project = TokenScope::Project(ProjectRef::Name {
            name: "service".into(),
            domain: DomainRef::Id("default".into()),
        });
        assert_eq!(
            body(&password(project)),
            json!({"auth": {
                "identity": identity,
                "scope": {"project": {"name": "service", "domain": {"id": "default"}}}}})
        );
        assert_eq!(
            body(&password(TokenScope::Trust("t".into()))),
            json!({"auth": {"identity": identity, "scope": {"OS-TRUST:trust": {"id": "t"}}}})
        );
    }

    #[test]
    fn an_application_credential_comes_without_a_scope() {
        let expected = |credential: Value| {
            json!({"auth": {"identity": {
                "methods": ["application_credential"], "application_credential": credential}}})
        };
        assert_eq!(
            body(&application(ApplicationCredentialRef::Id("a".into()))),
            expected(json!({"id": "a", "secret": "s"}))
        );
        let user = json!({"name": "cinder", "domain": {"name": "Default"}});
        assert_eq!(
            body(&application(ApplicationCredentialRef::Name {
                name: "a".into(),
                user: self::user(),
            })),
            expected(json!({"name": "a", "user": user, "secret": "s"}))
        );
    }

    #[test]
    fn the_body_fits_into_what_was_set_aside_for_it() {
        let long = "\u{1}".repeat(300);
        let domain = || DomainRef::Name(long.clone());
        let user = || UserRef::Name {
            name: long.clone(),
            domain: domain(),
        };
        for credentials in [
            Credentials::Password(PasswordCredentials {
                user: user(),
                password: long.clone().into(),
                scope: TokenScope::Project(ProjectRef::Name {
                    name: long.clone(),
                    domain: domain(),
                }),
            }),
            Credentials::Application(ApplicationCredential {
                credential: ApplicationCredentialRef::Name {
                    name: long.clone(),
                    user: user(),
                },
                secret: long.clone().into(),
            }),
        ] {
            assert!(sign_in_body(&credentials).len() <= longest_body(&credentials));
        }
    }
}

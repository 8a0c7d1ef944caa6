//! What is sent to Keystone and what comes back: `POST /v3/auth/tokens`.

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

use crate::catalog::Catalog;
use crate::config::{Credentials, DomainRef, PasswordCredentials, ProjectRef, UserRef};
use crate::transport::Answer;

pub(crate) const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The body of the request, in memory that is wiped when the last request is done with it.
pub(crate) fn sign_in_body(credentials: &Credentials) -> Bytes {
    let Credentials::Password(password) = credentials;
    let mut body = Zeroizing::new(Vec::with_capacity(longest_body(password)));
    serde_json::to_writer(&mut *body, &SignIn::with(password))
        .expect("strings always become JSON, and memory takes any number of bytes");
    Bytes::from_owner(body)
}

/// Enough that the body never moves and leaves a copy behind: an escape takes six bytes.
fn longest_body(credentials: &PasswordCredentials) -> usize {
    let names = |name: &str, domain: &DomainRef| {
        name.len()
            + match domain {
                DomainRef::Id(id) => id.len(),
                DomainRef::Name(name) => name.len(),
            }
    };
    let user = match &credentials.user {
        UserRef::Id(id) => id.len(),
        UserRef::Name { name, domain } => names(name, domain),
    };
    let project = match &credentials.project {
        ProjectRef::Id(id) => id.len(),
        ProjectRef::Name { name, domain } => names(name, domain),
    };
    512 + 6 * (user + project + credentials.password.expose_secret().len())
}

#[derive(Serialize)]
struct SignIn<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    scope: Scope<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    methods: [&'static str; 1],
    password: PasswordMethod<'a>,
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
struct Scope<'a> {
    project: Reference<'a>,
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
    fn with(credentials: &'a PasswordCredentials) -> Self {
        let who = match &credentials.user {
            UserRef::Id(id) => Reference::Id { id },
            UserRef::Name { name, domain } => Reference::named(name, domain),
        };
        let project = match &credentials.project {
            ProjectRef::Id(id) => Reference::Id { id },
            ProjectRef::Name { name, domain } => Reference::named(name, domain),
        };
        Self {
            auth: Auth {
                identity: Identity {
                    methods: ["password"],
                    password: PasswordMethod {
                        user: User {
                            who,
                            password: credentials.password.expose_secret(),
                        },
                    },
                },
                scope: Scope { project },
            },
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

    #[test]
    fn the_body_names_user_password_and_project_as_keystone_wants_them() {
        let body = sign_in_body(&Credentials::Password(PasswordCredentials {
            user: UserRef::Name {
                name: "cinder".into(),
                domain: DomainRef::Name("Default".into()),
            },
            password: "p\"w\u{1}".into(),
            project: ProjectRef::Name {
                name: "service".into(),
                domain: DomainRef::Id("default".into()),
            },
        }));
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": "cinder", "domain": {"name": "Default"}, "password": "p\"w\u{1}"}}},
                "scope": {"project": {"name": "service", "domain": {"id": "default"}}}}})
        );
    }

    #[test]
    fn the_body_fits_into_what_was_set_aside_for_it() {
        let credentials = PasswordCredentials {
            user: UserRef::Id("u".repeat(64)),
            password: "\u{1}".repeat(300).into(),
            project: ProjectRef::Id("p".repeat(64)),
        };
        let room = longest_body(&credentials);
        assert!(sign_in_body(&Credentials::Password(credentials)).len() <= room);
    }
}

//! What a token says of who signed in. Which roles they hold decides which remedy helps.

use std::fmt;

use key_migration::ids::UserId;
use reqwest::header::HeaderValue;
use secrecy::SecretString;

use crate::catalog::Catalog;
use crate::keystone::{InDomain, Issued};

/// A token for a project. Its value is never shown.
pub struct Token {
    value: HeaderValue,
    user: Named,
    project: Named,
    roles: Vec<String>,
    lent_by: Option<Lender>,
    pub(crate) catalog: Catalog,
}

/// What has roles of its own, which those of the user do not reach any more once it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lender {
    /// An application credential.
    ApplicationCredential,
    /// A trust.
    Trust,
}

/// A user or a project, as its token names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of its domain.
    pub domain_name: String,
    /// The ID of its domain.
    pub domain_id: String,
}

impl Token {
    /// The user who signed in.
    #[must_use]
    pub fn user(&self) -> &Named {
        &self.user
    }

    /// The project signed in to.
    #[must_use]
    pub fn project(&self) -> &Named {
        &self.project
    }

    /// The user's roles on the project, implied ones included.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The ID of the user who signed in, as it stands in Cinder's `user_id` columns.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user.id.as_str().into()
    }

    /// Whether it has this role. Names of roles have no case (oslo.policy's `RoleCheck`).
    pub(crate) fn has_role(&self, name: &str) -> bool {
        self.roles
            .iter()
            .any(|role| role.eq_ignore_ascii_case(name))
    }

    /// What its roles were lent by, if they are not simply those of the user.
    pub(crate) fn lent_by(&self) -> Option<Lender> {
        self.lent_by
    }

    /// What is sent as `X-Auth-Token`, for a client of another service's. It is secret.
    #[must_use]
    pub fn secret(&self) -> SecretString {
        self.value.to_str().unwrap_or_default().into()
    }

    pub(crate) fn value(&self) -> &HeaderValue {
        &self.value
    }
}

impl From<Issued> for Token {
    fn from(issued: Issued) -> Self {
        let body = &issued.body;
        let lent_by = match (&body.application_credential, &body.trust) {
            (Some(_), _) => Some(Lender::ApplicationCredential),
            (None, Some(_)) => Some(Lender::Trust),
            (None, None) => None,
        };
        Self {
            lent_by,
            value: issued.value,
            user: issued.body.user.into(),
            project: issued.body.project.into(),
            roles: issued
                .body
                .roles
                .into_iter()
                .map(|role| role.name)
                .collect(),
            catalog: issued.body.catalog,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("user", &self.user)
            .field("project", &self.project)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl From<InDomain> for Named {
    fn from(found: InDomain) -> Self {
        Self {
            id: found.id,
            name: found.name,
            domain_name: found.domain.name.unwrap_or_else(|| found.domain.id.clone()),
            domain_id: found.domain.id,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

//! Who there is in the cloud: domains, projects, users, roles and tokens.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::random::Random;

/// The ID of Keystone's `Default` domain, as `keystone-manage bootstrap` makes it.
pub const DEFAULT_DOMAIN_ID: &str = "default";

/// A project of the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its ID, 32 hex digits.
    pub id: String,
    /// Its name, unique in the domain.
    pub name: String,
    /// The ID of its domain.
    pub domain_id: String,
}

/// A user of the cloud.
#[derive(Clone, Debug)]
pub struct User {
    /// Its ID, 32 hex digits.
    pub id: String,
    /// Its name, unique in the domain.
    pub name: String,
    /// The ID of its domain.
    pub domain_id: String,
    /// Its password.
    pub password: SecretString,
}

/// What a valid token says.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user_id: String,
    pub(crate) project_id: Option<String>,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) audit_id: String,
}

#[derive(Debug)]
pub(crate) struct Identity {
    domains: HashMap<String, String>,
    projects: HashMap<String, Project>,
    users: HashMap<String, User>,
    role_ids: HashMap<String, String>,
    assignments: BTreeSet<(String, String, String)>,
    tokens: HashMap<String, Token>,
}

/// How a password login names a user or a project.
pub(crate) enum Named<'a> {
    Id(&'a str),
    Name { name: &'a str, domain_id: &'a str },
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self {
            domains: HashMap::from([(DEFAULT_DOMAIN_ID.into(), "Default".into())]),
            projects: HashMap::new(),
            users: HashMap::new(),
            role_ids: HashMap::new(),
            assignments: BTreeSet::new(),
            tokens: HashMap::new(),
        }
    }

    pub(crate) fn create_domain(&mut self, name: &str, random: &mut Random) -> String {
        if let Some(domain_id) = self.domain_by_name(name) {
            return domain_id.to_owned();
        }
        let domain_id = random.keystone_id();
        self.domains.insert(domain_id.clone(), name.to_owned());
        domain_id
    }

    pub(crate) fn create_project(
        &mut self,
        domain_id: &str,
        name: &str,
        random: &mut Random,
    ) -> Project {
        let (id, domain_id) = (random.keystone_id(), domain_id.to_owned());
        let project = Project {
            id,
            name: name.to_owned(),
            domain_id,
        };
        self.projects.insert(project.id.clone(), project.clone());
        project
    }

    pub(crate) fn create_user(
        &mut self,
        domain_id: &str,
        name: &str,
        password: SecretString,
        random: &mut Random,
    ) -> User {
        let (id, domain_id) = (random.keystone_id(), domain_id.to_owned());
        let user = User {
            id,
            name: name.to_owned(),
            domain_id,
            password,
        };
        self.users.insert(user.id.clone(), user.clone());
        user
    }

    pub(crate) fn grant(&mut self, user_id: &str, project_id: &str, role: &str, id: &mut Random) {
        self.role_id(role, id);
        for implied in implied_roles(role) {
            self.role_id(implied, id);
        }
        self.assignments
            .insert((user_id.into(), project_id.into(), role.into()));
    }

    pub(crate) fn revoke(&mut self, user_id: &str, project_id: &str, role: &str) {
        self.assignments
            .remove(&(user_id.to_owned(), project_id.to_owned(), role.to_owned()));
    }

    /// The roles that a token of this user for this project has at this moment,
    /// implied ones included, sorted.
    pub(crate) fn roles(&self, user_id: &str, project_id: &str) -> BTreeSet<&str> {
        let granted = self
            .assignments
            .iter()
            .filter(|(user, project, _)| user == user_id && project == project_id);
        granted
            .flat_map(|(_, _, role)| {
                std::iter::once(role.as_str()).chain(implied_roles(role).iter().copied())
            })
            .collect()
    }

    pub(crate) fn known_role_id(&self, role: &str) -> &str {
        self.role_ids.get(role).map_or("", String::as_str)
    }

    fn role_id(&mut self, role: &str, random: &mut Random) {
        if !self.role_ids.contains_key(role) {
            self.role_ids.insert(role.to_owned(), random.keystone_id());
        }
    }

    pub(crate) fn domain_by_name(&self, name: &str) -> Option<&str> {
        let found = self
            .domains
            .iter()
            .find(|(_, known)| known.as_str() == name);
        found.map(|(domain_id, _)| domain_id.as_str())
    }

    pub(crate) fn domain_name(&self, domain_id: &str) -> Option<&str> {
        self.domains.get(domain_id).map(String::as_str)
    }

    pub(crate) fn user(&self, named: &Named<'_>) -> Option<&User> {
        match named {
            Named::Id(id) => self.users.get(*id),
            Named::Name { name, domain_id } => self
                .users
                .values()
                .find(|user| user.name == *name && user.domain_id == *domain_id),
        }
    }

    pub(crate) fn project(&self, named: &Named<'_>) -> Option<&Project> {
        match named {
            Named::Id(id) => self.projects.get(*id),
            Named::Name { name, domain_id } => self
                .projects
                .values()
                .find(|project| project.name == *name && project.domain_id == *domain_id),
        }
    }

    pub(crate) fn password_matches(&self, user: &User, password: &str) -> bool {
        user.password.expose_secret() == password
    }

    /// Ends the user's tokens as well (keystone `identity/core.py`, `update_user`).
    pub(crate) fn change_password(&mut self, user_id: &str, password: SecretString) {
        if let Some(user) = self.users.get_mut(user_id) {
            user.password = password;
            self.tokens.retain(|_, token| token.user_id != user_id);
        }
    }

    /// Issues a token; the caller has seen to it that the user has a role.
    pub(crate) fn issue(
        &mut self,
        user_id: &str,
        project_id: Option<&str>,
        now: Timestamp,
        lifetime: Duration,
        random: &mut Random,
    ) -> (String, Token) {
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let token = Token {
            user_id: user_id.to_owned(),
            project_id: project_id.map(ToOwned::to_owned),
            issued_at: now,
            expires_at: now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
            audit_id: random.keystone_id()[..22].to_owned(),
        };
        let text = format!("gAAAAA{}{}", random.keystone_id(), random.keystone_id());
        self.tokens.insert(text.clone(), token.clone());
        (text, token)
    }

    /// A token as Keystone validates it now: unknown, expired and revoked ones
    /// are none, and so is one whose user has lost every role on its project
    /// (keystone `models/token_model.py`: roles are looked up at validation).
    pub(crate) fn validate(&self, text: &str, now: Timestamp) -> Option<&Token> {
        let token = self
            .tokens
            .get(text)
            .filter(|token| token.expires_at > now)?;
        match &token.project_id {
            Some(project_id) if self.roles(&token.user_id, project_id).is_empty() => None,
            _ => Some(token),
        }
    }

    pub(crate) fn revoke_token(&mut self, text: &str) -> bool {
        self.tokens.remove(text).is_some()
    }

    pub(crate) fn revoke_all_tokens(&mut self) {
        self.tokens.clear();
    }
}

/// What `keystone-manage bootstrap` lets a role imply
/// (keystone `cmd/bootstrap.py`: admin, manager, member, reader).
fn implied_roles(role: &str) -> &'static [&'static str] {
    match role {
        "admin" => &["manager", "member", "reader"],
        "manager" => &["member", "reader"],
        "member" => &["reader"],
        _ => &[],
    }
}

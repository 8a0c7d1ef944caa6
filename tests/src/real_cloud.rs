//! The real Keystone, administered through its API, with one of the real Barbicans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::cloud::{Cloud, User};
use crate::http::{Answer, Api};
use crate::program::DEADLINE;
use crate::services::{RoleWorld, Services};

/// How often Keystone is asked again.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The real Keystone with the Barbican of one [`RoleWorld`].
#[derive(Clone, Debug)]
pub struct RealCloud {
    world: RoleWorld,
    barbican_endpoint: String,
    keystone: Keystone,
}

/// The real Keystone with its administrator.
#[derive(Clone, Debug)]
pub struct Keystone {
    auth_url: String,
    admin: User,
    anonymous: Api,
    /// Requests with the administrator's token, which outlives every test.
    session: Arc<OnceCell<Api>>,
    /// The roles' IDs by their names, which do not change either.
    role_ids: Arc<OnceCell<BTreeMap<String, String>>>,
}

impl RealCloud {
    pub(crate) fn new(services: &Services, world: RoleWorld) -> Self {
        Self {
            world,
            barbican_endpoint: match world {
                RoleWorld::AsShipped => services.barbican_as_shipped.clone(),
                RoleWorld::Creator => services.barbican_creator.clone(),
            },
            keystone: Keystone::new(&services.auth_url, services.admin.clone()),
        }
    }

    /// Which roles this cloud's Barbican asks for.
    #[must_use]
    pub fn world(&self) -> RoleWorld {
        self.world
    }

    /// The Keystone of this cloud, for what only a real one offers.
    #[must_use]
    pub fn keystone(&self) -> &Keystone {
        &self.keystone
    }

    /// One request of the user to this cloud's Barbican; `path` as in `/v1/secrets`.
    ///
    /// # Errors
    ///
    /// When Keystone refuses the user, or no answer comes; any answer is `Ok`.
    pub async fn barbican(
        &self,
        user: &User,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer> {
        let token = self.keystone.token(user).await?;
        let url = format!("{}{path}", self.barbican_endpoint);
        self.keystone
            .anonymous
            .with_token(token)
            .call(method, &url, body)
            .await
    }
}

impl Cloud for RealCloud {
    fn auth_url(&self) -> String {
        self.keystone.auth_url.clone()
    }

    fn region_name(&self) -> String {
        self.world.region_name().to_owned()
    }

    fn barbican_endpoint(&self) -> String {
        self.barbican_endpoint.clone()
    }

    fn storing_role(&self) -> String {
        self.world.storing_role().to_owned()
    }

    async fn create_cinder_user(&self) -> Result<User> {
        let user = self.keystone.create_user("cinder", "service").await?;
        self.grant(&user, "service").await?;
        Ok(user)
    }

    async fn create_owner(&self) -> Result<User> {
        let user = self.keystone.create_user("owner", "tenant").await?;
        self.grant(&user, "member").await?;
        Ok(user)
    }

    async fn grant(&self, user: &User, role: &str) -> Result<()> {
        self.keystone
            .assign(Method::PUT, &user.project_id, &user.user_id, role)
            .await
    }

    async fn revoke(&self, user: &User, role: &str) -> Result<()> {
        self.keystone
            .assign(Method::DELETE, &user.project_id, &user.user_id, role)
            .await
    }
}

impl Keystone {
    /// A Keystone whose administrator is `admin`.
    #[must_use]
    pub fn new(auth_url: &str, admin: User) -> Self {
        Self {
            auth_url: auth_url.to_owned(),
            admin,
            anonymous: Api::anonymous(),
            session: Arc::default(),
            role_ids: Arc::default(),
        }
    }

    /// A user with a random password and without roles, and a project, in a domain of their own.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn create_user(&self, name: &str, project: &str) -> Result<User> {
        let domain_name = format!("{name}-{}", Uuid::new_v4());
        let domain_id = self
            .create("domain", json!({ "name": domain_name }))
            .await?;
        self.create_user_in(name, project, &domain_id, &domain_name)
            .await
    }

    /// As [`create_user`](Self::create_user), in a domain that exists.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn create_user_in(
        &self,
        name: &str,
        project: &str,
        domain_id: &str,
        domain_name: &str,
    ) -> Result<User> {
        let password = random_password();
        let project_body = json!({ "name": project, "domain_id": domain_id });
        let user_body = json!({ "name": name, "domain_id": domain_id, "password": password });
        Ok(User {
            project_id: self.create("project", project_body).await?,
            user_id: self.create("user", user_body).await?,
            username: name.to_owned(),
            password,
            user_domain_name: domain_name.to_owned(),
            domain_id: domain_id.to_owned(),
            project_name: project.to_owned(),
            project_domain_name: domain_name.to_owned(),
        })
    }

    /// Makes a `domain`, `project`, `user`, `role`, `region`, `service` or `endpoint`, and
    /// returns its ID.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn create(&self, kind: &str, body: Value) -> Result<String> {
        let body = json!({ kind: body });
        let answer = self
            .administer(Method::POST, &format!("{kind}s"), body)
            .await?;
        id_of(&answer.body[kind]).with_context(|| format!("creating a {kind}"))
    }

    /// A token for the user on its project.
    ///
    /// # Errors
    ///
    /// When Keystone refuses (a user without any role on its project gets a 401).
    pub async fn token(&self, user: &User) -> Result<String> {
        issue_token(&self.anonymous, &self.auth_url, user).await
    }

    /// A new application credential of the user with these of its roles, or with all of them: its
    /// ID and its secret.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn application_credential(
        &self,
        user: &User,
        roles: &[&str],
    ) -> Result<(String, String)> {
        let mut body = json!({ "name": "migrator" });
        if !roles.is_empty() {
            let roles = roles.iter().map(|role| json!({ "name": role }));
            body["roles"] = roles.collect();
        }
        let path = format!("users/{}/application_credentials", user.user_id);
        // A worker of Keystone may not know of a grant that another has just carried out: it then
        // answers that the role is not assigned.
        let deadline = Instant::now() + DEADLINE;
        let made = loop {
            let made = self.create_as(user, &path, "application_credential", body.clone());
            match made.await {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
                made => break made?,
            }
        };
        let secret = made["secret"].as_str().context("a secret")?;
        Ok((id_of(&made)?, secret.to_owned()))
    }

    /// What the user's own token makes at this path, relative to the version 3 URL.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn create_as(
        &self,
        user: &User,
        path: &str,
        kind: &str,
        body: Value,
    ) -> Result<Value> {
        let api = self.anonymous.with_token(self.token(user).await?);
        let url = format!("{}/{path}", self.auth_url);
        let body = Some(json!({ kind: body }));
        let answer = api.succeed(Method::POST, &url, body).await?;
        Ok(answer.body[kind].clone())
    }

    /// Makes a token invalid before its time.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn revoke_token(&self, token: &str) -> Result<()> {
        let api = self.anonymous.with_token(token);
        let url = format!("{}/auth/tokens", self.auth_url);
        api.subject(Method::DELETE, &url, token).await.map(drop)
    }

    /// Changes a user: `{"password": ...}`, `{"enabled": false}`, ...
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn update_user(&self, user: &User, change: Value) -> Result<()> {
        let path = format!("users/{}", user.user_id);
        self.administer(Method::PATCH, &path, json!({ "user": change }))
            .await
            .map(drop)
    }

    /// One request of the administrator; `path` is relative to the version 3 URL.
    ///
    /// # Errors
    ///
    /// When Keystone refuses or does not answer.
    pub async fn administer(&self, method: Method, path: &str, body: Value) -> Result<Answer> {
        let session = self.session().await?;
        let body = (!body.is_null()).then_some(body);
        session
            .succeed(method, &format!("{}/{path}", self.auth_url), body)
            .await
    }

    /// Gives a user a role on a project.
    ///
    /// # Errors
    ///
    /// When there is no such role, or Keystone does not answer.
    pub async fn grant_by_id(&self, project_id: &str, user_id: &str, role: &str) -> Result<()> {
        self.assign(Method::PUT, project_id, user_id, role).await
    }

    async fn assign(
        &self,
        method: Method,
        project_id: &str,
        user_id: &str,
        role: &str,
    ) -> Result<()> {
        let role_ids = self.role_ids.get_or_try_init(|| self.list_roles()).await?;
        let role_id = role_ids
            .get(role)
            .with_context(|| format!("no role is named {role}"))?;
        let path = format!("projects/{project_id}/users/{user_id}/roles/{role_id}");
        self.administer(method, &path, Value::Null).await.map(drop)
    }

    async fn list_roles(&self) -> Result<BTreeMap<String, String>> {
        let answer = self.administer(Method::GET, "roles", Value::Null).await?;
        let roles = answer.body["roles"].as_array().context("a list of roles")?;
        roles
            .iter()
            .map(|role| {
                Ok((
                    role["name"].as_str().unwrap_or_default().to_owned(),
                    id_of(role)?,
                ))
            })
            .collect()
    }

    async fn session(&self) -> Result<&Api> {
        let log_in = async || Ok(self.anonymous.with_token(self.token(&self.admin).await?));
        self.session.get_or_try_init(log_in).await
    }
}

/// A token for the user on its project, from any Keystone.
///
/// # Errors
///
/// When Keystone refuses or does not answer.
pub async fn issue_token(api: &Api, auth_url: &str, user: &User) -> Result<String> {
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "name": user.username,
            "domain": { "name": user.user_domain_name },
            "password": user.password,
        } } },
        "scope": { "project": {
            "name": user.project_name,
            "domain": { "name": user.project_domain_name },
        } },
    } });
    let answer = api
        .succeed(Method::POST, &format!("{auth_url}/auth/tokens"), Some(body))
        .await?;
    answer
        .subject_token
        .context("Keystone's answer has no X-Subject-Token")
}

/// A password that must be quoted or encoded wherever it is carried.
#[must_use]
pub fn random_password() -> String {
    format!("p@ss:/w%r d#?&+{}", Uuid::new_v4().simple())
}

fn id_of(entity: &Value) -> Result<String> {
    entity["id"]
        .as_str()
        .map(str::to_owned)
        .context("the answer holds no ID")
}

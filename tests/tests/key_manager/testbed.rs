//! Both kinds of cloud behind one trait, with what the contract needs beyond `Cloud`.

use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::EmulatedCloud;
use key_migrator_tests::http::client;
use key_migrator_tests::{Cloud, RealCloud, RoleWorld, Services, User};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

/// Makes four tests of each case: a function that takes `&impl Testbed`.
macro_rules! contract {
    ($($case:ident)*) => {$(
        mod $case {
            use key_migrator_tests::RoleWorld::{AsShipped, Creator};

            use crate::testbed::{emulated, real};

            #[tokio::test]
            async fn by_the_real_one_as_shipped() -> anyhow::Result<()> {
                super::$case(&real(AsShipped)).await
            }

            #[tokio::test]
            async fn by_the_real_one_with_the_role_creator() -> anyhow::Result<()> {
                super::$case(&real(Creator)).await
            }

            #[tokio::test]
            async fn by_the_emulated_one_as_shipped() -> anyhow::Result<()> {
                super::$case(&emulated(AsShipped).await?).await
            }

            #[tokio::test]
            async fn by_the_emulated_one_with_the_role_creator() -> anyhow::Result<()> {
                super::$case(&emulated(Creator).await?).await
            }
        }
    )*};
}

/// Far more than anything here takes: only what will never come runs into it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn real(world: RoleWorld) -> RealCloud {
    Services::from_env().cloud(world)
}

pub(crate) async fn emulated(world: RoleWorld) -> Result<EmulatedCloud> {
    EmulatedCloud::start(world).await
}

/// A cloud whose administrator can do what the contract needs.
pub(crate) trait Testbed: Cloud {
    fn world(&self) -> RoleWorld;

    /// A user that may store secrets, for what needs no user of its own. It is the same one in
    /// many tests, because Keystone takes longer to make users than Barbican to keep secrets; so
    /// its project holds secrets of other tests, and nobody may change it.
    async fn anybody(&self) -> Result<Anybody>;

    /// The roles of [`anybody`](Self::anybody), implied ones included.
    fn role_names_of_anybody(&self) -> &'static [&'static str] {
        match self.world() {
            RoleWorld::AsShipped => &["member", "reader", "service"],
            RoleWorld::Creator => &["creator", "service"],
        }
    }

    /// One more user on this user's project, with these roles.
    async fn create_colleague(&self, of: &User, roles: &[&str]) -> Result<User>;

    /// Makes every token of this user invalid, as a new password does, though it is the same.
    async fn renew_password(&self, user: &User) -> Result<()>;

    /// Limits how many secrets this user's project may have.
    async fn limit_secrets(&self, user: &User, quota: i64) -> Result<()>;
}

/// A user, signed in.
#[derive(Clone, Debug)]
pub(crate) struct Anybody {
    pub(crate) user: User,
    pub(crate) token: String,
}

impl Anybody {
    async fn create(cloud: &impl Cloud) -> Result<Self> {
        let user = cloud.create_authorised_cinder_user().await?;
        let token = token(cloud, &user).await?;
        Ok(Self { user, token })
    }
}

impl Testbed for RealCloud {
    fn world(&self) -> RoleWorld {
        RealCloud::world(self)
    }

    async fn anybody(&self) -> Result<Anybody> {
        static ANYBODY: [OnceCell<Anybody>; 2] = [const { OnceCell::const_new() }; 2];
        let anybody = &ANYBODY[self.world() as usize];
        anybody
            .get_or_try_init(|| Anybody::create(self))
            .await
            .cloned()
    }

    async fn create_colleague(&self, of: &User, roles: &[&str]) -> Result<User> {
        let unique = format!("colleague-{}", Uuid::new_v4());
        let (domain_id, domain_name) = (&of.domain_id, &of.user_domain_name);
        let keystone = self.keystone();
        let user = keystone
            .create_user_in(&unique, &unique, domain_id, domain_name)
            .await?;
        let colleague = User {
            project_id: of.project_id.clone(),
            project_name: of.project_name.clone(),
            ..user
        };
        for role in roles {
            self.grant(&colleague, role).await?;
        }
        Ok(colleague)
    }

    async fn renew_password(&self, user: &User) -> Result<()> {
        self.keystone()
            .update_user(user, json!({ "password": user.password }))
            .await?;
        // Keystone revokes by the second: what it issues in the same one is invalid, too.
        let good = async {
            loop {
                let token = self.keystone().token(user).await?;
                if own_token(self, &token).await? == StatusCode::OK {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(DEADLINE, good)
            .await
            .context("waiting for a token that is good")?
    }

    async fn limit_secrets(&self, user: &User, quota: i64) -> Result<()> {
        let role = match self.world() {
            RoleWorld::AsShipped => "admin",
            RoleWorld::Creator => "key-manager:service-admin",
        };
        // It may be there already, from another test.
        let _ = self
            .keystone()
            .create("role", json!({ "name": role }))
            .await;
        let service_admin = self
            .keystone()
            .create_user("service-admin", "services")
            .await?;
        // A cloud keeps the roles that it knew at its first grant.
        real(self.world()).grant(&service_admin, role).await?;
        let path = format!("/v1/project-quotas/{}", user.project_id);
        let body = json!({ "project_quotas": { "secrets": quota } });
        let answer = self
            .barbican(&service_admin, Method::PUT, &path, Some(body))
            .await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "{}: {}",
            answer.status,
            answer.body
        );
        Ok(())
    }
}

/// What Keystone says to somebody who asks for their own token.
pub(crate) async fn own_token(cloud: &impl Cloud, token: &str) -> Result<StatusCode> {
    let url = format!("{}/auth/tokens", cloud.auth_url());
    let request = http().get(url);
    let request = request
        .header("X-Auth-Token", token)
        .header("X-Subject-Token", token);
    Ok(request.send().await?.status())
}

impl Testbed for EmulatedCloud {
    fn world(&self) -> RoleWorld {
        EmulatedCloud::world(self)
    }

    async fn anybody(&self) -> Result<Anybody> {
        Anybody::create(self).await
    }

    async fn create_colleague(&self, of: &User, roles: &[&str]) -> Result<User> {
        let username = format!("colleague-{}", Uuid::new_v4());
        let created =
            self.emulation()
                .create_user_in(&of.domain_id, &username, of.password.clone());
        let colleague = User {
            user_id: created.id,
            username,
            ..of.clone()
        };
        for role in roles {
            self.grant(&colleague, role).await?;
        }
        Ok(colleague)
    }

    async fn renew_password(&self, user: &User) -> Result<()> {
        self.emulation()
            .change_password(&user.user_id, user.password.clone());
        Ok(())
    }

    async fn limit_secrets(&self, user: &User, quota: i64) -> Result<()> {
        self.emulation()
            .set_secrets_quota(&user.project_id, Some(quota));
        Ok(())
    }
}

/// A token for the user on its project.
pub(crate) async fn token(cloud: &impl Cloud, user: &User) -> Result<String> {
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": {
            "user": { "id": user.user_id, "password": user.password },
        } },
        "scope": { "project": { "id": user.project_id } },
    } });
    let url = format!("{}/auth/tokens", cloud.auth_url());
    let answer = http()
        .post(url)
        .json(&body)
        .send()
        .await?
        .error_for_status()?;
    let token = answer.headers().get("X-Subject-Token").context("a token")?;
    Ok(token.to_str()?.to_owned())
}

/// The client of this test, which has a thread of its own. To make one takes longer than most
/// requests do.
pub(crate) fn http() -> Client {
    thread_local!(static CLIENT: Client = client());
    CLIENT.with(Client::clone)
}

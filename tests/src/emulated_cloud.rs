//! The emulated Keystone and Barbican, as a cloud that tests cannot tell from the real one.

use std::time::Duration;

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::cloud::{Cloud, User};
use crate::real_cloud::random_password;
use crate::services::RoleWorld;

/// An emulated cloud of one [`RoleWorld`], in this process. It ends with the last of its clones.
#[derive(Clone, Debug)]
pub struct EmulatedCloud {
    world: RoleWorld,
    emulation: sandbox_cloud::Cloud,
}

impl EmulatedCloud {
    /// Starts one, configured as the real services of this world are.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn start(world: RoleWorld) -> Result<Self> {
        let builder = sandbox_cloud::Cloud::builder().region_name(world.region_name());
        let builder = match world {
            RoleWorld::AsShipped => builder.role_world(sandbox_cloud::RoleWorld::Member),
            RoleWorld::Creator => builder
                .role_world(sandbox_cloud::RoleWorld::Creator)
                .token_cache_time(Duration::from_secs(1)),
        };
        let emulation = builder
            .start()
            .await
            .context("starting an emulated cloud")?;
        Ok(Self { world, emulation })
    }

    /// Which roles this cloud's Barbican asks for.
    #[must_use]
    pub fn world(&self) -> RoleWorld {
        self.world
    }

    /// The handle for what only an emulated cloud can do.
    #[must_use]
    pub fn emulation(&self) -> &sandbox_cloud::Cloud {
        &self.emulation
    }

    fn create_user(&self, name: &str, project_name: &str) -> User {
        let domain_name = format!("{name}-{}", Uuid::new_v4());
        let domain_id = self.emulation.create_domain(&domain_name);
        let password = random_password();
        let user = self
            .emulation
            .create_user_in(&domain_id, name, password.clone());
        let project = self.emulation.create_project_in(&domain_id, project_name);
        User {
            user_id: user.id,
            username: user.name,
            password,
            user_domain_name: domain_name.clone(),
            domain_id,
            project_id: project.id,
            project_name: project.name,
            project_domain_name: domain_name,
        }
    }
}

impl Cloud for EmulatedCloud {
    fn auth_url(&self) -> String {
        self.emulation.keystone_url()
    }

    fn region_name(&self) -> String {
        self.emulation.region_name().to_owned()
    }

    fn barbican_endpoint(&self) -> String {
        self.emulation.barbican_url()
    }

    fn storing_role(&self) -> String {
        self.world.storing_role().to_owned()
    }

    async fn create_cinder_user(&self) -> Result<User> {
        let user = self.create_user("cinder", "service");
        self.grant(&user, "service").await?;
        Ok(user)
    }

    async fn create_owner(&self) -> Result<User> {
        let user = self.create_user("owner", "tenant");
        self.grant(&user, "member").await?;
        Ok(user)
    }

    async fn grant(&self, user: &User, role: &str) -> Result<()> {
        self.emulation
            .grant_role(&user.user_id, &user.project_id, role);
        Ok(())
    }

    async fn revoke(&self, user: &User, role: &str) -> Result<()> {
        self.emulation
            .revoke_role(&user.user_id, &user.project_id, role);
        Ok(())
    }
}

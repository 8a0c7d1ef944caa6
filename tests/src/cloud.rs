//! What a test needs of a cloud, real or emulated.

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A Keystone and a Barbican, with somebody who may administer them.
///
/// The real one is [`RealCloud`](crate::RealCloud); an emulated one fits behind it as well.
pub trait Cloud: Send + Sync {
    /// Keystone's version 3 URL, as in `[keystone_authtoken] auth_url`.
    fn auth_url(&self) -> String;

    /// The region in whose catalog entry this cloud's Barbican stands.
    fn region_name(&self) -> String;

    /// Barbican's URL without a version, as in `[barbican] barbican_endpoint`.
    fn barbican_endpoint(&self) -> String;

    /// The role that lets a user store secrets here.
    fn storing_role(&self) -> String;

    /// A user named `cinder` on a project named `service`, both new, in a domain of their own, so
    /// that tests do not see each other's secrets. It holds no role but `service`.
    fn create_cinder_user(&self) -> impl Future<Output = Result<User>> + Send;

    /// A volume owner: a new user with the role `member` on a new project.
    fn create_owner(&self) -> impl Future<Output = Result<User>> + Send;

    /// Gives the user a role on its project.
    fn grant(&self, user: &User, role: &str) -> impl Future<Output = Result<()>> + Send;

    /// Takes a role on its project from the user.
    fn revoke(&self, user: &User, role: &str) -> impl Future<Output = Result<()>> + Send;

    /// A cinder user that may store secrets.
    fn create_authorised_cinder_user(&self) -> impl Future<Output = Result<User>> + Send {
        async {
            let user = self.create_cinder_user().await?;
            self.grant(&user, &self.storing_role()).await?;
            Ok(user)
        }
    }
}

/// A user of the cloud with its password and the project that it works in.
///
/// These are throw-away credentials of a private cloud, so unlike the program's they are plain.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct User {
    /// The user's ID, as it stands in `volumes.user_id` and in an ACL.
    pub user_id: String,
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// The name of the user's domain.
    pub user_domain_name: String,
    /// The ID of the user's domain, which is its project's too.
    pub domain_id: String,
    /// The project's ID, as it stands in `volumes.project_id`.
    pub project_id: String,
    /// The project's name.
    pub project_name: String,
    /// The name of the project's domain.
    pub project_domain_name: String,
}

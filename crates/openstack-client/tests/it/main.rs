//! The client against an emulated cloud, and against servers that misbehave byte by byte.

mod http;
mod listing;
mod secrets;
mod session;
mod silence;
mod storing;
mod support;

use std::sync::Arc;

use openstack_client::BarbicanKeyManager;
use sandbox_cloud::{Builder, Cloud, Project, User};

/// A cloud with a user `cinder` in project `service`.
pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    pub(crate) cinder: User,
    pub(crate) service: Project,
    pub(crate) manager: Arc<BarbicanKeyManager>,
}

impl Stage {
    /// With these roles, beside the one that every service user has.
    pub(crate) async fn with_roles(roles: &[&str]) -> Self {
        Self::on(Cloud::builder(), roles).await
    }

    pub(crate) async fn on(builder: Builder, roles: &[&str]) -> Self {
        let cloud = builder.start().await.expect("a cloud");
        let service = cloud.create_project("service");
        let cinder = cloud.create_user("cinder", support::PASSWORD);
        for role in roles.iter().chain(&["service"]) {
            cloud.grant_role(&cinder.id, &service.id, role);
        }
        let keystone = support::keystone(&cloud.keystone_url());
        Self {
            manager: Arc::new(support::manager(keystone, support::barbican())),
            cloud,
            cinder,
            service,
        }
    }
}

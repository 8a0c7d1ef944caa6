//! What is in the database: hosts, tenants, and rows in all the states that an
//! old cloud has collected. The same seed gives the same rows.

use super::planter::Planter;
use super::rows::Image;
use super::{CinderDatabase, DatabaseError, while_doing};
use crate::identity::{Project, User};
use crate::{Cloud, RoleWorld};

/// A storage host of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// `[DEFAULT] host`
    pub name: &'static str,
    /// The one in `enabled_backends`.
    pub backend: &'static str,
    /// The pool that its volumes name after `#`.
    pub pool: &'static str,
    /// `[DEFAULT] cluster`
    pub cluster: Option<&'static str>,
    /// Whether its services still run.
    pub alive: bool,
}

impl Host {
    /// `host@backend`
    pub fn backend_host(&self) -> String {
        format!("{}@{}", self.name, self.backend)
    }

    /// `cluster@backend`
    pub fn backend_cluster(&self) -> Option<String> {
        self.cluster
            .map(|cluster| format!("{cluster}@{}", self.backend))
    }
}

/// The cloud's hosts: one with LVM, one with Ceph, one of a cluster, and one
/// that broke down and was never replaced.
pub const HOSTS: [Host; 4] = [
    Host {
        name: "host1",
        backend: "lvm",
        pool: "lvm",
        cluster: None,
        alive: true,
    },
    Host {
        name: "host2",
        backend: "ceph",
        pool: "ssd",
        cluster: None,
        alive: true,
    },
    Host {
        name: "host3",
        backend: "lvm",
        pool: "lvm",
        cluster: Some("cluster1"),
        alive: true,
    },
    Host {
        name: "host0",
        backend: "lvm",
        pool: "lvm",
        cluster: None,
        alive: false,
    },
];

/// A backend that was taken out of host1's `enabled_backends`; its name begins
/// as that of the one that is left.
pub(super) const RETIRED_BACKEND: &str = "host1@lvm2";

/// How much of what there is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Population {
    /// Volumes at zeros of living hosts; snapshots, backups and rows of other
    /// kinds come in proportion.
    pub volumes: u32,
    /// The same seed makes the same rows.
    pub seed: u64,
    /// Volumes at zeros, each with a backup, of the host that is gone, and half
    /// as many of a retired backend.
    pub unowned: u32,
    /// Volumes at zeros that were never placed on a host: `host` is NULL.
    pub homeless: u32,
    /// Volumes at zeros of host1 that Cinder is in the middle of changing.
    pub transitional: u32,
    /// Zero snapshots of host1's volumes that have a real key.
    pub stragglers: u32,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            volumes: 100,
            seed: 1,
            unowned: 4,
            homeless: 2,
            transitional: 2,
            stragglers: 0,
        }
    }
}

/// A project of the cloud with the users who have volumes in it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The project.
    pub project: Project,
    /// Its users; each has a role on it.
    pub users: Vec<User>,
}

/// What was planted, as it was before anything migrated it.
#[derive(Clone, Debug)]
pub struct Planted {
    /// Whose the rows are.
    pub tenants: Vec<Tenant>,
    /// Every row before the migration.
    pub before: Image,
}

impl Planted {
    /// The user with this ID and a project on which that user has a role.
    pub fn user(&self, user_id: &str) -> Option<(&User, &Project)> {
        self.tenants.iter().find_map(|tenant| {
            let user = tenant.users.iter().find(|user| user.id == user_id)?;
            Some((user, &tenant.project))
        })
    }
}

pub(super) async fn plant(
    database: &CinderDatabase,
    population: &Population,
    cloud: &Cloud,
) -> Result<Planted, DatabaseError> {
    let transaction = database.pool.begin().await;
    let transaction = transaction.map_err(while_doing("opening a transaction"))?;
    let tenants = tenants(cloud);
    let mut planter = Planter::new(transaction, population.seed, &tenants, cloud);
    planter
        .services()
        .await
        .map_err(while_doing("planting services"))?;
    planter
        .rows(population)
        .await
        .map_err(while_doing("planting rows"))?;
    let done = planter.commit().await;
    done.map_err(while_doing("committing what was planted"))?;
    Ok(Planted {
        tenants,
        before: database.image().await?,
    })
}

fn tenants(cloud: &Cloud) -> Vec<Tenant> {
    let role = match cloud.role_world() {
        RoleWorld::Member => "member",
        RoleWorld::Creator => "creator",
    };
    let mut tenants = Vec::new();
    for (project, users) in [
        ("research", ["ada", "grace"]),
        ("finance", ["luca", "emma"]),
        ("web", ["tim", "radia"]),
    ] {
        let project = cloud.create_project(project);
        let users = users.map(|name| {
            let user = cloud.create_user(name, format!("the password of {name}"));
            cloud.grant_role(&user.id, &project.id, role);
            user
        });
        tenants.push(Tenant {
            project,
            users: users.to_vec(),
        });
    }
    tenants
}

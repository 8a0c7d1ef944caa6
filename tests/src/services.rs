//! What the binary `services` has started, as tests see it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::cloud::User;
use crate::python::Python;
use crate::real_cloud::RealCloud;

/// The environment variable that holds the path of the description's file.
pub const VARIABLE: &str = "KEY_MIGRATOR_TEST_SERVICES";

/// The running services: written as JSON by the binary `services`, read by tests.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Services {
    /// Keystone's version 3 URL.
    pub auth_url: String,
    /// Keystone's `admin` user, with the role `admin` on the project `admin`.
    pub admin: User,
    /// A Barbican as shipped, in [`RoleWorld::AsShipped`]'s region.
    pub barbican_as_shipped: String,
    /// A Barbican with the old policies, in [`RoleWorld::Creator`]'s region.
    pub barbican_creator: String,
    /// The Glance that is in every region of the catalogue, without a version.
    pub glance: String,
    /// The private MariaDB.
    pub mariadb: MariaDb,
    /// The private PostgreSQL.
    pub postgresql: PostgreSql,
    /// The Python that has Keystone, Barbican, Cinder and castellan.
    pub python: PathBuf,
    /// Where the services write their logs, one file each.
    pub logs: PathBuf,
}

/// The private MariaDB server, and the dump that fresh Cinder databases are made from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MariaDb {
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    /// The password of the all-powerful user `root`.
    pub root_password: String,
    /// What `cinder-manage db sync` made on this server, as SQL.
    pub cinder_dump: PathBuf,
}

/// The private PostgreSQL server, with a database that fresh Cinder databases are copied from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PostgreSql {
    /// The TCP port on 127.0.0.1.
    pub port: u16,
    /// The password of the all-powerful user `postgres`.
    pub password: String,
}

impl MariaDb {
    /// How sqlx connects as `root`.
    #[must_use]
    pub fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("root")
            .password(&self.root_password)
            .ssl_mode(MySqlSslMode::Disabled)
    }
}

impl PostgreSql {
    /// The database that nobody may be connected to while others are copied from it.
    pub const CINDER: &str = "cinder";

    /// How sqlx connects as `postgres`, to no database in particular.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(&self.password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
    }
}

/// Which role lets a user store secrets: Barbican 18 (2024.1) changed its policies, and
/// deployments are found on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleWorld {
    /// Barbican 23 as shipped: `member` may store secrets, `creator` may not. Each worker keeps
    /// what Keystone said of a token for 300 s, so a role that was granted after a token was used
    /// shows in a new token only.
    AsShipped,
    /// `enforce_new_defaults = false`: `creator` may store secrets, `member` may not. What
    /// Keystone said of a token is kept for 1 s only, so a revoked one is soon refused.
    Creator,
}

impl Services {
    /// The services that this test process was started with.
    ///
    /// # Panics
    ///
    /// When there are none: a test never skips for want of a service.
    #[must_use]
    pub fn from_env() -> Self {
        let Some(path) = std::env::var_os(VARIABLE) else {
            panic!(
                "{VARIABLE} is not set: these tests need the real services. Run `tests/run`, or \
                 a command of your own with `cargo run -p key-migrator-tests --bin services -- \
                 exec -- COMMAND`"
            );
        };
        Self::read(Path::new(&path))
            .expect("the binary `services` wrote this file before the tests")
    }

    /// The Keystone of these services, with the Barbican of one role world.
    #[must_use]
    pub fn cloud(&self, world: RoleWorld) -> RealCloud {
        RealCloud::new(self, world)
    }

    /// Runs the Python programs of `tests/python` with the services' own libraries.
    #[must_use]
    pub fn python(&self) -> Python {
        Python::new(self.python.clone())
    }

    /// The services that the file describes.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it is another.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
    }
}

impl RoleWorld {
    /// Both worlds, for a test that must hold in each.
    pub const ALL: [Self; 2] = [Self::AsShipped, Self::Creator];

    /// The region that this world's Barbican has in Keystone's catalog.
    #[must_use]
    pub fn region_name(self) -> &'static str {
        match self {
            Self::AsShipped => "RegionOne",
            Self::Creator => "RegionCreator",
        }
    }

    /// The role that lets a user store secrets here.
    #[must_use]
    pub fn storing_role(self) -> &'static str {
        match self {
            Self::AsShipped => "member",
            Self::Creator => "creator",
        }
    }

    /// The role that lets a user store secrets in the other world, and not here.
    #[must_use]
    pub fn useless_role(self) -> &'static str {
        match self {
            Self::AsShipped => "creator",
            Self::Creator => "member",
        }
    }
}

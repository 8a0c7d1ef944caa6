//! All services together: started side by side where they do not need each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use key_migrator_tests::cloud::User;
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::real_cloud::{Keystone, random_password};
use key_migrator_tests::services::{MariaDb, PostgreSql, RoleWorld, Services};
use rustix::process::Signal;
use serde_json::json;

use crate::gunicorn::{self, Application};
use crate::mariadb;
use crate::postgresql;
use crate::prepared::{GLANCE, State, Venv};
use crate::process::Process;

/// Simple crypto's key-encryption key: 32 bytes in base64.
const KEK: &str = "dGVzdHMtb25seS1rZXktZW5jcnlwdGlvbi1rZXktMDE=";

/// It is asked for a token now and then.
const KEYSTONE_WORKERS: u32 = 2;

/// A few tests ask it.
const GLANCE_WORKERS: u32 = 1;

/// The running services. Dropping this kills them.
pub(crate) struct Running {
    processes: Vec<Process>,
    folder: RunFolder,
    postgresql: postgresql::Data,
    /// The file that tells tests about them.
    pub(crate) description: PathBuf,
}

impl Running {
    /// Stops everything at once, as none of it is used again, and keeps the logs only.
    pub(crate) async fn stop(self) {
        for process in self.processes {
            process.stop(Signal::KILL, Duration::from_secs(10)).await;
        }
        drop(self.folder);
        drop(self.postgresql);
    }
}

/// The files of one run. Dropping this removes them, except for the logs: these become those of
/// the last run.
struct RunFolder {
    path: PathBuf,
    last_logs: PathBuf,
}

impl RunFolder {
    fn create(home: &Path) -> Result<Self> {
        let runs = home.join("run");
        remove_leftovers(&runs);
        let path = runs.join(std::process::id().to_string());
        std::fs::create_dir_all(path.join("logs"))?;
        Ok(Self {
            path,
            last_logs: home.join("logs"),
        })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Nothing here is needed again, so what cannot be moved or removed is left alone.
        let _ = std::fs::remove_dir_all(&self.last_logs);
        let _ = std::fs::rename(self.path.join("logs"), &self.last_logs);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what runs left behind that were killed.
fn remove_leftovers(runs: &Path) {
    for run in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(run.file_name()).exists() {
            let _ = std::fs::remove_dir_all(run.path());
        }
    }
}

/// Starts everything; what is kept between runs is in `home`.
pub(crate) async fn start(home: &Path, barbican: Barbican) -> Result<Running> {
    let folder = RunFolder::create(home)?;
    let logs = folder.path.join("logs");
    let state = State::copy_to(&folder.path.join("state"), home).await?;
    let access = state.mariadb(free_port()?);
    let postgresql_access = state.postgresql(free_port()?);
    let postgresql_data = postgresql::Data::copy_of(&state.postgresql_data()).await?;
    let mariadb_data = state.mariadb_data();
    let (mariadb, postgresql) = tokio::try_join!(
        mariadb::start(&mariadb_data, &logs, &access),
        postgresql::start(&postgresql_data, &logs, &postgresql_access),
    )?;
    let plan = Plan::new(&state, access, postgresql_access, barbican)?;
    let venv = Venv::in_home(home);
    let (keystone, as_shipped, creator, glance) = tokio::try_join!(
        async {
            let keystone = gunicorn::serve(&venv, &plan.keystone(&state)?, &logs).await?;
            plan.fill_keystone().await.context("filling Keystone")?;
            Ok(keystone)
        },
        plan.serve_barbican(RoleWorld::AsShipped, &venv, &folder.path, &logs),
        plan.serve_barbican(RoleWorld::Creator, &venv, &folder.path, &logs),
        plan.serve_glance(&venv, &folder.path, &logs),
    )?;
    let description = folder.path.join("services.json");
    let services = plan.services(venv.program("python"), logs);
    std::fs::write(&description, serde_json::to_string_pretty(&services)?)?;
    Ok(Running {
        processes: vec![keystone, as_shipped, creator, glance, mariadb, postgresql],
        folder,
        postgresql: postgresql_data,
        description,
    })
}

/// How each Barbican is served.
pub(crate) struct Barbican {
    pub(crate) workers: u32,
    /// As `taskset` names them.
    pub(crate) processors: Option<String>,
}

/// Where everything will be, and who may do what there.
struct Plan {
    mariadb: MariaDb,
    postgresql: PostgreSql,
    keystone_port: u16,
    as_shipped_port: u16,
    creator_port: u16,
    glance_port: u16,
    barbican: Barbican,
    admin: User,
    barbican_password: String,
    glance_password: String,
}

impl Plan {
    fn new(
        state: &State,
        mariadb: MariaDb,
        postgresql: PostgreSql,
        barbican: Barbican,
    ) -> Result<Self> {
        Ok(Self {
            mariadb,
            postgresql,
            keystone_port: free_port()?,
            as_shipped_port: free_port()?,
            creator_port: free_port()?,
            glance_port: free_port()?,
            barbican,
            admin: bootstrapped_admin(&state.secrets.admin_password),
            barbican_password: random_password(),
            glance_password: random_password(),
        })
    }

    fn keystone(&self, state: &State) -> Result<Application<'static>> {
        Ok(Application {
            name: "keystone",
            wsgi_app: "keystone.wsgi.api:application",
            preload: "keystone.server.wsgi",
            policy: Some("keystone.common.rbac_enforcer.policy"),
            home: state.configure_keystone(&self.mariadb)?,
            port: self.keystone_port,
            workers: KEYSTONE_WORKERS,
            processors: None,
            probe: "/v3",
        })
    }

    async fn serve_barbican(
        &self,
        world: RoleWorld,
        venv: &Venv,
        folder: &Path,
        logs: &Path,
    ) -> Result<Process> {
        let name = database_of(world);
        let home = folder.join(name);
        std::fs::create_dir_all(home.join(".barbican"))?;
        let text = self.barbican_configuration(world);
        std::fs::write(home.join(".barbican/barbican.conf"), text)?;
        let barbican = Application {
            name,
            wsgi_app: "barbican_wsgi:application",
            preload: "barbican.api.app",
            policy: Some("barbican.common.policy"),
            home,
            port: self.barbican_port(world),
            workers: self.barbican.workers,
            processors: self.barbican.processors.as_deref(),
            probe: "/healthcheck",
        };
        gunicorn::serve(venv, &barbican, logs).await
    }

    fn barbican_configuration(&self, world: RoleWorld) -> String {
        let difference = match world {
            RoleWorld::AsShipped => "",
            RoleWorld::Creator => {
                "token_cache_time = 1\n\
                 [oslo_policy]\nenforce_new_defaults = false\nenforce_scope = false\n"
            }
        };
        format!(
            "[DEFAULT]\nuse_stderr = true\nhost_href = {}\n\
             [database]\nconnection = {}\n\
             [secretstore]\nenabled_secretstore_plugins = store_crypto\n\
             [crypto]\nenabled_crypto_plugins = simple_crypto\n\
             [simple_crypto_plugin]\nkek = {KEK}\n\
             [keystone_authtoken]\nauth_type = password\nauth_url = {}\n\
             www_authenticate_uri = {}\nusername = barbican\npassword = {}\n\
             user_domain_id = default\nproject_name = service\nproject_domain_id = default\n\
             {difference}",
            self.barbican_url(world),
            mariadb::url(&self.mariadb, database_of(world)),
            self.auth_url(),
            self.auth_url(),
            self.barbican_password,
        )
    }

    async fn serve_glance(&self, venv: &Venv, folder: &Path, logs: &Path) -> Result<Process> {
        let home = folder.join("glance");
        std::fs::create_dir_all(home.join(".glance"))?;
        let text = self.glance_configuration(venv, &home);
        std::fs::write(home.join(".glance/glance-api.conf"), text)?;
        let glance = Application {
            name: "glance",
            wsgi_app: "glance.wsgi.api:application",
            preload: "glance.common.wsgi_app",
            policy: None,
            home,
            port: self.glance_port,
            workers: GLANCE_WORKERS,
            processors: None,
            probe: "/versions",
        };
        gunicorn::serve(venv, &glance, logs).await
    }

    fn glance_configuration(&self, venv: &Venv, home: &Path) -> String {
        let (home, auth_url) = (home.display(), self.auth_url());
        format!(
            "[DEFAULT]\nuse_stderr = true\nenabled_backends = files:file\n\
             # Few, so that a test with few images sees pages.\n\
             api_limit_max = 20\n\
             [database]\nconnection = {}\n\
             [paste_deploy]\nflavor = keystone\nconfig_file = {}\n\
             [glance_store]\ndefault_backend = files\n\
             [files]\nfilesystem_store_datadir = {home}/images\n\
             [os_glance_staging_store]\nfilesystem_store_datadir = {home}/staging\n\
             [os_glance_tasks_store]\nfilesystem_store_datadir = {home}/tasks\n\
             [oslo_concurrency]\nlock_path = {home}\n\
             [keystone_authtoken]\nauth_type = password\nauth_url = {auth_url}\n\
             www_authenticate_uri = {auth_url}\nusername = glance\npassword = {}\n\
             user_domain_id = default\nproject_name = service\nproject_domain_id = default\n",
            mariadb::url(&self.mariadb, GLANCE),
            venv.glance_paste().display(),
            self.glance_password,
        )
    }

    /// Makes what a deployment's installer would: the catalog, and the users that
    /// Barbican and Glance check tokens as.
    async fn fill_keystone(&self) -> Result<()> {
        let keystone = Keystone::new(&self.auth_url(), self.admin.clone());
        keystone
            .create("role", json!({ "name": "creator" }))
            .await?;
        let project = json!({ "name": "service", "domain_id": "default" });
        let project_id = keystone.create("project", project).await?;
        for (name, password) in [
            ("barbican", &self.barbican_password),
            ("glance", &self.glance_password),
        ] {
            let user = json!({ "name": name, "domain_id": "default", "password": password });
            let user_id = keystone.create("user", user).await?;
            keystone.grant_by_id(&project_id, &user_id, "admin").await?;
        }
        let service = json!({ "type": "identity", "name": "keystone" });
        let identity_id = keystone.create("service", service).await?;
        let service = json!({ "type": "key-manager", "name": "barbican" });
        let key_manager_id = keystone.create("service", service).await?;
        let service = json!({ "type": "image", "name": "glance" });
        let image_id = keystone.create("service", service).await?;
        for world in RoleWorld::ALL {
            let region = world.region_name();
            keystone.create("region", json!({ "id": region })).await?;
            for (service_id, url) in [
                (&identity_id, self.auth_url()),
                (&key_manager_id, self.barbican_url(world)),
                (&image_id, self.glance_url()),
            ] {
                add_endpoints(&keystone, region, service_id, &url).await?;
            }
        }
        Ok(())
    }

    fn services(&self, python: PathBuf, logs: PathBuf) -> Services {
        Services {
            auth_url: self.auth_url(),
            admin: self.admin.clone(),
            barbican_as_shipped: self.barbican_url(RoleWorld::AsShipped),
            barbican_creator: self.barbican_url(RoleWorld::Creator),
            glance: self.glance_url(),
            mariadb: self.mariadb.clone(),
            postgresql: self.postgresql.clone(),
            python,
            logs,
        }
    }

    fn auth_url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.keystone_port)
    }

    fn glance_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.glance_port)
    }

    fn barbican_url(&self, world: RoleWorld) -> String {
        format!("http://127.0.0.1:{}", self.barbican_port(world))
    }

    fn barbican_port(&self, world: RoleWorld) -> u16 {
        match world {
            RoleWorld::AsShipped => self.as_shipped_port,
            RoleWorld::Creator => self.creator_port,
        }
    }
}

async fn add_endpoints(
    keystone: &Keystone,
    region: &str,
    service_id: &str,
    url: &str,
) -> Result<()> {
    for interface in ["public", "internal", "admin"] {
        let endpoint = json!({
            "interface": interface,
            "region_id": region,
            "service_id": service_id,
            "url": url,
        });
        keystone.create("endpoint", endpoint).await?;
    }
    Ok(())
}

fn database_of(world: RoleWorld) -> &'static str {
    match world {
        RoleWorld::AsShipped => "barbican_as_shipped",
        RoleWorld::Creator => "barbican_creator",
    }
}

/// The administrator that `keystone-manage bootstrap` makes.
fn bootstrapped_admin(password: &str) -> User {
    User {
        user_id: String::new(),
        username: "admin".to_owned(),
        password: password.to_owned(),
        user_domain_name: "Default".to_owned(),
        domain_id: "default".to_owned(),
        project_id: String::new(),
        project_name: "admin".to_owned(),
        project_domain_name: "Default".to_owned(),
    }
}

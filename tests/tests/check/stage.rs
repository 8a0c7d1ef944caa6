//! A small cloud in which `check` finds nothing to say, to break one thing at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use key_migrator_tests::cinder_conf::{FIXED_KEY, write_closed};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Service,
    Services, User, Volume,
};
use tempfile::TempDir;

use crate::Said;

pub(crate) struct Stage<C = RealCloud> {
    pub(crate) cloud: C,
    pub(crate) cinder: User,
    pub(crate) database: CinderDatabase,
    pub(crate) conf: CinderConf,
    pub(crate) volume: Volume,
    pub(crate) folder: Arc<TempDir>,
}

impl Stage {
    /// On SQLite, which is made at once; the database's own lines are tested on all.
    pub(crate) async fn set() -> Result<Self> {
        Self::set_on(Dialect::Sqlite, RoleWorld::AsShipped).await
    }

    pub(crate) async fn set_on(dialect: Dialect, world: RoleWorld) -> Result<Self> {
        let services = Services::from_env();
        let database = CinderDatabase::new(&services, dialect).await?;
        Self::set_with(services.cloud(world), database).await
    }
}

impl<C: Cloud> Stage<C> {
    pub(crate) async fn set_with(cloud: C, database: CinderDatabase) -> Result<Self> {
        let cinder = cloud.create_authorised_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        let volume = Volume::on("host1@lvm#lvm")
            .owned_by(&owner)
            .with_snapshots(2);
        database.insert(&volume).await?;
        let backup = Backup::on("host1").owned_by(&owner);
        database.insert(&backup).await?;
        database.insert(&Service::volume("host1@lvm")).await?;
        database.insert(&Service::backup("host1")).await?;
        let stage = Self {
            conf: CinderConf::new(&cloud, &cinder, &database)?.set(
                "DEFAULT",
                "service_down_time",
                "3600",
            ),
            folder: Arc::new(tempfile::tempdir()?),
            cloud,
            cinder,
            database,
            volume,
        };
        stage.nova(&format!(
            "[key_manager]\nbackend = barbican\nfixed_key = {FIXED_KEY}\n"
        ))?;
        Ok(stage)
    }

    /// Writes the nova.conf that nova-compute would find.
    pub(crate) fn nova(&self, text: &str) -> Result<PathBuf> {
        self.write("nova.conf", text)
    }

    /// Writes a file below the home directory, which is `state_path` too.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        let folder = path.parent().expect("it is below a folder");
        std::fs::create_dir_all(folder)?;
        write_closed(&path, text)?;
        Ok(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `check` with what is on the stage.
    pub(crate) async fn check(&self) -> Result<Said> {
        self.check_with(&self.conf, &[]).await
    }

    pub(crate) async fn probe(&self) -> Result<Said> {
        self.check_with(&self.conf, &["--probe"]).await
    }

    pub(crate) async fn check_as(&self, conf: &CinderConf) -> Result<Said> {
        self.check_with(conf, &[]).await
    }

    pub(crate) async fn check_with(&self, conf: &CinderConf, more: &[&str]) -> Result<Said> {
        let arguments = [&["check", "-f", "json"], more].concat();
        let ended = Program::start_in(Arc::clone(&self.folder), conf, arguments)?;
        let ended = ended.ended().await?;
        let all = ended.lines.join("\n");
        for secret in [
            FIXED_KEY,
            &self.cinder.password,
            self.database.connection_url(),
        ] {
            assert!(!all.contains(secret), "{all}");
        }
        Said::read(&ended)
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

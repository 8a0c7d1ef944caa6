//! A host with a configuration, and what commands say on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use key_migration::verdict::Item;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, EmulatedCloud, Program, RoleWorld,
};
use tempfile::TempDir;

/// A host whose files may be edited; the program's own configuration is elsewhere.
pub(crate) struct Stage {
    pub(crate) conf: CinderConf,
    pub(crate) database: CinderDatabase,
    pub(crate) folder: TempDir,
    _cloud: EmulatedCloud,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Stage {
    pub(crate) async fn new() -> Result<Self> {
        Self::on(CinderDatabase::sqlite().await?).await
    }

    pub(crate) async fn on(database: CinderDatabase) -> Result<Self> {
        let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
        let cinder = cloud.create_authorised_cinder_user().await?;
        let folder = tempfile::tempdir()?;
        let state_dir = folder.path().join("state");
        let conf = CinderConf::new(&cloud, &cinder, &database)?.set(
            "key_migrator",
            "state_dir",
            &state_dir.display().to_string(),
        );
        Ok(Self {
            conf,
            database,
            folder,
            _cloud: cloud,
        })
    }

    /// Writes a file into a folder of its own.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.path().join("etc").join(name);
        fs::create_dir_all(path.parent().context("it is in a folder")?)?;
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Runs `fixed-key` with these arguments.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Said> {
        said(&self.conf, arguments).await
    }

    /// Removes it from a file, whatever the verdict.
    pub(crate) async fn remove(&self, file: &Path) -> Result<Said> {
        let file = file.display().to_string();
        let arguments = ["remove", "--execute", &file].map(str::to_owned);
        let arguments: Vec<_> = arguments.into_iter().chain(force_all()).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.run(&arguments).await
    }

    /// Restores a file.
    pub(crate) async fn restore(&self, file: &Path) -> Result<Said> {
        self.run(&["restore", "--execute", &file.display().to_string()])
            .await
    }
}

/// Runs `fixed-key`; whatever it says, it never shows the key.
pub(crate) async fn said(conf: &CinderConf, arguments: &[&str]) -> Result<Said> {
    let arguments = [&["fixed-key"], arguments].concat();
    let ended = Program::run_to_end(conf, arguments).await?;
    let text = ended.lines.join("\n");
    ensure!(!text.contains(&FIXED_KEY[..16]), "the key is shown: {text}");
    Ok(Said {
        code: ended.code(),
        text,
    })
}

/// `--force` with every code there is.
pub(crate) fn force_all() -> impl Iterator<Item = String> {
    let codes = Item::codes().into_iter();
    codes.flat_map(|code| ["--force".to_owned(), code.to_owned()])
}

/// The names in a folder, in order.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// A file mounted over another, as container engines do it. Dropping it unmounts it.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    pub(crate) fn over(file: &Path, source: &Path) -> Result<Self> {
        let done = Command::new("mount")
            .arg("--bind")
            .args([source, file])
            .output()
            .context("running mount")?;
        ensure!(
            done.status.success(),
            "a file cannot be mounted here: this test must run as root, with the right to mount \
             ({})",
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(Self(file.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

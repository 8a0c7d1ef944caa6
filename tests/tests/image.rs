//! `Containerfile`: what it builds runs as nobody in particular, without a shell, and migrates.
//!
//! Both stages stand on images that are made here, as nothing may be fetched: the builder has the
//! program that cargo has built already, and a `cargo` that hands it out.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, RoleWorld, Services, Volume, program,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

const IMAGE: &str = "localhost/cinder-key-migrator";
const COMMANDS: [&str; 4] = ["sh", "mkdir", "cp", "chmod"];
const CARGO: &str = "#!/bin/sh\n\
    mkdir -p target/release && cp /prebuilt target/release/cinder-key-migrator\n";

/// Images and containers of one test.
struct Store(TempDir);

impl Store {
    fn buildah(&self) -> Command {
        let mut command = Command::new("buildah");
        command
            .arg("--root")
            .arg(self.0.path().join("root"))
            .arg("--runroot")
            .arg(self.0.path().join("runroot"))
            .env("BUILDAH_ISOLATION", "chroot")
            .env("STORAGE_DRIVER", "vfs")
            .stdin(Stdio::null());
        command
    }

    async fn output(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.buildah().args(arguments).output().await;
        output.context("starting buildah, which `tests/run long` installs")
    }

    async fn does(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments).await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "buildah {arguments:?}: {said}{errors}"
        );
        Ok(said.trim().to_owned())
    }

    /// An image of nothing but this folder.
    async fn image_of(&self, folder: &Path, name: &str) -> Result<()> {
        let file = self.0.path().join("Containerfile");
        std::fs::write(&file, "FROM scratch\nCOPY . /\n")?;
        let (file, folder) = (file.display().to_string(), folder.display().to_string());
        self.does(&["build", "--file", &file, "--tag", name, &folder])
            .await?;
        Ok(())
    }
}

/// What the first stage needs.
fn builder(folder: &Path) -> Result<()> {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::create_dir(folder.join("tmp"))?;
    std::fs::copy("/bin/busybox", bin.join("busybox")).context("busybox-static")?;
    for command in COMMANDS {
        symlink("busybox", bin.join(command))?;
    }
    std::fs::copy(program::binary()?, folder.join("prebuilt"))?;
    std::fs::write(bin.join("cargo"), CARGO)?;
    std::fs::set_permissions(bin.join("cargo"), Permissions::from_mode(0o755))?;
    Ok(())
}

/// What the second stage needs: the libraries, and no shell.
async fn base(folder: &Path) -> Result<()> {
    let listed = Command::new("ldd").arg(program::binary()?).output().await?;
    let listed = String::from_utf8(listed.stdout)?;
    let libraries = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for library in libraries.map(PathBuf::from) {
        let copy = folder.join(library.strip_prefix("/")?);
        std::fs::create_dir_all(copy.parent().context("a folder")?)?;
        std::fs::copy(&library, copy)?;
    }
    std::fs::create_dir_all(folder.join("etc"))?;
    Ok(())
}

#[tokio::test]
#[ignore = "long"]
async fn the_image_runs_as_nobody_in_particular_without_a_shell_and_migrates() -> Result<()> {
    let store = Store(tempfile::tempdir()?);
    let context = tempfile::tempdir()?;
    let (of_builder, of_base) = (tempfile::tempdir()?, tempfile::tempdir()?);
    builder(of_builder.path())?;
    base(of_base.path()).await?;
    store
        .image_of(of_builder.path(), "localhost/builder")
        .await?;
    store.image_of(of_base.path(), "localhost/base").await?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Containerfile");
    let file = file.display().to_string();
    std::fs::write(context.path().join("source"), "")?;
    let folder = context.path().display().to_string();
    store
        .does(
            &[
                &[
                    "build",
                    "--format",
                    "docker",
                    "--pull-never",
                    "--file",
                    &file,
                ][..],
                &["--build-arg", "BUILDER=localhost/builder"],
                &[
                    "--build-arg",
                    "BASE=localhost/base",
                    "--tag",
                    IMAGE,
                    &folder,
                ],
            ]
            .concat(),
        )
        .await?;

    let inspected = store.does(&["inspect", "--type", "image", IMAGE]).await?;
    let inspected: Value = serde_json::from_str(&inspected)?;
    let config = &inspected["Docker"]["config"];
    assert_eq!(config["User"], "42407:42407");
    let program = "/usr/bin/cinder-key-migrator";
    assert_eq!(config["Entrypoint"], serde_json::json!([program]));
    let check = serde_json::json!(["CMD", program, "healthcheck"]);
    assert_eq!(config["Healthcheck"]["Test"], check);
    let labels = &config["Labels"];
    assert_eq!(
        labels["org.opencontainers.image.title"],
        "cinder-key-migrator"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(labels["org.opencontainers.image.version"], version);

    let container = store.does(&["from", "--pull-never", IMAGE]).await?;
    let shell = store.output(&["run", &container, "--", "/bin/sh"]).await?;
    ensure!(!shell.status.success(), "there is a shell");
    migrates(&store, &container).await
}

async fn migrates(store: &Store, container: &str) -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&Volume::on("host1@lvm").owned_by("user").with_snapshots(1))
        .await?;
    let folder = tempfile::tempdir()?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let conf = conf.set("DEFAULT", "state_path", "/var/lib/cinder");
    let file = conf.write_to(folder.path())?;
    for (path, mode) in [(folder.path(), 0o755), (&file, 0o644)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    let volume = format!("{}:/etc/cinder:ro", folder.path().display());
    store
        .does(
            &[
                &["run", "--volume", &volume, container, "--"][..],
                &["/usr/bin/cinder-key-migrator", "run", "--once"],
                &["--config-file", "/etc/cinder/cinder.conf"],
            ]
            .concat(),
        )
        .await?;
    assert_eq!(database.zeros("volumes").await?, 0);
    assert_eq!(database.zeros("snapshots").await?, 0);
    Ok(())
}

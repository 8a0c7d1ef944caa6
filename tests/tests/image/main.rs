//! `Containerfile`: what it builds runs as nobody in particular, without a shell, on a read-only root
//! and without a capability, as the quadlets in `deploy/` want it, and migrates.
//!
//! Both stages stand on images that are made here, as nothing may be fetched: the builder has the
//! program that cargo has built already, and a `cargo` that hands it out.

mod manager;
mod podman;
mod quadlet;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::program::DEADLINE;
use key_migrator_tests::relay::{Between, HttpRelay};
use key_migrator_tests::{Clean, Cloud as _, Dialect, RoleWorld, Scene, deploy, http, program};
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use manager::Manager;
use podman::Podman;
use quadlet::Quadlet;

const COMMANDS: [&str; 4] = ["sh", "mkdir", "cp", "chmod"];
const CARGO: &str = "#!/bin/sh\n\
    mkdir -p target/release && cp /prebuilt target/release/cinder-key-migrator\n";
const PROGRAM: &str = "/usr/bin/cinder-key-migrator";

/// What podman needs here whatever it runs. By default it raises limits, which not every root may, and
/// puts the container into cgroups, which not every root has.
const OF_THIS_MACHINE: [&str; 3] = [
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
    "--cgroups=disabled",
];

/// What moves before the container is killed, and what is there to be moved.
const MOVED: usize = 12;
const VOLUMES: usize = 40;

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

/// Builds the image, and gives it this name.
async fn build(podman: &Podman, image: &str) -> Result<()> {
    let context = tempfile::tempdir()?;
    let (of_builder, of_base) = (tempfile::tempdir()?, tempfile::tempdir()?);
    builder(of_builder.path())?;
    base(of_base.path()).await?;
    // An image of nothing but a folder.
    let copy = context.path().join("Containerfile");
    std::fs::write(&copy, "FROM scratch\nCOPY . /\n")?;
    for (folder, name) in [(&of_builder, "builder"), (&of_base, "base")] {
        let name = format!("localhost/{name}");
        podman.build(&copy, folder.path(), &name, &[]).await?;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Containerfile");
    let stages = ["BUILDER=localhost/builder", "BASE=localhost/base"];
    podman.build(&file, context.path(), image, &stages).await
}

#[tokio::test]
#[ignore = "long"]
async fn it_runs_as_nobody_in_particular_without_a_shell_and_goes_on_after_a_kill() -> Result<()> {
    let podman = Podman::new()?;
    let quadlets = ["podman", "kolla", "tripleo"].map(|folder| {
        let file = format!("{folder}/cinder-key-migrator-volume.container");
        Quadlet::read(&deploy::folder().join(file))
    });
    let quadlets = quadlets.into_iter().collect::<Result<Vec<_>>>()?;
    let image = quadlets[0].image()?;
    build(&podman, image).await?;

    let inspected = podman.does(&["image", "inspect", image]).await?;
    let inspected: Value = serde_json::from_str(&inspected)?;
    let config = &inspected[0]["Config"];
    assert_eq!(config["User"], "42407:42407", "{inspected:#}");
    assert_eq!(config["Entrypoint"], serde_json::json!([PROGRAM]));
    let check = serde_json::json!(["CMD", PROGRAM, "healthcheck"]);
    assert_eq!(inspected[0]["Healthcheck"]["Test"], check, "{inspected:#}");
    let labels = &config["Labels"];
    let title = &labels["org.opencontainers.image.title"];
    assert_eq!(title, "cinder-key-migrator");
    let version = &labels["org.opencontainers.image.version"];
    assert_eq!(version, env!("CARGO_PKG_VERSION"));

    let mut shell = vec!["run", "--rm", "--no-healthcheck"];
    shell.extend(OF_THIS_MACHINE);
    shell.extend(["--entrypoint", "/bin/sh", image]);
    let shell = podman.output(&shell).await?;
    assert_eq!(shell.status.code(), Some(127), "no such file: {shell:?}");

    for quadlet in &quadlets {
        migrates(&podman, quadlet).await?;
    }
    Ok(())
}

/// A container as a quadlet has it is killed in the middle of its work, is started again, and ends it.
async fn migrates(podman: &Podman, quadlet: &Quadlet) -> Result<()> {
    let mut scene = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
    let volumes: Vec<_> = (0..VOLUMES)
        .map(|_| scene.volume().with_snapshots(1))
        .collect();
    scene.database.insert(&volumes[..]).await?;
    let gate = Arc::new(Semaphore::new(MOVED));
    let barbican = HttpRelay::to(&scene.cloud.barbican_endpoint(), at_put(&gate)).await?;
    scene.conf = scene
        .conf
        .set("barbican", "barbican_endpoint", &barbican.url())
        .set("DEFAULT", "state_path", "/var/lib/cinder");

    let host = tempfile::tempdir()?;
    std::fs::set_permissions(host.path(), Permissions::from_mode(0o755))?;
    let folder = quadlet.lay_out(host.path())?;
    quadlet.hand_over(&scene.conf.write_to(&folder)?)?;
    let listen = scene
        .conf
        .url()
        .replacen("http", "OS_KEY_MIGRATOR__LISTEN", 1);
    let listen = listen.replacen("://", "=", 1);
    let manager = Manager::new()?;
    let mut run = quadlet.arguments(host.path(), &listen)?;
    run.splice(2..2, OF_THIS_MACHINE.map(str::to_owned));
    podman.does_and_tells(&run, &manager.path()).await?;
    let name = quadlet.name()?;
    manager.hears("READY=1").await?;
    manager.hears("WATCHDOG=1").await?;
    status(&scene, |service| {
        let keys = &service["keys"];
        keys["migrated"] == MOVED && keys["in_flight"].as_u64() >= Some(1)
    })
    .await?;
    may_do_nothing(podman, name).await?;
    podman.does(&["healthcheck", "run", name]).await?;

    podman.does(&["kill", "--signal", "KILL", name]).await?;
    assert_eq!(podman.does(&["wait", name]).await?, "137");
    let left = usize::try_from(scene.database.zeros("volumes").await?)?;
    assert_eq!(left, VOLUMES - MOVED, "it was killed in the middle");
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    let start = ["start", name];
    podman.does_and_tells(&start, &manager.path()).await?;
    manager.hears("READY=1").await?;
    status(&scene, |service| service["state"] == "complete").await?;
    let clean = Clean::of(&scene.database, &scene.cloud, &scene.cinder);
    clean.assert().await?;

    podman.does(&["stop", name]).await?;
    assert_eq!(podman.does(&["wait", name]).await?, "0");
    podman.does(&["rm", name]).await.map(drop)
}

/// Barbican is asked to let somebody read a key, the last thing before the row is switched, as often
/// as there are permits.
fn at_put(gate: &Arc<Semaphore>) -> Between {
    let gate = Arc::clone(gate);
    Arc::new(move |method, _| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            if method == Method::PUT {
                gate.acquire().await.expect("never closed").forget();
            }
        })
    })
}

/// Waits until the one service is as it should be.
async fn status(scene: &Scene, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let url = format!("{}/v1/status", scene.conf.url());
    let mut last = Value::Null;
    let polling = async {
        loop {
            if let Ok(answer) = http::client().get(&url).send().await {
                last = answer.json().await?;
                if wanted(&last["services"][0]) {
                    return Ok(());
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let outcome = timeout(DEADLINE, polling).await;
    outcome
        .context("not in time")
        .flatten()
        .with_context(|| format!("the last status: {last:#}"))
}

/// The process has no capability and gets none, cannot write below its root, and leaves no core.
async fn may_do_nothing(podman: &Podman, name: &str) -> Result<()> {
    let process = ["inspect", "--format", "{{.State.Pid}}", name];
    let process = PathBuf::from("/proc").join(podman.does(&process).await?);
    let read = |file: &str| std::fs::read_to_string(process.join(file));
    let about = read("status")?;
    for line in [
        "Uid:\t42407\t42407\t42407\t42407",
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        // A filter: podman's own, of what containers may ask the kernel for.
        "Seccomp:\t2",
    ] {
        ensure!(about.lines().any(|said| said == line), "{line}: {about}");
    }
    let mounts = read("mountinfo")?;
    let root = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[4] == "/")
        .context("a root")?;
    ensure!(root[5].split(',').any(|option| option == "ro"), "{root:?}");
    let limits = read("limits")?;
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core
        .context("a limit")?
        .split_whitespace()
        .skip(4)
        .take(2)
        .collect();
    assert_eq!(core, ["0", "0"], "{limits}");
    Ok(())
}

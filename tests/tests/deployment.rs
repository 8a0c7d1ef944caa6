//! `deploy/`: what operators copy is well-formed, hardened, and lets two daemons run on one host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::deploy;
use key_migrator_tests::free_port::free_port;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Service, Services,
    Volume, program,
};
use tokio::process::Command;

/// systemd's own measure of what a service may do, in tenths: 0 for nothing, 100 for everything.
const EXPOSURE: u32 = 15;

/// Every file below `deploy/` with this ending.
fn files(ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![deploy::folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

async fn succeeds(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("{command:?}"))?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(said)
}

#[tokio::test]
async fn systemd_takes_the_units_and_finds_little_that_they_may_do() -> Result<()> {
    let binary = program::binary()?;
    let folder = tempfile::tempdir()?;
    let units = files(".service")?;
    assert_eq!(units.len(), 2);
    for unit in units {
        let text = std::fs::read_to_string(&unit)?;
        let text = text.replace(
            "/usr/bin/cinder-key-migrator",
            &binary.display().to_string(),
        );
        let name = unit.file_name().context("a name")?;
        let name = name.to_string_lossy().replace("@.", "@volume.");
        let copy = folder.path().join(name);
        std::fs::write(&copy, text)?;
        let analyze = || Command::new("systemd-analyze");
        let said = succeeds(analyze().arg("verify").arg(&copy)).await?;
        ensure!(!said.contains("cinder-key-migrator"), "{said}");
        let security = ["security", "--offline=true", "--no-pager"];
        let threshold = format!("--threshold={EXPOSURE}");
        succeeds(analyze().args(security).arg(threshold).arg(&copy)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_unit_allows_every_system_call_of_a_run() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&Volume::on("host1@lvm").owned_by("user").with_snapshots(1))
        .await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let folder = tempfile::tempdir()?;
    let file = conf.write_to(folder.path())?;
    let made = folder.path().join("calls");
    let mut strace = Command::new("strace");
    strace
        .args(["--follow-forks", "--summary-only", "--summary-columns=name"])
        .arg("--output")
        .arg(&made)
        .arg(program::binary()?)
        .args(["run", "--once", "--config-file"])
        .arg(file);
    succeeds(&mut strace).await?;
    let made = std::fs::read_to_string(made)?;
    let headings = ["syscall", "total"];
    let names = made
        .split_whitespace()
        .filter(|word| !word.starts_with('-'));
    let made: BTreeSet<_> = names.filter(|word| !headings.contains(word)).collect();
    ensure!(
        made.contains("connect") && made.contains("fsync"),
        "{made:?}"
    );
    let mut allowed = system_calls("@system-service").await?;
    for set in ["@privileged", "@resources"] {
        allowed = &allowed - &system_calls(set).await?;
    }
    let mut made: BTreeSet<_> = made.into_iter().map(str::to_owned).collect();
    // SQLite does this as root alone, as which tests run and the unit does not.
    made.remove("fchown");
    let refused: Vec<_> = made.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
    Ok(())
}

/// The system calls of a set of systemd's, those of the sets in it, too.
async fn system_calls(set: &str) -> Result<BTreeSet<String>> {
    let mut calls = BTreeSet::new();
    let mut sets = vec![set.to_owned()];
    while let Some(set) = sets.pop() {
        let mut analyze = Command::new("systemd-analyze");
        let listed = succeeds(analyze.args(["syscall-filter", "--no-pager", &set])).await?;
        for line in listed.lines().skip(1).map(str::trim) {
            match line {
                line if line.starts_with('@') => sets.push(line.to_owned()),
                line if line.is_empty() || line.starts_with('#') => {}
                line => drop(calls.insert(line.to_owned())),
            }
        }
    }
    Ok(calls)
}

#[tokio::test]
async fn manifests_are_hardened_and_their_probes_know_no_role() -> Result<()> {
    let python = Services::from_env().python();
    let folder = deploy::folder().display().to_string();
    assert_eq!(python.run("deployment_files.py", &folder).await?, "");
    Ok(())
}

#[test]
fn quadlets_are_hardened_and_do_not_collide() -> Result<()> {
    let quadlets = files(".container")?;
    assert_eq!(quadlets.len(), 6);
    let mut of_folder: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for path in quadlets {
        let options = deploy::options(&path)?;
        let is = |key: &str, value: &str| -> Result<()> {
            let values = options.get(key).cloned().unwrap_or_default();
            ensure!(values == [value], "{}: {key} is {values:?}", path.display());
            Ok(())
        };
        is("ReadOnly", "true")?;
        is("NoNewPrivileges", "true")?;
        is("DropCapability", "all")?;
        is("User", "42407")?;
        is("Notify", "true")?;
        is("Restart", "always")?;
        let check = options["HealthCmd"][0].replace(['[', ']', '"', ','], "");
        let run = options["Exec"][0].replacen("run", "/usr/bin/cinder-key-migrator healthcheck", 1);
        assert_eq!(check, run, "{}", path.display());
        let state = options["Environment"]
            .iter()
            .find_map(|variable| variable.strip_prefix("OS_KEY_MIGRATOR__STATE_DIR="));
        let state = state.context("a ledger")?;
        let outlives = options["Volume"]
            .iter()
            .any(|volume| volume.split(':').nth(1) == Some(state));
        ensure!(outlives, "{}: {state}", path.display());
        let folder = path.parent().context("a folder")?.to_owned();
        for own in options["Environment"]
            .iter()
            .chain(&options["ContainerName"])
        {
            let is_new = of_folder
                .entry(folder.clone())
                .or_default()
                .insert(own.clone());
            ensure!(is_new, "{} collides: {own}", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_daemons_on_one_host_do_not_collide_with_the_files_that_are_shipped() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
        .await?;
    database
        .insert(&Volume::on("host1@lvm").owned_by("user"))
        .await?;
    database
        .insert(&Backup::on("host1").owned_by("user"))
        .await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?
        .unset("key_migrator", "listen")
        .set("key_migrator", "interval", "1");
    let folder = tempfile::tempdir()?;
    let mut programs = Vec::new();
    let mut shipped = BTreeSet::new();
    for service in ["volume", "backup"] {
        let file = deploy::folder().join(format!("systemd/key-migrator-{service}.conf"));
        let own = deploy::options(&file)?;
        let (listen, state) = (&own["listen"][0], &own["state_dir"][0]);
        ensure!(shipped.insert(listen.clone()) && shipped.insert(state.clone()));
        // The same file, below another root and on a port that is free here.
        let text = std::fs::read_to_string(&file)?;
        let text = text
            .replace(listen, &format!("127.0.0.1:{}", free_port()?))
            .replace("/var/lib/cinder", &folder.path().display().to_string());
        let copy = folder.path().join(format!("key-migrator-{service}.conf"));
        std::fs::write(&copy, text)?;
        let arguments = ["run", "--service", service, "--config-file"].map(Into::into);
        let arguments: Vec<std::ffi::OsString> =
            arguments.into_iter().chain([copy.into()]).collect();
        programs.push(Program::start_with(&conf, arguments)?);
    }
    for (program, text) in programs
        .iter_mut()
        .zip(["No volumes are", "No backups are"])
    {
        program.line(text).await?;
    }
    assert_eq!(database.zeros("volumes").await?, 0);
    assert_eq!(database.zeros("backups").await?, 0);
    for service in ["volume", "backup"] {
        ensure!(
            folder
                .path()
                .join(format!("key-migrator-{service}"))
                .is_dir()
        );
    }
    for program in programs {
        assert_eq!(program.terminate().await?.code(), Some(0));
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_is_for_and_is_listed() -> Result<()> {
    let listing = std::fs::read_to_string(deploy::folder().join("README.md"))?;
    for path in files("")? {
        let name = path.strip_prefix(deploy::folder())?.display().to_string();
        if name == "README.md" {
            continue;
        }
        ensure!(
            listing.contains(&format!("]({name})")),
            "README.md lacks {name}"
        );
        let text = std::fs::read_to_string(&path)?;
        let beginning: Vec<_> = text.lines().take(30).collect();
        let beginning = beginning.join("\n");
        let says = [
            "Goes to: ",
            "Run ",
            "Test",
            "kustomization.yaml",
            "promtool",
        ];
        ensure!(says.iter().any(|words| beginning.contains(words)), "{name}");
    }
    Ok(())
}

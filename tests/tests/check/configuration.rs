//! What is read from files: Cinder's, Nova's, and those of containers.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{Dialect, Program, RoleWorld};

use crate::stage::{Stage, text};

const OTHER_KEY: &str = "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn where_all_is_well_every_line_says_so_and_the_table_is_the_one_of_upgrade_check()
-> Result<()> {
    let stage = Stage::set().await?;
    let said = stage.check().await?;
    said.is_all_success();
    assert_eq!(said.checks.len(), 21, "{said:#?}");
    let file = stage.path("cinder.conf");
    assert_eq!(
        said.details("Configuration"),
        format!("Read: {}.", text(&file))
    );
    let (ours, theirs) = (text(&file), stage.path("nova.conf"));
    let keys = said.details("Fixed key");
    assert!(
        keys.contains(ours) && keys.contains(text(&theirs)),
        "{keys}"
    );
    assert!(
        said.details("Role")
            .contains("must stay after the migration")
    );

    let table = Program::start_in(Arc::clone(&stage.folder), &stage.conf, ["check"])?;
    let table = table.ended().await?;
    assert_eq!(table.code(), Some(0));
    assert!(table.lines[0].starts_with("+---") && table.lines[0].ends_with("---+"));
    assert!(table.lines[1].starts_with("| Key Migration Check Results"));
    assert!(table.lines[3].starts_with("| Check: Configuration"));
    assert!(table.lines[4].starts_with("| Result: Success"));
    assert!(table.lines[5].starts_with("| Details: Read: "));
    let widths: Vec<_> = table.lines.iter().map(|line| line.len()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table:#?}");
    Ok(())
}

#[tokio::test]
async fn an_option_at_fault_is_named_with_its_place_and_the_rest_is_looked_at_all_the_same()
-> Result<()> {
    let stage = Stage::set().await?;
    let bad = stage.conf.clone().set("key_migrator", "interval", "soon");
    let said = stage.check_as(&bad).await?;
    said.fails(
        "Configuration",
        "[key_migrator] interval",
        "correct the options",
    );
    let place = format!("{}:", text(&stage.path("cinder.conf")));
    assert!(said.details("Configuration").contains(&place));
    assert_eq!(said.line("Barbican")["result"], 0);
    assert_eq!(said.line("Database grants")["result"], 0);

    let bad = stage.conf.clone().set("key_manager", "fixed_key", "abc");
    let said = stage.check_as(&bad).await?;
    said.fails(
        "Configuration",
        "[key_manager] fixed_key: an odd number",
        "",
    );
    let bad = stage.conf.clone().unset("database", "connection");
    let said = stage.check_as(&bad).await?;
    said.fails("Configuration", "[database] connection", "");
    let missing = stage.path("missing.conf");
    let said = stage
        .check_with(&stage.conf, &["--config-file", text(&missing)])
        .await?;
    said.fails("Configuration", "missing.conf", "");
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn what_has_no_effect_is_to_be_taken_out() -> Result<()> {
    let stage = Stage::set_on(Dialect::MariaDb, RoleWorld::AsShipped).await?;
    let url = stage.database.connection_url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let more = format!("{url}{separator}read_default_group=cinder");
    let conf = stage.conf.clone().set("database", "connection", &more);
    let said = stage.check_as(&conf).await?;
    let details = "[database] connection: parameter";
    said.warns("Configuration", details, "take out what has no effect");
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn the_file_that_a_container_reads_is_named_and_must_say_the_same() -> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "File of the containerised service";
    let same = format!("[key_manager]\nbackend = barbican\nfixed_key = {FIXED_KEY}\n");
    let read = stage.write("etc/cinder/cinder.conf", &same)?;
    for container in [
        "var/lib/config-data/puppet-generated/cinder/etc/cinder/cinder.conf",
        "etc/kolla/cinder-volume/cinder.conf",
    ] {
        let differs = format!("[keymgr]\nfixed_key = {OTHER_KEY}\n");
        let file = stage.write(container, &differs)?;
        let with = ["--config-file", text(&read)];
        let said = stage.check_with(&stage.conf, &with).await?;
        let remedy = format!("--config-file {}", text(&file));
        said.warns(LINE, "its [key_manager] fixed_key differs", &remedy);
        stage.write(container, "[key_manager]\nbackend = ConfKeyManager\n")?;
        let said = stage.check_with(&stage.conf, &with).await?;
        said.warns(LINE, "its [key_manager] backend differs", &remedy);
        stage.write(container, "nonsense")?;
        let said = stage.check_with(&stage.conf, &with).await?;
        said.warns(LINE, text(&file), &remedy);
        stage.write(container, &same)?;
        let said = stage.check_with(&stage.conf, &with).await?;
        said.is_all_success();
        assert!(said.details(LINE).contains(text(&file)), "{said:#?}");
        std::fs::remove_file(file)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_file_with_secrets_must_not_be_open_to_everybody() -> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "Configuration permissions";
    let open = |path: &Path, mode: u32| set_permissions(path, Permissions::from_mode(mode));
    open(stage.folder.path(), 0o755)?;
    let file = stage.write("more.conf", "[keymgr]\nfixed_key = 00ff\n")?;
    let read = ["--config-file", text(&file)];
    stage.check_with(&stage.conf, &read).await?;
    open(&file, 0o644)?;
    let said = stage.check_with(&stage.conf, &read).await?;
    let details = format!(
        "{} holds secrets and can be read by everybody (mode 0644).",
        text(&file)
    );
    said.warns(LINE, &details, &format!("chmod o-rwx {}", text(&file)));
    let mut daemon = Program::start_in(
        Arc::clone(&stage.folder),
        &stage.conf,
        ["run", "--config-file", text(&file)],
    )?;
    let line = daemon.line("holds secrets").await?;
    let remedy = format!("(mode 0644); chmod o-rwx {}", text(&file));
    assert!(
        line.contains(" WARNING ") && line.ends_with(&remedy),
        "{line}"
    );
    let lines = daemon.terminate().await?.lines;
    let warnings = lines.iter().filter(|line| line.contains("holds secrets"));
    assert_eq!(warnings.count(), 1, "{lines:#?}");
    open(&file, 0o640)?;
    stage.check_with(&stage.conf, &read).await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn only_barbican_can_be_migrated_to() -> Result<()> {
    let stage = Stage::set().await?;
    for (backend, details) in [
        ("ConfKeyManager", "new volumes still get the fixed key"),
        (
            "castellan.key_manager.vault_key_manager.VaultKeyManager",
            "nothing is migrated to that",
        ),
    ] {
        let conf = stage.conf.clone().set("key_manager", "backend", backend);
        let said = stage.check_as(&conf).await?;
        let remedy = "set [key_manager] backend = barbican in cinder.conf";
        said.fails("Key manager of cinder.conf", details, remedy);
    }
    let conf = stage.conf.clone().unset("key_manager", "backend");
    stage.check_as(&conf).await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn nova_must_read_keys_in_barbican() -> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "Key manager of nova.conf";
    let nova = |backend: &str| format!("[key_manager]\n{backend}\nfixed_key = {FIXED_KEY}\n");
    let path = stage.nova(&nova("backend = nova.keymgr.conf_key_mgr.ConfKeyManager"))?;
    let said = stage.check().await?;
    let remedy = "set [key_manager] backend = barbican in nova.conf";
    said.fails(LINE, "cannot attach volumes", remedy);
    assert!(said.details(LINE).contains(&format!("{}:2", text(&path))));

    let elsewhere = stage.write("compute1.conf", &nova("backend = barbican"))?;
    let given = ["--nova-config-file", text(&elsewhere)];
    let said = stage.check_with(&stage.conf, &given).await?;
    said.is_all_success();
    let said = stage
        .check_with(
            &stage.conf,
            &["--nova-config-file", "/nonexistent/nova.conf"],
        )
        .await?;
    said.fails(LINE, "/nonexistent/nova.conf", "--nova-config-file FILE");
    std::fs::remove_file(&path)?;
    let said = stage.check().await?;
    assert_eq!(
        (said.code, &said.line(LINE)["result"]),
        (Some(1), &1.into())
    );
    assert!(said.remedy(LINE).contains("--nova-config-file FILE"));
    assert!(
        said.details("Fixed key")
            .contains("not compared with Nova's")
    );
    assert!(said.remedy("Fixed key").contains("--nova-config-file FILE"));
    stage.nova(&nova("backend = barbican"))?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn the_fixed_key_must_be_the_same_in_both_in_either_group() -> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "Fixed key";
    stage.nova("[key_manager]\nbackend = barbican\n")?;
    let remedy = "set [key_manager] fixed_key in nova.conf";
    stage.check().await?.fails(LINE, "has no fixed_key", remedy);
    stage.nova(&format!("[keymgr]\nfixed_key = {OTHER_KEY}\n"))?;
    let said = stage.check().await?;
    said.fails(LINE, "Not the same", "find out which one opens a volume");
    let shown: Vec<_> = said.details(LINE).split([' ', ',']).collect();
    let prints: Vec<_> = shown
        .into_iter()
        .filter(|word| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    assert!(prints.len() == 2 && prints[0] != prints[1], "{said:#?}");
    assert!(!OTHER_KEY.contains(prints[1]) && !FIXED_KEY.contains(prints[0]));
    stage.nova(&format!(
        "[keymgr]\nfixed_key = {}\n",
        FIXED_KEY.to_uppercase()
    ))?;
    let said = stage.check().await?;
    said.is_all_success();
    // The salt is another one each time.
    assert!(!said.details(LINE).contains(prints[0]), "{said:#?}");

    let gone = stage.conf.clone().unset("key_manager", "fixed_key");
    let said = stage.check_as(&gone).await?;
    said.fails(
        LINE,
        "cinder.conf has no fixed_key",
        "set [key_manager] fixed_key",
    );
    let moved = gone.set("keymgr", "fixed_key", FIXED_KEY);
    stage.check_as(&moved).await?.is_all_success();
    Ok(())
}

//! The directory of the ledger.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use anyhow::Result;
use key_migrator_tests::Program;

use crate::stage::{Stage, text};

const LINE: &str = "Ledger";

/// The first bytes of an SQLite file with the mark of a ledger, of this format.
fn header(version: u32) -> Vec<u8> {
    let mut header = vec![0; 100];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    header[60..64].copy_from_slice(&version.to_be_bytes());
    header[68..72].copy_from_slice(b"ckml");
    header
}

#[tokio::test]
async fn a_ledger_of_another_version_or_none_at_all_is_told() -> Result<()> {
    let stage = Stage::set().await?;
    let said = stage.check().await?;
    said.is_all_success();
    assert!(
        said.details(LINE).contains("has no ledger yet"),
        "{said:#?}"
    );
    assert!(!stage.path("key-migrator").exists());
    let ledger = stage.write("key-migrator/ledger.sqlite", "")?;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(stage.path("key-migrator"), private)?;
    for (content, details) in [
        (header(7), "has format 7, of a later version"),
        (
            b"something else".to_vec(),
            "is not a ledger of this program",
        ),
    ] {
        std::fs::write(&ledger, &content)?;
        let said = stage.check().await?;
        said.fails(LINE, details, "mkdir ");
        assert_eq!(std::fs::read(&ledger)?, content);
    }
    std::fs::remove_file(ledger)?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_one_is_told() -> Result<()> {
    let stage = Stage::set().await?;
    let file = stage.write("file", "")?;
    let conf = stage
        .conf
        .clone()
        .set("key_migrator", "state_dir", text(&file));
    let said = stage.check_as(&conf).await?;
    said.fails(LINE, "is not a directory", "mv ");
    let memory = tempfile::tempdir_in("/dev/shm")?;
    let conf = stage.conf.clone();
    let conf = conf.set("key_migrator", "state_dir", text(memory.path()));
    let said = stage.check_as(&conf).await?;
    said.warns(LINE, "on tmpfs", "mount a directory of the host");
    let open = stage.path("key-migrator");
    std::fs::create_dir(&open)?;
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755))?;
    let said = stage.check().await?;
    said.warns(LINE, "open to other users", "chmod -R go= ");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o700))?;
    stage.check().await?.is_all_success();
    Ok(())
}

#[tokio::test]
async fn beside_a_running_daemon_its_process_is_named_and_it_is_not_disturbed() -> Result<()> {
    let stage = Stage::set().await?;
    let conf = stage.conf.clone().set("key_migrator", "interval", "1");
    let mut daemon = Program::start_in(Arc::clone(&stage.folder), &conf, ["run"])?;
    daemon
        .status_where(|status| status["services"][0]["state"] == "complete")
        .await?;
    let said = stage.check_as(&conf).await?;
    said.is_all_success();
    let process = format!("process {} keeps", daemon.pid());
    assert!(said.details(LINE).contains(&process), "{said:#?}");
    let ended = daemon.terminate().await?;
    assert_eq!(ended.code(), Some(0));
    Ok(())
}

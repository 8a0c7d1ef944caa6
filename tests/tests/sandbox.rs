//! The README's first command plays its story to a good end, in both role worlds.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

#[tokio::test]
async fn the_story_ends_well_whichever_role_barbican_wants() -> Result<()> {
    let test = std::env::current_exe()?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("target/<profile>/deps")?;
    for role_world in ["member", "creator"] {
        let story = Command::new(folder.join("sandbox"))
            .args(["--volumes", "60", "--role-world", role_world])
            .arg("--program")
            .arg(folder.join("cinder-key-migrator"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("running target/<profile>/sandbox, which `cargo build --workspace` makes")?;
        let told = String::from_utf8_lossy(&story.stdout);
        let complaints = String::from_utf8_lossy(&story.stderr);
        assert!(
            story.status.success(),
            "{role_world}:\n{told}\n{complaints}"
        );
        for line in [
            "Error migrating encryption key: Forbidden: Secret creation attempt not allowed - \
             please review your user/project privileges",
            &format!("openstack role add --user cinder --project service {role_world}"),
            "No volumes are using the ConfKeyManager's encryption_key_id.",
            "No backups are known to be using the ConfKeyManager's encryption_key_id.",
        ] {
            assert!(told.contains(line), "{role_world}: no `{line}` in:\n{told}");
        }
    }
    Ok(())
}

//! `use_journal`: entries as oslo.log's handler makes them, where a journal listens, and a warning
//! where none does. Each run has a `/run` of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::log::LogLine;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, RoleWorld, Services, Volume, program,
};
use tokio::net::UnixDatagram;
use tokio::process::Command;

/// Migrates one volume, with this folder as `/run`.
async fn run_with(run: &Path) -> Result<Output> {
    let cloud = Services::from_env().cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::sqlite().await?;
    database.insert(&Volume::on("host1@lvm#lvm")).await?;
    let folder = tempfile::tempdir()?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let file = conf
        .set("DEFAULT", "use_journal", "true")
        .write_to(folder.path())?;
    let output = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$0\" /run && exec \"$@\"",
        ])
        .arg(run)
        .arg(program::binary()?)
        .args(["run", "--once", "--service", "volume", "--config-file"])
        .arg(file)
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(output)
}

fn fields(entry: &str) -> BTreeMap<&str, &str> {
    entry
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect()
}

#[tokio::test]
async fn the_journal_gets_every_line_with_its_fields_and_standard_error_none() -> Result<()> {
    let run = tempfile::tempdir()?;
    let folder = run.path().join("systemd/journal");
    std::fs::create_dir_all(&folder)?;
    let journal = UnixDatagram::bind(folder.join("socket"))?;
    let mut entries: Vec<String> = Vec::new();
    let collecting = async {
        let mut entry = vec![0; 65536];
        loop {
            let length = journal.recv(&mut entry).await?;
            entries.push(std::str::from_utf8(&entry[..length])?.to_owned());
        }
        #[expect(unreachable_code, reason = "names the type of the error")]
        anyhow::Ok(())
    };
    let output = tokio::select! {
        output = run_with(run.path()) => output?,
        broken = collecting => return broken,
    };
    let mut entry = vec![0; 65536];
    while let Ok(length) = journal.try_recv(&mut entry) {
        entries.push(std::str::from_utf8(&entry[..length])?.to_owned());
    }
    assert!(
        output.stderr.is_empty() && output.stdout.is_empty(),
        "{output:?}"
    );
    for entry in &entries {
        let fields = fields(entry);
        let line = fields.get("MESSAGE").context("a message")?;
        let shown = LogLine::parse(line).with_context(|| entry.clone())?;
        let priority = match shown.level.as_str() {
            "ERROR" => "3",
            "WARNING" => "4",
            _ => "6",
        };
        assert_eq!(fields["PRIORITY"], priority, "{entry}");
        assert_eq!(
            fields["SYSLOG_IDENTIFIER"], "cinder-key-migrator",
            "{entry}"
        );
        assert_eq!(fields["LOGGER_NAME"], shown.logger, "{entry}");
        assert_eq!(fields["LOGGER_LEVEL"], shown.level, "{entry}");
        let id = fields.get("REQUEST_ID").copied().unwrap_or_default();
        assert!(shown.context.contains(id), "{entry}");
        assert_eq!(id.is_empty(), shown.context == "-", "{entry}");
    }
    let migrating = entries
        .iter()
        .find(|entry| entry.contains("Migrating volume "));
    assert!(
        migrating
            .context("it migrated")?
            .contains("\nREQUEST_ID=req-")
    );
    Ok(())
}

#[tokio::test]
async fn where_no_journal_listens_standard_error_gets_the_lines_and_the_reason() -> Result<()> {
    let run = tempfile::tempdir()?;
    let output = run_with(run.path()).await?;
    let text = String::from_utf8(output.stderr)?;
    let reason = "cannot reach the journal at /run/systemd/journal/socket";
    let warnings = text.lines().filter(|line| line.contains(reason));
    assert_eq!(warnings.count(), 1, "{text}");
    assert!(text.contains("Migrating volume "), "{text}");
    Ok(())
}

//! When it is not done, and what is said then.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use key_audit::evidence::EvidenceStore;
use key_migration::verdict::{Attestation, Evidence, Finding, Item};
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{CinderDatabase, Dialect, Services, Volume};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::stage::{Stage, force_all, names, said};

fn text() -> String {
    format!("[key_manager]\nfixed_key = {FIXED_KEY}\nbackend = barbican\n")
}

/// Keeps that everything was looked at now and is fine, or attested.
#[expect(
    clippy::disallowed_methods,
    reason = "the program compares with the real clock"
)]
fn keep_clear_evidence(state_dir: &Path) -> Result<()> {
    let store = EvidenceStore::new(state_dir);
    let now = Timestamp::now();
    for item in Item::ALL.into_iter().skip(4) {
        if item.is_for_people_only() {
            let by = "ada".to_owned();
            store.attest(item, &Attestation { by, at: now })?;
        } else {
            let seen = Evidence {
                finding: Finding::Clear,
                looked_at: now,
                message: "nothing".to_owned(),
            };
            store.keep(item, &seen)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_a_yes_or_every_code_by_name_lets_the_key_go() -> Result<()> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let stage = Stage::on(database).await?;
    let file = stage.file("cinder.conf", text())?;
    let path = file.display().to_string();
    let state_dir = stage.folder.path().join("state");

    let unknown = stage.run(&["remove", "--execute", &path]).await?;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.text.contains("configuration files? unknown"));
    for code in ["payloads_not_verified", "other_regions_not_attested"] {
        assert!(unknown.text.contains(code), "{}", unknown.text);
    }

    keep_clear_evidence(&state_dir)?;
    stage.database.insert(&Volume::on("gone@lvm#lvm")).await?;
    let no = stage.run(&["remove", "--execute", &path]).await?;
    assert_eq!(no.code, Some(1), "{no:?}");
    assert!(no.text.contains("configuration files? no"), "{}", no.text);
    assert!(
        no.text.contains("volumes_remaining: 1 volume(s)"),
        "{}",
        no.text
    );
    let forced = ["remove", "--execute", "--force", "volumes_remaining", &path];
    let one = stage.run(&forced).await?;
    assert_eq!(one.code, Some(1), "unowned_rows stands: {one:?}");
    let other = stage
        .run(&["remove", "--force", "everything", &path])
        .await?;
    assert_eq!(other.code, Some(64), "{other:?}");
    assert!(other.text.contains("volumes_remaining"), "{}", other.text);
    assert_eq!(fs::read_to_string(&file)?, text());
    assert_eq!(names(file.parent().context("a folder")?)?, ["cinder.conf"]);

    let key = Uuid::new_v4();
    let update = format!("UPDATE volumes SET encryption_key_id = '{key}'");
    stage.database.execute(&update).await?;
    keep_clear_evidence(&state_dir)?;
    let yes = stage.run(&["remove", "--execute", &path]).await?;
    assert_eq!(yes.code, Some(0), "{yes:?}");
    for line in [
        "configuration files? yes",
        "other_regions: attested by ada",
        "Keep the fixed key offline",
        "it\nmust not be destroyed",
        "fixed_key removed; backup (holds the key): ",
    ] {
        assert!(yes.text.contains(line), "{line} is not in {}", yes.text);
    }
    assert_eq!(
        fs::read_to_string(&file)?,
        "[key_manager]\nbackend = barbican\n"
    );
    Ok(())
}

#[tokio::test]
async fn a_file_without_the_option_is_told_of_and_asks_nobody() -> Result<()> {
    let stage = Stage::new().await?;
    let file = stage.file("nova.conf", "[key_manager]\n#fixed_key = <None>\n")?;
    let path = file.display().to_string();
    // A database that is not there is not asked for.
    let conf = stage.conf.clone();
    let conf = conf.set(
        "database",
        "connection",
        "mysql+pymysql://c:s@127.0.0.1:1/c",
    );
    let nothing = said(&conf, &["remove", "--execute", &path]).await?;
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert_eq!(nothing.text, format!("no fixed_key in {path}"));

    let with = stage.file("cinder.conf", text())?;
    let with = with.display().to_string();
    let unreachable = said(&conf, &["remove", "--execute", &path, &with]).await?;
    assert_eq!(unreachable.code, Some(2), "{unreachable:?}");
    assert_eq!(fs::read_to_string(&with)?, text());
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_all_of_them_before_the_first_is_touched() -> Result<()> {
    let stage = Stage::new().await?;
    let good = stage.file("cinder.conf", text())?;
    let good_path = good.display().to_string();
    let bad = stage.file("bad.conf", format!("{}nonsense\n", text()))?;
    let missing = stage.folder.path().join("missing.conf");
    for (path, told) in [
        (&bad, "bad.conf:4: expected a [section]"),
        (&missing, "missing.conf: No such file"),
    ] {
        let path = path.display().to_string();
        let arguments = ["remove", "--execute", &good_path, &path].map(str::to_owned);
        let arguments: Vec<_> = arguments.into_iter().chain(force_all()).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let failed = stage.run(&arguments).await?;
        assert_eq!(failed.code, Some(2), "{failed:?}");
        assert!(failed.text.contains(told), "{}", failed.text);
        assert!(
            failed.text.contains("Nothing was changed."),
            "{}",
            failed.text
        );
        assert_eq!(fs::read_to_string(&good)?, text());
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_changes_while_the_rows_are_counted_is_left_as_it_is() -> Result<()> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let server = format!("127.0.0.1:{}", services.mariadb.port);
    let door = TcpListener::bind("127.0.0.1:0").await?;
    let through = database
        .connection_url()
        .replace(&server, &door.local_addr()?.to_string());
    assert_ne!(through, database.connection_url());
    let stage = Stage::on(database).await?;
    let conf = stage.conf.clone().set("database", "connection", &through);
    let file = stage.file("cinder.conf", text())?;
    let path = file.display().to_string();
    let changed = text() + "# by configuration management\n";
    let change = async {
        // By now the file was read.
        let (mut client, _) = door.accept().await?;
        fs::write(&file, &changed)?;
        tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
        anyhow::Ok(())
    };
    let arguments = ["remove", "--execute", &path].map(str::to_owned);
    let arguments: Vec<_> = arguments.into_iter().chain(force_all()).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (removed, ()) = tokio::try_join!(said(&conf, &arguments), change)?;
    assert_eq!(removed.code, Some(1), "{removed:?}");
    let line = format!("{path} has changed since it was read");
    assert!(removed.text.contains(&line), "{}", removed.text);
    assert_eq!(fs::read_to_string(&file)?, changed);
    assert_eq!(names(file.parent().context("a folder")?)?, ["cinder.conf"]);
    Ok(())
}

#[tokio::test]
async fn what_was_changed_after_the_removal_is_not_undone() -> Result<()> {
    let stage = Stage::new().await?;
    let file = stage.file("cinder.conf", text())?;
    let path = file.display().to_string();
    let none = stage.restore(&file).await?;
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.text.contains("there is no backup of"), "{}", none.text);
    assert_eq!(stage.remove(&file).await?.code, Some(0));
    let changed = "[key_manager]\nbackend = vault\n";
    fs::write(&file, changed)?;
    let refused = stage.restore(&file).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.text.contains("lines 2 to 2 are others"),
        "{}",
        refused.text
    );
    assert_eq!(fs::read_to_string(&file)?, changed);
    let two = stage
        .run(&["restore", "--backup", "/b", &path, "/other"])
        .await?;
    assert_eq!(two.code, Some(64), "{two:?}");
    Ok(())
}

//! Files as the packages' own generator writes them, judged by oslo.config itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::Services;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use serde_json::{Value, json};

use crate::stage::{Mounted, Stage, names};

/// A file in pieces: those that stay, and those that are the option.
struct Sample {
    name: &'static str,
    pieces: Vec<(bool, String)>,
}

const STAYS: bool = true;
const GOES: bool = false;

impl Sample {
    fn with(&self) -> String {
        self.pieces
            .iter()
            .map(|(_, piece)| piece.as_str())
            .collect()
    }

    fn without(&self) -> String {
        let stays = self.pieces.iter().filter(|(stays, _)| *stays);
        stays.map(|(_, piece)| piece.as_str()).collect()
    }

    /// The same with other ends of lines.
    fn crlf(&self, name: &'static str) -> Self {
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|(stays, piece)| (*stays, piece.replace('\n', "\r\n")));
        Self {
            name,
            pieces: pieces.collect(),
        }
    }
}

/// The generator's text with the option set where it stands as a comment.
fn samples(generated: &str) -> Result<Vec<Sample>> {
    let example = "#fixed_key = <None>\n";
    let (before, after) = generated
        .split_once(example)
        .context("the generator names the option")?;
    let set = |line: &str| line.replace("KEY", FIXED_KEY);
    let of = |name, pieces: &[(bool, &str)]| Sample {
        name,
        pieces: pieces
            .iter()
            .map(|(stays, piece)| (*stays, set(piece)))
            .collect(),
    };
    let several_lines = "enabled_backends = lvm,\n    ceph,\n\tnfs\n# a comment\n";
    let before = before.replacen("[DEFAULT]\n", &format!("[DEFAULT]\n{several_lines}"), 1);
    let plain = of(
        "cinder.conf",
        &[
            (STAYS, &before),
            (STAYS, example),
            (GOES, "fixed_key = KEY\n"),
            (STAYS, after),
        ],
    );
    let duplicates = of(
        "duplicates.conf",
        &[
            (STAYS, &before),
            (GOES, "fixed_key=00\nfixed_key: \"KEY\"\n"),
            (STAYS, "backend = barbican\n\n"),
            (GOES, "fixed_key   =\n  KEY\n"),
            (STAYS, "  \n"),
            (STAYS, after),
            (STAYS, "\n[KeyMgr]\n"),
            (GOES, "fixed_key = KEY\n"),
            (STAYS, ";fixed_key = an example\n"),
        ],
    );
    let last = of(
        "unended.conf",
        &[
            (STAYS, &before),
            (STAYS, after),
            (STAYS, "\n[key_manager]\nbackend = barbican\n"),
            (GOES, "fixed_key = KEY"),
        ],
    );
    let nova = of(
        "nova.conf",
        &[
            (
                STAYS,
                "# Nova\n[DEFAULT]\nfixed_key = of no meaning\n[keymgr]\n",
            ),
            (GOES, "fixed_key = KEY\n"),
            (STAYS, "[libvirt]\nimages_type = rbd"),
        ],
    );
    Ok(vec![
        plain.crlf("crlf.conf"),
        duplicates.crlf("duplicates-crlf.conf"),
        last.crlf("unended-crlf.conf"),
        plain,
        duplicates,
        last,
        nova,
    ])
}

/// What oslo.config finds in each of these files.
async fn read(services: &Services, files: &[PathBuf]) -> Result<Vec<Value>> {
    let request = json!({ "read": files }).to_string();
    let answer = services.python().run("configuration.py", &request).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// The same without the option.
fn without_key(mut read: Value) -> Value {
    for (name, section) in read["sections"].as_object_mut().into_iter().flatten() {
        if ["key_manager", "keymgr"].contains(&name.to_lowercase().as_str()) {
            section.as_object_mut().map(|it| it.remove("fixed_key"));
        }
    }
    read["fixed_key"] = Value::Null;
    read
}

#[tokio::test]
async fn of_generated_samples_the_lines_of_the_option_go_and_come_back() -> Result<()> {
    let services = Services::from_env();
    let request = json!({ "generate": ["cinder", "castellan.config"] }).to_string();
    let generated = services.python().run("configuration.py", &request).await?;
    let stage = Stage::new().await?;
    let samples = samples(&generated)?;
    let files = samples.iter().map(|it| stage.file(it.name, it.with()));
    let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
    let before = read(&services, &files).await?;
    for (sample, before) in samples.iter().zip(&before) {
        let key = before["fixed_key"].as_str().unwrap_or_default();
        ensure!(
            key.contains(FIXED_KEY),
            "{}: oslo.config reads {key}",
            sample.name
        );
    }
    for (sample, file) in samples.iter().zip(&files) {
        let said = stage.remove(file).await?;
        assert_eq!(said.code, Some(0), "{}: {said:?}", sample.name);
        let left = fs::read_to_string(file)?;
        ensure!(
            left == sample.without(),
            "{}: the rest differs",
            sample.name
        );
    }
    let after = read(&services, &files).await?;
    for ((sample, before), after) in samples.iter().zip(before).zip(after) {
        assert_eq!(after, without_key(before), "{}", sample.name);
    }
    for (sample, file) in samples.iter().zip(&files) {
        let said = stage.restore(file).await?;
        assert_eq!(said.code, Some(0), "{}: {said:?}", sample.name);
        ensure!(
            fs::read_to_string(file)? == sample.with(),
            "{}",
            sample.name
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_shows_everything_and_changes_nothing() -> Result<()> {
    let stage = Stage::new().await?;
    let text = format!("# head\n[key_manager]\nfixed_key = {FIXED_KEY}\n# was {FIXED_KEY}\n");
    let file = stage.file("kolla/cinder.conf", &text)?;
    let path = file.display().to_string();
    let said = stage.run(&["remove", &path]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    for line in [
        "@@ -3,1 +2,0 @@ [key_manager]\n-fixed_key = ****",
        &format!("{path}:4 shows the same key"),
        "May the fixed key leave the configuration files? unknown",
        "Refused: nothing was changed.",
    ] {
        assert!(said.text.contains(line), "{line} is not in {}", said.text);
    }
    assert_eq!(fs::read_to_string(&file)?, text);
    assert_eq!(
        names(&stage.folder.path().join("etc/kolla"))?,
        ["cinder.conf"]
    );

    assert_eq!(stage.remove(&file).await?.code, Some(0));
    let said = stage.run(&["restore", &path]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.text.contains("+fixed_key = ****"), "{}", said.text);
    assert!(
        said.text.contains("Nothing was changed. With --execute"),
        "{}",
        said.text
    );
    assert!(!fs::read_to_string(&file)?.contains("fixed_key"));
    Ok(())
}

#[tokio::test]
async fn owner_and_mode_stay_and_the_backup_is_for_the_owner_alone() -> Result<()> {
    let stage = Stage::new().await?;
    let text = format!("[key_manager]\nfixed_key = {FIXED_KEY}\n");
    let file = stage.file("cinder.conf", &text)?;
    chown(&file, Some(42_407), Some(42_400)).context("this test must run as root")?;
    fs::set_permissions(&file, Permissions::from_mode(0o640))?;
    let access = || {
        let metadata = fs::metadata(&file).expect("there");
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(stage.remove(&file).await?.code, Some(0));
    assert_eq!(access(), (42_407, 42_400, 0o640));
    let folder = stage.folder.path().join("etc");
    for name in names(&folder)?
        .iter()
        .filter(|name| name.contains(".backup"))
    {
        let metadata = fs::metadata(folder.join(name))?;
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (42_407, 0o600));
    }
    assert_eq!(names(&folder)?.len(), 3);
    assert_eq!(stage.restore(&file).await?.code, Some(0));
    assert_eq!(access(), (42_407, 42_400, 0o640));
    assert_eq!(fs::read_to_string(&file)?, text);
    Ok(())
}

#[tokio::test]
async fn a_mount_point_is_written_to_in_place_and_restored() -> Result<()> {
    let stage = Stage::new().await?;
    let text = format!("[key_manager]\nfixed_key = {FIXED_KEY}\nbackend = barbican\n");
    let source = stage.file("host/cinder.conf", &text)?;
    let file = stage.file("container/cinder.conf", "")?;
    let _mounted = Mounted::over(&file, &source)?;
    let said = stage.remove(&file).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.text.contains("It is a mount point of its own"),
        "{}",
        said.text
    );
    let without = "[key_manager]\nbackend = barbican\n";
    assert_eq!(fs::read_to_string(&source)?, without);
    assert_eq!(fs::read_to_string(&file)?, without);
    assert_eq!(stage.restore(&file).await?.code, Some(0));
    assert_eq!(fs::read_to_string(&source)?, text);
    Ok(())
}

#[tokio::test]
async fn a_folder_stands_for_its_files_and_the_source_is_named() -> Result<()> {
    let stage = Stage::new().await?;
    let text = format!("[key_manager]\nfixed_key = {FIXED_KEY}\n");
    let ours = stage.file("puppet-generated/cinder/cinder.conf", &text)?;
    let nova = stage.file("puppet-generated/nova/nova.conf", &text)?;
    let other = stage.file("puppet-generated/nova/other.conf", "[DEFAULT]\nhost = a\n")?;
    let said = stage.remove(&stage.folder.path().join("etc")).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.text.contains("Source: puppet writes it"),
        "{}",
        said.text
    );
    assert_eq!(fs::read_to_string(ours)?, "[key_manager]\n");
    assert_eq!(fs::read_to_string(nova)?, "[key_manager]\n");
    assert_eq!(fs::read_to_string(other)?, "[DEFAULT]\nhost = a\n");
    Ok(())
}

//! Killed at each call by which it changes something, it leaves the file old or new, and what it
//! leaves beside it does not stand in the way of the next command.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::crash::{Outcome, Waiting};
use key_migrator_tests::program::binary;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::stage::{Mounted, Stage, force_all, names};

/// More calls than this would be a fault of their own.
const MOST_CALLS: usize = 200;

/// Larger than a page, so that what is written in place is as well.
fn with() -> String {
    let head = format!("[key_manager]\nfixed_key = {FIXED_KEY}\nbackend = barbican\n[other]\n");
    let rest = (0..300).map(|number| format!("option_{number} = value {number}\n"));
    head + &rest.collect::<String>()
}

fn without() -> String {
    with().replacen(&format!("fixed_key = {FIXED_KEY}\n"), "", 1)
}

/// A file that is edited, by itself or mounted over another.
struct Edited {
    file: PathBuf,
    /// Before the folder, which cannot be removed while it is there.
    _mounted: Option<Mounted>,
    folder: TempDir,
}

impl Edited {
    fn new(content: &str, in_place: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("cinder.conf");
        let mounted = match in_place {
            false => {
                fs::write(&file, content)?;
                None
            }
            true => {
                fs::create_dir(folder.path().join("host"))?;
                let source = folder.path().join("host/source");
                fs::write(&source, content)?;
                fs::write(&file, "")?;
                Some(Mounted::over(&file, &source)?)
            }
        };
        Ok(Self {
            file,
            folder,
            _mounted: mounted,
        })
    }

    fn content(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.file)?)
    }
}

/// Runs a command with the configuration file, and kills it at its `nth` visible call.
async fn kill_at(nth: usize, conf: &Path, home: &Path, arguments: Vec<String>) -> Result<Outcome> {
    let own = ["--config-file".to_owned(), conf.display().to_string()];
    let arguments: Vec<String> = arguments.into_iter().chain(own).collect();
    let log = home.join("killed.log");
    let waiting = Waiting::start(&binary()?, arguments, home, log.clone())?;
    let outcome = spawn_blocking(move || waiting.run_until(nth)).await?;
    outcome.with_context(|| fs::read_to_string(log).unwrap_or_default())
}

fn removal(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    let command = ["fixed-key", "remove", "--execute", &file].map(str::to_owned);
    command.into_iter().chain(force_all()).collect()
}

fn restoration(file: &Path) -> Vec<String> {
    let file = file.display().to_string();
    ["fixed-key", "restore", "--execute", &file]
        .map(str::to_owned)
        .into()
}

/// Whether a file is one of the two, or reads as the one without: lines that are empty and stand
/// at its end mean nothing.
fn is_old_or_new(content: &str, in_place: bool) -> bool {
    let rest = content.strip_prefix(&without());
    let padded = rest.is_some_and(|rest| in_place && rest.bytes().all(|byte| byte == b'\n'));
    content == with() || content == without() || padded
}

/// Kills it at each call in turn, until a run comes to its end.
async fn kill_everywhere(restore: bool, in_place: bool) -> Result<()> {
    let stage = Stage::new().await?;
    let conf = stage.conf.write_to(stage.folder.path())?;
    let mut told = Vec::new();
    for nth in 1..=MOST_CALLS {
        let edited = Edited::new(&with(), in_place)?;
        let (command, end) = match restore {
            false => (removal(&edited.file), without()),
            true => {
                ensure!(stage.remove(&edited.file).await?.code == Some(0), "removed");
                (restoration(&edited.file), with())
            }
        };
        let outcome = kill_at(nth, &conf, stage.folder.path(), command).await?;
        let calls = match outcome {
            Outcome::Killed(calls) => calls,
            Outcome::Ended(0, _) => {
                assert_eq!(edited.content()?, end);
                return show(restore, in_place, &told);
            }
            Outcome::Ended(code, _) => bail!("an undisturbed run ended with {code}"),
        };
        let call = calls.last().context("a call")?.to_string();
        let content = edited.content()?;
        ensure!(
            is_old_or_new(&content, in_place),
            "killed at {call}: {content}"
        );
        told.push(call.clone());
        go_on(&stage, &edited, &content)
            .await
            .with_context(|| format!("killed at {call}"))?;
    }
    bail!("it makes no end of calls")
}

/// After the kill: what a restoration puts right is put right, then all goes as if nothing had been.
async fn go_on(stage: &Stage, edited: &Edited, content: &str) -> Result<()> {
    if content != with() {
        let said = stage.restore(&edited.file).await?;
        ensure!(said.code == Some(0), "{said:?}");
        ensure!(edited.content()? == with(), "restored");
    }
    let said = stage.remove(&edited.file).await?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(edited.content()? == without(), "removed");
    let names = names(edited.folder.path())?;
    let extra = |name: &&String| !["cinder.conf", "host"].contains(&name.as_str());
    let extra: Vec<_> = names.iter().filter(extra).collect();
    ensure!(extra.len() == 2, "a backup and its record, not {extra:?}");
    let said = stage.restore(&edited.file).await?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(edited.content()? == with(), "restored again");
    Ok(())
}

/// Prints past the test harness, which keeps to itself what a test that passes prints.
fn show(restore: bool, in_place: bool, calls: &[String]) -> Result<()> {
    let what = if restore { "restore" } else { "remove" };
    let how = if in_place { "in place" } else { "by rename" };
    ensure!(
        calls.len() >= 3,
        "it was killed at {} calls only",
        calls.len()
    );
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "figure: fixed-key {what} {how}: {} kills, old or new each time",
        calls.len()
    )?;
    writeln!(out, "    {}", calls.join(", "))?;
    Ok(())
}

#[tokio::test]
async fn a_removal_that_is_killed_leaves_the_file_old_or_new() -> Result<()> {
    kill_everywhere(false, false).await
}

#[tokio::test]
async fn a_restoration_that_is_killed_leaves_the_file_old_or_new() -> Result<()> {
    kill_everywhere(true, false).await
}

#[tokio::test]
async fn a_removal_in_place_that_is_killed_leaves_what_reads_as_old_or_new() -> Result<()> {
    kill_everywhere(false, true).await
}

#[tokio::test]
async fn a_restoration_in_place_that_is_killed_leaves_what_reads_as_old_or_new() -> Result<()> {
    kill_everywhere(true, true).await
}

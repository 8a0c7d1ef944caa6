//! `fixed-key remove`: all files are looked at, the verdict is reached, and only then is the first
//! file touched.

use std::path::PathBuf;
use std::process::ExitCode;

use cinder_db::CinderDb;
use key_audit::editing::Removal;
use key_audit::trees::{self, Source};
use key_migration::ports::Clock as _;
use key_migration::verdict::{Blocker, FixedKeyVerdict};

use super::outcome::Outcome;
use crate::cli::Remove;
use crate::clock::SystemClock;
use crate::commands::output::print;
use crate::commands::{block_on, start_logging, verdict};
use crate::exit::{Failure, say};
use crate::settings;

/// What `yes` means.
const KEEP: &str = "\
Keep the fixed key offline, and the backups that hold it. It may leave the configuration files; it
must not be destroyed: a dump of Cinder's database, an exported backup record or an old copy of a
volume may need it again.
Leave cinder's service user the role by which it stores secrets: Cinder deletes a migrated key as
that user when a volume is deleted.";

const ELSEWHERE: &str = "\
Then remove it on every other node too (cinder-api, cinder-volume, cinder-backup, nova-compute), and
restart these services.";

/// A removal, with the file as it was named.
struct Prepared {
    removal: Removal,
    source: Option<Source>,
}

pub(super) fn run(command: &Remove) -> Result<ExitCode, Failure> {
    let mut outcome = Outcome::Done;
    let removals = prepare_all(command, &mut outcome);
    for prepared in &removals {
        describe(prepared);
    }
    if !outcome.is_done() {
        print("Nothing was changed.");
        return Ok(outcome.code());
    }
    if removals.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let verdict = judge(command)?;
    print("");
    print_verdict(&verdict, &command.force);
    if standing(&verdict, &command.force).next().is_some() {
        print("Refused: nothing was changed. Each blocker may be overridden with --force CODE.");
        return Ok(Outcome::Refused.code());
    }
    if !command.execute {
        print("");
        print(KEEP);
        print("Nothing was changed. With --execute it would be.");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(execute_all(&removals).code())
}

/// One for each file that sets the option.
fn prepare_all(command: &Remove, outcome: &mut Outcome) -> Vec<Prepared> {
    let mut removals: Vec<Prepared> = Vec::new();
    for path in files(command, outcome) {
        match Removal::prepare(&path, command.backup_dir.as_deref()) {
            Ok(None) => print(&format!("no fixed_key in {}", path.display())),
            // Another name of one that is there.
            Ok(Some(removal))
                if removals
                    .iter()
                    .any(|it| it.removal.path() == removal.path()) => {}
            Ok(Some(removal)) => removals.push(Prepared {
                source: trees::source_of(&path),
                removal,
            }),
            Err(error) => outcome.tell(&error),
        }
    }
    removals
}

fn files(command: &Remove, outcome: &mut Outcome) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for root in &command.files {
        match trees::files_to_edit(root) {
            Ok(found) if found.is_empty() => {
                print(&format!("no fixed_key in {}", root.display()));
            }
            Ok(found) => files.extend(found),
            Err(problems) => {
                problems.iter().for_each(|problem| say(problem));
                outcome.worsen(Outcome::Failed);
            }
        }
    }
    files
}

/// What would be done to one file. No value is shown.
fn describe(prepared: &Prepared) {
    let removal = &prepared.removal;
    let edit = removal.edit();
    print(&edit.diff(removal.path()));
    let backup = removal.backup_path(SystemClock.now());
    print(&format!(
        "Backup, before anything else: {}",
        backup.display()
    ));
    if removal.is_in_place() {
        print(
            "It is a mount point of its own and is written to in place, after the backup. If that \
             is interrupted, `fixed-key restore` puts it right.",
        );
    }
    match removal.other_names() {
        0 => {}
        count => print(&format!(
            "It has {count} other name(s) (hard links), which keep the file with the key."
        )),
    }
    for line in edit.shown_again() {
        let path = removal.path().display();
        print(&format!(
            "{path}:{line} shows the same key and is kept: look at it."
        ));
    }
    if let Some(source) = prepared.source {
        print(&format!("Source: {source}."));
    }
}

fn judge(command: &Remove) -> Result<FixedKeyVerdict, Failure> {
    let stores = settings::read_stores(&command.origin)?;
    let _logging = start_logging(&stores.records)?;
    let rows = CinderDb::new(stores.records.connection);
    block_on(async {
        let (down_time, state_dir) = (stores.records.service_down_time, &stores.records.state_dir);
        Ok(verdict::evaluate(&rows, down_time, state_dir, &SystemClock).await?)
    })
}

/// The blockers that nobody has overridden.
fn standing<'a>(
    verdict: &'a FixedKeyVerdict,
    force: &'a [String],
) -> impl Iterator<Item = &'a Blocker> {
    let blockers = verdict.blockers.iter();
    blockers.filter(|blocker| !force.iter().any(|code| code == blocker.code))
}

fn print_verdict(verdict: &FixedKeyVerdict, force: &[String]) {
    let answer = verdict.verdict.as_str();
    print(&format!(
        "May the fixed key leave the configuration files? {answer}"
    ));
    for Blocker { code, message, .. } in &verdict.blockers {
        let overridden = match force.iter().any(|forced| forced == code) {
            true => " (overridden by --force)",
            false => "",
        };
        print(&format!("  {code}{overridden}: {message}"));
    }
    for attested in &verdict.attested {
        let (item, by) = (attested.item.as_str(), &attested.attestation.by);
        let (at, statement) = (attested.attestation.at, attested.statement);
        print(&format!("  {item}: attested by {by} at {at}: {statement}"));
    }
}

/// Stops at the first that fails: what is done is done, and said.
fn execute_all(removals: &[Prepared]) -> Outcome {
    let mut outcome = Outcome::Done;
    print("");
    for Prepared { removal, .. } in removals {
        let path = removal.path().display();
        if !outcome.is_done() {
            print(&format!("{path}: not tried"));
            continue;
        }
        match removal.execute(SystemClock.now()) {
            Ok(backup) => {
                let backup = backup.path().display();
                print(&format!(
                    "{path}: fixed_key removed; backup (holds the key): {backup}"
                ));
            }
            Err(error) => outcome.tell(&error),
        }
    }
    print("");
    print(KEEP);
    print(ELSEWHERE);
    outcome
}

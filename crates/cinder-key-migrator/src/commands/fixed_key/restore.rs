//! `fixed-key restore`. It reads no configuration: it has to work when that is what is broken.

use std::process::ExitCode;

use key_audit::editing::{EditError, Restoration};

use super::outcome::Outcome;
use crate::cli::Restore;
use crate::commands::output::print;
use crate::exit::{Failure, usage};

pub(super) fn run(command: &Restore) -> Result<ExitCode, Failure> {
    if command.backup.is_some() && command.files.len() > 1 {
        return Err(usage("--backup is of one file; name that file alone"));
    }
    let mut outcome = Outcome::Done;
    let mut restorations: Vec<Restoration> = Vec::new();
    for path in &command.files {
        match prepare(command, path) {
            Ok(None) => print(&format!("{} is what was backed up", path.display())),
            Ok(Some(it)) if restorations.iter().any(|other| other.path() == it.path()) => {}
            Ok(Some(restoration)) => restorations.push(restoration),
            Err(error) => outcome.tell(&error),
        }
    }
    restorations.iter().for_each(describe);
    if !outcome.is_done() {
        print("Nothing was changed.");
    } else if !restorations.is_empty() && !command.execute {
        print("Nothing was changed. With --execute it would be.");
    } else {
        outcome = execute_all(&restorations);
    }
    Ok(outcome.code())
}

fn prepare(command: &Restore, path: &std::path::Path) -> Result<Option<Restoration>, EditError> {
    match &command.backup {
        Some(backup) => Restoration::prepare_from(path, backup),
        None => Restoration::prepare(path, command.backup_dir.as_deref()),
    }
}

/// What would be done to one file. No value is shown.
fn describe(restoration: &Restoration) {
    let backup = restoration.backup();
    print(&restoration.edit().reverse_diff(restoration.path()));
    let (path, at) = (backup.path().display(), backup.taken_at());
    print(&format!(
        "From {path}, taken at {at}; its checksum is right."
    ));
    if restoration.is_missing() {
        print("The file is gone and is made anew, with the owner and mode that it had.");
    }
    if restoration.is_in_place() {
        print("It is a mount point of its own and is written to in place.");
    }
}

fn execute_all(restorations: &[Restoration]) -> Outcome {
    let mut outcome = Outcome::Done;
    for restoration in restorations {
        let path = restoration.path().display();
        if !outcome.is_done() {
            print(&format!("{path}: not tried"));
            continue;
        }
        match restoration.execute() {
            Ok(()) => print(&format!(
                "{path}: restored; restart the services that read it"
            )),
            Err(error) => outcome.tell(&error),
        }
    }
    outcome
}

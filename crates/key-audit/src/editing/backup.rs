//! What a file was before its key was taken out: the same bytes, readable for the owner alone, and
//! beside them a record with the checksum.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::replacement::{Access, write_new};
use super::target::{Snapshot, Target, sync};
use super::{Edit, EditError};

/// Between the file's own name and the time. What follows does not end in `.conf`: oslo.config
/// must not read it beside the file.
const MARK: &[u8] = b".fixed-key.";
const EXTENSION: &[u8] = b".backup";
const RECORD_EXTENSION: &[u8] = b".backup.json";

/// A backup that is known by its record.
#[derive(Clone, Debug)]
pub struct Backup {
    path: PathBuf,
    record: Record,
}

/// It never holds the key; as checksums could be used to try keys out, it is for the owner alone too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The file that it is of.
    file: String,
    taken_at: Timestamp,
    /// Of the file, in hexadecimal, as `sha256sum` prints it.
    sha256: String,
    /// Of what was left of it.
    sha256_without: String,
    /// As `chmod` takes it.
    mode: String,
    uid: u32,
    gid: u32,
}

impl Backup {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it was taken.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        self.record.taken_at
    }

    /// The content, if it is what was backed up.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, EditError> {
        let content = fs::read(&self.path).map(Zeroizing::new);
        let content = content.map_err(EditError::io("cannot read", &self.path))?;
        if checksum(&content) != self.record.sha256 {
            return Err(self.bad("it is not what was backed up, its checksum differs"));
        }
        Ok(content)
    }

    /// What there was to take out.
    pub(super) fn edit(&self) -> Result<Edit, EditError> {
        let edit = Edit::of(&self.path, &self.read()?)?;
        edit.ok_or_else(|| self.bad("there is no fixed_key in it"))
    }

    /// Whether a file is what was left of it.
    pub(super) fn left(&self, content: &[u8]) -> bool {
        checksum(content) == self.record.sha256_without
    }

    /// The access that the file had.
    pub(super) fn access(&self) -> Result<Access, EditError> {
        let mode = u32::from_str_radix(&self.record.mode, 8);
        Ok(Access {
            mode: mode.map_err(|_| self.bad("its record has a mode that is none"))?,
            uid: self.record.uid,
            gid: self.record.gid,
        })
    }

    /// Takes it back, if the edit that it was taken for did not come about.
    pub(super) fn discard(self) {
        _ = fs::remove_file(&self.path);
        _ = fs::remove_file(record_of(&self.path));
    }

    fn bad(&self, problem: &'static str) -> EditError {
        EditError::BadBackup {
            path: self.path.clone(),
            problem,
        }
    }
}

/// Where the backup of a file will be.
pub(super) fn place(directory: &Path, target: &Target, now: Timestamp) -> PathBuf {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let paths = (1..).map(|count: u32| {
        let time = match count {
            1 => time.clone(),
            count => format!("{time}-{count}"),
        };
        let name = [target.name.as_bytes(), MARK, time.as_bytes(), EXTENSION].concat();
        directory.join(OsString::from_vec(name))
    });
    let taken = |path: &PathBuf| path.exists() || record_of(path).exists();
    let mut free = paths.skip_while(taken);
    free.next().expect("numbers do not end")
}

/// Backs a file up, durably. One that an interrupted removal has left and that holds the same is
/// as good; the second value says whether it is new.
pub(super) fn keep(
    directory: &Path,
    target: &Target,
    snapshot: &Snapshot,
    edit: &Edit,
    now: Timestamp,
) -> Result<(Backup, bool), EditError> {
    let sha256 = checksum(edit.with());
    let kept = latest(directory, target)?
        .filter(|backup| backup.record.sha256 == sha256 && backup.read().is_ok());
    if let Some(kept) = kept {
        return Ok((kept, false));
    }
    let access = Access::of(snapshot);
    let record = Record {
        file: target.path.display().to_string(),
        taken_at: now,
        sha256,
        sha256_without: checksum(edit.without()),
        mode: format!("{:04o}", access.mode),
        uid: access.uid,
        gid: access.gid,
    };
    let path = place(directory, target, now);
    let text = serde_json::to_vec_pretty(&record).expect("strings and numbers become JSON");
    // The record first: what has the name of a backup then has its checksum beside it.
    write_durably(directory, &record_of(&path), &text, access)?;
    write_durably(directory, &path, edit.with(), access)?;
    let backup = Backup { path, record };
    // Read again: what cannot be restored is no backup.
    backup.read()?;
    Ok((backup, true))
}

/// The latest backup of a file in a folder.
pub(super) fn latest(directory: &Path, target: &Target) -> Result<Option<Backup>, EditError> {
    let failed = EditError::io("cannot look for backups in", directory);
    let mut latest: Option<Backup> = None;
    for entry in fs::read_dir(directory).map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        let rest = name.as_bytes().strip_prefix(target.name.as_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(MARK));
        if !rest.is_some_and(|rest| rest.ends_with(EXTENSION)) {
            continue;
        }
        // What has no record was not finished, or is somebody else's.
        let Ok(backup) = at(&directory.join(&name)) else {
            continue;
        };
        let elsewhere = directory != target.directory;
        if elsewhere && backup.record.file != target.path.display().to_string() {
            continue;
        }
        let order = |it: &Backup| (it.record.taken_at, it.path.clone());
        if latest
            .as_ref()
            .is_none_or(|latest| order(latest) < order(&backup))
        {
            latest = Some(backup);
        }
    }
    Ok(latest)
}

/// The backup of this name.
pub(super) fn at(path: &Path) -> Result<Backup, EditError> {
    let bad = |problem| EditError::BadBackup {
        path: path.to_owned(),
        problem,
    };
    let text = match fs::read(record_of(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(bad("there is no record with its checksum beside it"));
        }
        text => text.map_err(EditError::io("cannot read", &record_of(path)))?,
    };
    let record = serde_json::from_slice(&text);
    Ok(Backup {
        path: path.to_owned(),
        record: record.map_err(|_| bad("the record beside it is none of this version"))?,
    })
}

/// Written under another name first, so that under its own name it is whole.
fn write_durably(
    directory: &Path,
    path: &Path,
    content: &[u8],
    access: Access,
) -> Result<(), EditError> {
    let unfinished = unfinished(path);
    // Under the folder's lock it is nobody's.
    _ = fs::remove_file(&unfinished);
    let access = Access {
        mode: 0o600,
        ..access
    };
    write_new(&unfinished, content, access, None)?;
    let renamed = fs::rename(&unfinished, path).map_err(EditError::io("cannot write", path));
    if renamed.is_err() {
        _ = fs::remove_file(&unfinished);
    }
    renamed?;
    sync(directory)
}

/// Deletes what a process that was killed has left: half a backup, or a record without one.
pub(super) fn clean_up(directory: &Path, target: &Target) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let bytes = name.as_bytes();
        let hidden = bytes.strip_prefix(b".").unwrap_or(bytes);
        let rest = hidden.strip_prefix(target.name.as_bytes());
        if !rest.is_some_and(|rest| rest.starts_with(MARK)) {
            continue;
        }
        let unfinished = bytes.starts_with(b".") && bytes.ends_with(b".tmp");
        let alone = bytes.ends_with(RECORD_EXTENSION) && {
            let backup = &bytes[..bytes.len() - b".json".len()];
            !directory.join(OsString::from_vec(backup.to_vec())).exists()
        };
        if unfinished || alone {
            _ = fs::remove_file(directory.join(&name));
        }
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    path.with_file_name(OsString::from_vec([b".", name, b".tmp"].concat()))
}

fn record_of(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

fn checksum(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

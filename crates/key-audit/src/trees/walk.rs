//! Which files there are. Folders are entered, links to folders are not, so there is an end.

use std::collections::HashSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// Deeper is no configuration.
const DEEPEST: usize = 32;
/// More entries are no configuration: somebody has named `/`.
const MOST_ENTRIES: usize = 200_000;

/// The regular files of a tree.
#[derive(Default)]
pub(super) struct Found {
    pub(super) files: Vec<PathBuf>,
    /// What could not be looked at, one line each.
    pub(super) problems: Vec<String>,
}

/// Walks through a tree, or takes the one file. A file with several names, or with links to it,
/// counts once.
pub(super) fn walk(root: &Path) -> Found {
    let mut found = Found::default();
    let mut known = HashSet::new();
    let walk = WalkDir::new(root)
        .follow_root_links(true)
        .max_depth(DEEPEST)
        .sort_by_file_name();
    let entries = walk
        .into_iter()
        .filter_entry(|entry| !is_hidden_volume(entry));
    for (count, entry) in entries.enumerate() {
        if count == MOST_ENTRIES {
            let root = root.display();
            let problem = format!("{root}: more than {MOST_ENTRIES} entries; name a smaller tree");
            found.problems.push(problem);
            break;
        }
        match entry {
            Ok(entry) => take(&entry, &mut found, &mut known),
            Err(error) => found.problems.push(error.to_string()),
        }
    }
    found
}

/// In a volume of Kubernetes, the names of files are links into such a folder.
fn is_hidden_volume(entry: &DirEntry) -> bool {
    entry.depth() > 0
        && entry.file_type().is_dir()
        && entry.file_name().as_bytes().starts_with(b"..")
}

fn take(entry: &DirEntry, found: &mut Found, known: &mut HashSet<(u64, u64)>) {
    let kind = entry.file_type();
    if !kind.is_file() && !kind.is_symlink() {
        return;
    }
    match fs::metadata(entry.path()) {
        Ok(metadata) if metadata.is_file() => {
            if known.insert((metadata.dev(), metadata.ino())) {
                found.files.push(entry.path().to_owned());
            }
        }
        // A link to a folder is not followed, one to nothing names nothing.
        Ok(_) => {}
        Err(_) if kind.is_symlink() => {}
        Err(error) => {
            let path = entry.path().display();
            found.problems.push(format!("{path}: {error}"));
        }
    }
}

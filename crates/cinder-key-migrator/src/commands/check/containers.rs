//! Where Cinder's service runs in a container, the file that it reads is on the host at another
//! place: TripleO and kolla-ansible copy it into the container's `/etc/cinder`.

use std::path::{Path, PathBuf};

use super::keys::difference;
use super::line::Line;
use crate::settings::{Inspection, inspect_file};

const CHECK: &str = "File of the containerised service";

/// Where Cinder reads it, below the root directory.
const ETC: &str = "etc/cinder/cinder.conf";
/// Where deployments keep what becomes of it in a container, below the root directory.
const SOURCES: [&str; 3] = [
    "var/lib/config-data/puppet-generated/cinder/etc/cinder/cinder.conf",
    "etc/kolla/cinder-volume/cinder.conf",
    "etc/kolla/cinder-backup/cinder.conf",
];

pub(super) fn check(found: &Inspection) -> Line {
    if found.files.is_empty() {
        return Line::not_done(CHECK, "Configuration");
    }
    if let Some(file) = found.files.iter().find(|file| is_a_source(file)) {
        let details = format!("The containerised service reads {}.", file.display());
        return Line::success(CHECK, details);
    }
    let Some(source) = found.files.iter().find_map(|file| source_beside(file)) else {
        return Line::success(CHECK, "None is seen beside the files that were read.");
    };
    let details = format!("The containerised service reads {}", source.display());
    let read_it = format!(
        "read what the service reads: --config-file {}",
        source.display()
    );
    let theirs = match inspect_file(source) {
        Ok(keys) => keys,
        Err(faults) => {
            let faults = faults.lines().join("; ");
            return Line::warning(CHECK, format!("{details}: {faults}"), read_it);
        }
    };
    match found.keys.as_ref().map(|ours| difference(ours, &theirs)) {
        None => Line::not_done(CHECK, "Configuration"),
        Some(None) => Line::success(
            CHECK,
            format!("{details}: the same backend and fixed_key as in what was read here."),
        ),
        Some(Some(other)) => {
            let details = format!("{details}, and its {other} differs from what was read here.");
            Line::warning(CHECK, details, read_it)
        }
    }
}

fn is_a_source(file: &Path) -> bool {
    SOURCES.iter().any(|source| file.ends_with(source))
}

/// The file that a container gets, where this one is `/etc/cinder/cinder.conf` under the same root.
fn source_beside(file: &Path) -> Option<PathBuf> {
    if !file.ends_with(ETC) {
        return None;
    }
    let root = file.ancestors().nth(Path::new(ETC).components().count())?;
    let sources = SOURCES.iter().map(|source| root.join(source));
    sources.into_iter().find(|source| source.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_stands_before_etc() {
        let dir = tempfile::tempdir().expect("a directory");
        let source = dir.path().join(SOURCES[0]);
        let folder = source.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("made");
        std::fs::write(&source, "").expect("written");
        assert_eq!(source_beside(&dir.path().join(ETC)), Some(source.clone()));
        assert_eq!(source_beside(&dir.path().join("cinder.conf")), None);
        assert!(is_a_source(&source) && !is_a_source(Path::new("/etc/cinder/cinder.conf")));
    }
}

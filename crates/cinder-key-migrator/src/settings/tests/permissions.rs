//! A file with secrets that everybody can read is warned of.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::*;
use super::{DATABASE, FIXED_KEY, SIGN_IN};

const SECTIONS: [(&str, &str); 4] = [
    ("0.conf", "[DEFAULT]\nenabled_backends = lvm\n"),
    ("1.conf", DATABASE),
    ("2.conf", FIXED_KEY),
    ("3.conf", SIGN_IN),
];

/// What is warned of where the files have this mode.
fn warnings(folder: &Path, mode: u32) -> Vec<String> {
    set_permissions(folder, Permissions::from_mode(0o755)).expect("own directory");
    for (name, text) in SECTIONS {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a writable directory");
        set_permissions(&path, Permissions::from_mode(mode)).expect("own file");
    }
    let sources = Sources {
        inputs: vec![Input::Directory(folder.to_owned())],
        search: Search::new("cinder", "cinder-volume", None).etc(folder.join("none")),
        environment: Environment::default(),
    };
    let origin = Origin {
        inputs: Vec::new(),
        services: Vec::new(),
    };
    let read = read_with(&origin, &[], sources, &Machine::this());
    read.expect("a configuration without faults").warnings
}

#[test]
fn each_file_with_a_secret_that_everybody_can_read_is_named_with_what_closes_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let expected = SECTIONS[1..].iter().map(|(name, _)| {
        let file = folder.path().join(name);
        let file = file.display();
        format!("{file} holds secrets and can be read by everybody (mode 0644); chmod o-rwx {file}")
    });
    let expected: Vec<_> = expected.collect();
    assert_eq!(warnings(folder.path(), 0o644), expected);
}

#[test]
fn files_of_owner_and_group_are_not_warned_of() {
    let folder = tempfile::tempdir().expect("a directory");
    assert!(warnings(folder.path(), 0o640).is_empty());
}

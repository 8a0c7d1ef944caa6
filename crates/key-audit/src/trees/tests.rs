use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use key_migration::fixed_key::FixedKey;
use key_migration::verdict::Finding;

use super::source::source;
use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn key() -> FixedKey {
    FixedKey::from_hex(KEY).expect("a key")
}

/// A tree of files.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        fs::write(path, content).expect("written");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn look(&self) -> TreesSeen {
        look(&[self.0.path().to_owned()], Some(&key()))
    }

    fn told(&self) -> (Finding, String) {
        let evidence = self.look().evidence(Timestamp::UNIX_EPOCH);
        let root = format!("{}/", self.0.path().display());
        (evidence.finding, evidence.message.replace(&root, ""))
    }
}

fn good() -> String {
    format!("[key_manager]\nbackend = barbican\nfixed_key = {KEY}\n")
}

#[test]
fn nodes_with_the_same_key_are_clear_however_it_is_written() {
    let quoted = format!("[KeyMgr]\nfixed_key: \"{}\"\n", KEY.to_uppercase());
    let tree = Tree::new()
        .with("a/cinder.conf", good())
        .with("b/etc/nova/nova.conf", quoted)
        .with("b/etc/nova/nova.conf.d/other.conf", "[DEFAULT]\nhost = b\n")
        .with("c/policy.yaml", "a: b\n");
    let (finding, message) = tree.told();
    assert_eq!(finding, Finding::Clear);
    assert_eq!(
        message,
        "3 configuration file(s) in 1 tree(s): 2 set fixed_key, to the same key; none is on \
         ConfKeyManager"
    );
}

#[test]
fn another_key_no_key_and_conf_key_manager_are_named_with_their_lines_and_never_shown() {
    let other = "fedcba9876543210fedcba9876543210";
    let conf_key_manager = "cinder.keymgr.conf_key_mgr.ConfKeyManager";
    let tree = Tree::new()
        .with("a.conf", good())
        .with("b.conf", format!("[key_manager]\n\nfixed_key = {other}\n"))
        .with("c.conf", "[key_manager]\nfixed_key = $elsewhere\n")
        .with(
            "d.conf",
            format!("[key_manager]\napi_class = {conf_key_manager}\n"),
        )
        .with(
            "e.conf",
            format!("[key_manager]\nbackend = {conf_key_manager}\nfixed_key = {other}\n"),
        );
    let (finding, message) = tree.told();
    assert_eq!(finding, Finding::Blocking(4));
    assert_eq!(
        message,
        "4 configuration file(s): b.conf:3 has another fixed_key; c.conf:2 has a fixed_key that \
         is no key; d.conf:2 is on ConfKeyManager; e.conf:2 is on ConfKeyManager, e.conf:3 has \
         another fixed_key"
    );
    assert!(!format!("{:?}", tree.look()).contains(&other[..8]));
}

#[test]
fn within_a_file_what_is_overridden_does_not_count() {
    let tree = Tree::new().with(
        "cinder.conf",
        format!(
            "[keymgr]\nfixed_key = 00\napi_class = a.ConfKeyManager\n[key_manager]\n\
             fixed_key = 11\nfixed_key = {KEY}\napi_class = b.ConfKeyManager\nbackend = barbican\n"
        ),
    );
    assert_eq!(tree.told().0, Finding::Clear);
    let seen = tree.look();
    let keys = seen.files[0].keys.iter();
    let keys: Vec<_> = keys
        .map(|key| (key.line, key.counts, key.comparison))
        .collect();
    assert_eq!(
        keys,
        [
            (2, false, Comparison::Differs),
            (5, false, Comparison::Differs),
            (6, true, Comparison::Same)
        ]
    );
}

#[test]
fn what_could_not_be_looked_at_is_unknown_by_name() {
    let broken = Tree::new().with("cinder.conf", good() + "nonsense\n");
    let (finding, message) = broken.told();
    assert_eq!(finding, Finding::Unknown);
    assert!(message.contains("cinder.conf:4: expected"), "{message}");
    let empty = Tree::new().with("readme.txt", "fixed_key");
    let (finding, message) = empty.told();
    assert_eq!(finding, Finding::Unknown);
    assert!(message.contains("there is no *.conf"), "{message}");
    let missing = look(&[PathBuf::from("/nonexistent/tree")], None);
    let evidence = missing.evidence(Timestamp::UNIX_EPOCH);
    assert_eq!(evidence.finding, Finding::Unknown);
    assert!(evidence.message.contains("/nonexistent/tree"));
    let none = look(&[], None).evidence(Timestamp::UNIX_EPOCH);
    assert_eq!(none.finding, Finding::Unknown);
}

#[test]
fn without_a_key_of_this_host_the_keys_are_compared_with_each_other() {
    let tree = Tree::new()
        .with("a.conf", good())
        .with("b.conf", good().replace(KEY, "00"));
    let seen = look(&[tree.0.path().to_owned()], None);
    let evidence = seen.evidence(Timestamp::UNIX_EPOCH);
    assert_eq!(evidence.finding, Finding::Blocking(1));
}

#[test]
fn a_volume_of_kubernetes_is_seen_once_by_the_names_that_services_use() {
    let tree = Tree::new().with("cinder/..2026_11_26/04-secrets.conf", good());
    symlink("..2026_11_26", tree.path("cinder/..data")).expect("linked");
    symlink(
        "..data/04-secrets.conf",
        tree.path("cinder/04-secrets.conf"),
    )
    .expect("linked");
    symlink("..", tree.path("cinder/loop")).expect("linked");
    let seen = tree.look();
    let paths: Vec<_> = seen.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, [tree.path("cinder/04-secrets.conf")]);
    assert_eq!(seen.files[0].source, Some(Source::KubernetesOperator));
    assert_eq!(seen.problems, Vec::<String>::new());
}

#[test]
fn what_configurations_are_made_from_and_backups_are_mentioned() {
    let tree = Tree::new()
        .with("cinder.conf", good())
        .with("cinder.conf.bak", good())
        .with("hieradata.yaml", "key_manager/fixed_key: 00\n")
        .with("other.yaml", "a: b\n")
        .with("readme.md", "fixed_key\n");
    let seen = tree.look();
    let mentions = [tree.path("cinder.conf.bak"), tree.path("hieradata.yaml")];
    assert_eq!(seen.mentions, mentions);
    let files = files_to_edit(tree.0.path()).expect("all read");
    assert_eq!(files, [tree.path("cinder.conf")]);
}

#[test]
fn the_source_is_guessed_by_place_and_by_the_first_lines() {
    for (path, text, expected) in [
        ("/etc/kolla/cinder-volume/cinder.conf", "", Source::Kolla),
        ("/var/lib/kolla/config_files/cinder.conf", "", Source::Kolla),
        (
            "/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",
            "",
            Source::TripleO,
        ),
        (
            "/var/lib/kubelet/pods/x/volumes/kubernetes.io~secret/etc/cinder.conf",
            "",
            Source::Kubernetes,
        ),
        (
            "/nowhere/cinder.conf",
            "# Ansible managed\n\n[DEFAULT]\n",
            Source::OpenStackAnsible,
        ),
        (
            "/nowhere/cinder.conf",
            "###\n# [ WARNING ]\n# cinder configuration file maintained by Juju\n",
            Source::Juju,
        ),
    ] {
        assert_eq!(source(Path::new(path), text), Some(expected), "{path}");
    }
    assert_eq!(
        source(Path::new("/nowhere/cinder.conf"), "[DEFAULT]\n"),
        None
    );
}

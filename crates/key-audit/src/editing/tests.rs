use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oslo_config::Document;
use proptest::prelude::*;

use super::replacement::is_halfway;
use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().expect("a time")
}

fn conf(end: &str) -> String {
    [
        "# fixed_key = an example",
        "[DEFAULT]",
        "host = a",
        "[Key_Manager]",
        "backend = barbican",
        &format!("fixed_key : '{KEY}'"),
        "  ab",
        "",
        "[barbican]",
        "fixed_key = of another section",
        "region = a,",
        "   b",
        "[keymgr]",
        &format!("fixed_key={KEY}"),
        &format!("fixed_key={KEY}"),
        &format!("# it was {}", KEY.to_uppercase()),
        "",
    ]
    .join(end)
}

fn edit(content: &str) -> Edit {
    let edit = Edit::of(Path::new("cinder.conf"), content.as_bytes());
    edit.expect("a good file").expect("something to remove")
}

#[test]
fn exactly_the_lines_of_the_option_go_whatever_ends_them() {
    for end in ["\n", "\r\n", "\r"] {
        let edit = edit(&conf(end));
        let kept = [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 16];
        let text = conf(end);
        let lines: Vec<_> = text.split(end).collect();
        let mut expected: Vec<_> = kept.iter().map(|line| lines[line - 1]).collect();
        expected.push("");
        assert_eq!(edit.without(), expected.join(end).as_bytes());
        assert_eq!(edit.lines().collect::<Vec<_>>(), [6, 7, 14, 15]);
        assert_eq!(edit.shown_again(), [16]);
    }
}

#[test]
fn the_diff_shows_the_lines_and_never_a_value() {
    let edit = edit(&conf("\r\n"));
    assert_eq!(
        edit.diff(Path::new("/c")),
        "--- /c\n+++ /c\n\
         @@ -6,2 +5,0 @@ [key_manager]\n-fixed_key : ****\n-  ****\n\
         @@ -14,2 +11,0 @@ [keymgr]\n-fixed_key= ****\n-fixed_key= ****"
    );
    assert_eq!(
        edit.reverse_diff(Path::new("/c")),
        "--- /c\n+++ /c\n\
         @@ -5,0 +6,2 @@ [key_manager]\n+fixed_key : ****\n+  ****\n\
         @@ -11,0 +14,2 @@ [keymgr]\n+fixed_key= ****\n+fixed_key= ****"
    );
}

#[test]
fn without_a_final_newline_the_rest_is_kept_as_it_is() {
    let last = edit("[key_manager]\nbackend = barbican\nfixed_key = ab");
    assert_eq!(last.without(), b"[key_manager]\nbackend = barbican\n");
    assert!(
        last.diff(Path::new("c"))
            .ends_with("****\n\\ No newline at end of file")
    );
    let other = edit("[key_manager]\nfixed_key = ab\nbackend = barbican");
    assert_eq!(other.without(), b"[key_manager]\nbackend = barbican");
}

#[test]
fn bytes_that_are_no_utf_8_stay_and_a_comment_is_no_option() {
    let path = Path::new("c");
    let latin1 = b"# Schl\xfcssel\n[key_manager]\nfixed_key = ab\n# \xa0\n";
    let edit = Edit::of(path, latin1).expect("read").expect("found");
    assert_eq!(edit.without(), b"# Schl\xfcssel\n[key_manager]\n# \xa0\n");
    for nothing in [
        "",
        "[key_manager]\n#fixed_key = ab\n;fixed_key = ab\nFIXED_KEY = ab\nfixed-key = ab\n",
        "[ key_manager ]\nfixed_key = ab\n",
        "[DEFAULT]\nfixed_key = ab\n",
        "[key_manager]\nbackend = barbican\n  fixed_key = ab\n",
    ] {
        let edit = Edit::of(path, nothing.as_bytes()).expect("read");
        assert!(edit.is_none(), "{nothing}");
    }
}

#[test]
fn what_no_service_can_read_is_not_edited_and_the_line_is_named() {
    for (content, told) in [
        (
            "\u{feff}[key_manager]\nfixed_key = ab\n",
            "c:1: byte order mark",
        ),
        ("fixed_key = ab\n", "c:1: option before the first"),
        ("[key_manager]\nfixed_key = ab\nnonsense\n", "c:3: expected"),
        (
            "[key_manager]\nfixed_key = ab\n#\n  cd\n",
            "c:4: indented line",
        ),
    ] {
        let error = Edit::of(Path::new("c"), content.as_bytes()).err();
        let error = error.expect("a fault").to_string();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("ab"), "{error}");
    }
}

/// Lines as they may stand in a file, good ones far more often.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "[key_manager]", "[keymgr]", "[KeyMgr]", "[DEFAULT]", "[default]", "[barbican]",
        ]).prop_map(|it| it.as_bytes().to_vec()),
        6 => ("(fixed_key|fixed-key|backend|Fixed_Key)", "[ \t]{0,2}[=:][ \t]{0,2}", "[0-9a-f'\"$=:#]{0,12}")
            .prop_map(|(key, separator, value)| format!("{key}{separator}{value}").into_bytes()),
        2 => "[ \t]{1,3}[a-z=:\\[#;]{1,8}".prop_map(String::into_bytes),
        2 => "[#;][a-z_= é]{0,12}".prop_map(String::into_bytes),
        2 => "[ \t]{0,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec!["\n", "\n", "\r\n", "\r"]);
    let lines = prop::collection::vec((line(), end), 0..24);
    (lines, any::<bool>()).prop_map(|(lines, ended)| {
        let mut content = b"[key_manager]\n".to_vec();
        let last = lines.len();
        for (number, (line, end)) in lines.into_iter().enumerate() {
            content.extend(line);
            if ended || number + 1 < last {
                content.extend(end.as_bytes());
            }
        }
        content
    })
}

/// What a reader makes of it: section, name and value of every option, but for this one.
fn others(content: &[u8]) -> Option<Vec<(String, String, String)>> {
    let document = Document::parse(Path::new("c"), &text(content)).ok()?;
    let all = document.assignments().iter();
    let others = all
        .filter(|it| it.key() != "fixed_key" || !["key_manager", "keymgr"].contains(&it.section()));
    let parts =
        |it: &oslo_config::Assignment| (it.section().into(), it.key().into(), it.value().into());
    Some(others.map(parts).collect())
}

/// Puts the lines that went back in where they were.
fn put_back(edit: &Edit, content: &[u8]) -> Vec<u8> {
    let gone: Vec<usize> = edit.lines().collect();
    let mut rest = edit.without();
    let mut whole = Vec::new();
    for (number, range) in Document::line_ranges(content).into_iter().enumerate() {
        let line = &content[range];
        if gone.contains(&(number + 1)) {
            whole.extend(line);
        } else {
            assert!(rest.starts_with(line), "a kept line is there, in its place");
            whole.extend(line);
            rest = &rest[line.len()..];
        }
    }
    assert!(rest.is_empty(), "nothing else is left");
    whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn of_any_file_the_bytes_that_are_kept_are_exactly_the_others(content in file()) {
        let before = others(&content);
        match Edit::of(Path::new("c"), &content) {
            Ok(Some(edit)) => {
                prop_assert_eq!(put_back(&edit, &content), &*content);
                let after = others(edit.without());
                prop_assert!(after.is_some());
                prop_assert_eq!(after, before);
                let again = Edit::of(Path::new("c"), edit.without());
                prop_assert!(again.expect("a good file").is_none());
            }
            Ok(None) => prop_assert!(before.is_some()),
            Err(EditError::Entangled(_)) => {}
            Err(_) => prop_assert!(before.is_none()),
        }
    }

    #[test]
    fn wherever_a_write_in_place_is_cut_off_it_is_recognised(content in file(), cut in 0usize..400) {
        let Ok(Some(edit)) = Edit::of(Path::new("c"), &content) else {
            return Ok(());
        };
        let (with, without) = (edit.with(), edit.without());
        let mut padded = without.to_vec();
        padded.resize(with.len(), b'\n');
        let cut = cut.min(with.len());
        for (one, other) in [(&*padded, with), (with, &*padded)] {
            let found = [&one[..cut], &other[cut..]].concat();
            let is_end = found == with || found == without;
            prop_assert_eq!(is_halfway(&found, with, without), !is_end);
        }
    }
}

/// A file in a folder of its own.
struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        fs::write(node.file(), conf("\n")).expect("written");
        fs::set_permissions(node.file(), Permissions::from_mode(0o640)).expect("set");
        node
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cinder.conf")
    }

    fn content(&self) -> String {
        fs::read_to_string(self.file()).expect("read")
    }

    fn removal(&self) -> Removal {
        let removal = Removal::prepare(&self.file(), None);
        removal.expect("a good file").expect("something to remove")
    }

    fn restoration(&self) -> Result<Option<Restoration>, EditError> {
        Restoration::prepare(&self.file(), None)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("listed");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn what_was_removed_is_restored_to_the_last_byte_with_its_mode() {
    let node = Node::new();
    let inode = fs::metadata(node.file()).expect("there").ino();
    let backup = node.removal().execute(now()).expect("removed");
    assert_eq!(node.content().as_bytes(), edit(&conf("\n")).without());
    let metadata = fs::metadata(node.file()).expect("there");
    assert_eq!(metadata.mode() & 0o7777, 0o640);
    assert_ne!(metadata.ino(), inode, "it was replaced, not written to");
    assert_eq!(
        node.names(),
        [
            "cinder.conf",
            "cinder.conf.fixed-key.20261126T120000Z.backup",
            "cinder.conf.fixed-key.20261126T120000Z.backup.json"
        ]
    );
    assert_eq!(
        fs::metadata(backup.path()).expect("there").mode() & 0o7777,
        0o600
    );
    assert!(
        Removal::prepare(&node.file(), None)
            .expect("read")
            .is_none()
    );
    let restoration = node.restoration().expect("a backup").expect("to do");
    restoration.execute().expect("restored");
    assert_eq!(node.content(), conf("\n"));
    assert_eq!(
        fs::metadata(node.file()).expect("there").mode() & 0o7777,
        0o640
    );
    assert!(node.restoration().expect("a backup").is_none());
    // The backup is as good the next time.
    let again = node.removal().execute(now()).expect("removed");
    assert_eq!(again.path(), backup.path());
}

#[test]
fn a_file_that_is_gone_is_made_anew() {
    let node = Node::new();
    node.removal().execute(now()).expect("removed");
    fs::remove_file(node.file()).expect("deleted");
    let restoration = node.restoration().expect("a backup").expect("to do");
    assert!(restoration.is_missing());
    restoration.execute().expect("restored");
    assert_eq!(node.content(), conf("\n"));
    assert_eq!(
        fs::metadata(node.file()).expect("there").mode() & 0o7777,
        0o640
    );
}

#[test]
fn a_file_that_changes_meanwhile_is_left_alone_and_no_backup_stays() {
    let changes: [fn(&Path); 4] = [
        |path| fs::write(path, conf("\n") + "# more\n").expect("written"),
        |path| fs::write(path, conf("\n").replace("host = a", "host = b")).expect("written"),
        |path| fs::set_permissions(path, Permissions::from_mode(0o600)).expect("set"),
        |path| fs::remove_file(path).expect("deleted"),
    ];
    for change in changes {
        let node = Node::new();
        let removal = node.removal();
        change(&node.file());
        let before = fs::read(node.file()).ok();
        let error = removal.execute(now()).expect_err("it has changed");
        assert!(matches!(error, EditError::Changed(_)), "{error}");
        assert!(error.is_refusal());
        assert_eq!(fs::read(node.file()).ok(), before);
        assert!(node.names().len() <= 1, "{:?}", node.names());
    }
}

#[test]
fn what_was_changed_after_the_removal_is_not_undone() {
    let node = Node::new();
    node.removal().execute(now()).expect("removed");
    let changed = node.content().replace("host = a", "host = b");
    fs::write(node.file(), &changed).expect("written");
    let error = node.restoration().expect_err("it has changed");
    let told = error.to_string();
    assert!(told.contains("lines 3 to 3 are others"), "{told}");
    assert!(error.is_refusal());
    assert_eq!(node.content(), changed);
}

#[test]
fn a_backup_that_is_damaged_or_missing_is_named() {
    let node = Node::new();
    let told = node.restoration().expect_err("none").to_string();
    assert!(told.contains("there is no backup of"), "{told}");
    let backup = node.removal().execute(now()).expect("removed");
    fs::write(backup.path(), conf("\n") + "#\n").expect("written");
    let told = node.restoration().expect_err("damaged").to_string();
    assert!(told.contains("its checksum differs"), "{told}");
    let other = node.folder.path().join("other");
    fs::write(&other, conf("\n")).expect("written");
    let told = Restoration::prepare_from(&node.file(), &other).expect_err("no record");
    assert!(told.to_string().contains("no record with its checksum"));
}

#[test]
fn a_link_is_followed_and_another_name_is_told_of() {
    let node = Node::new();
    let link = node.folder.path().join("link.conf");
    symlink("cinder.conf", &link).expect("linked");
    fs::hard_link(node.file(), node.folder.path().join("second")).expect("linked");
    let removal = Removal::prepare(&link, None).expect("read").expect("to do");
    assert_eq!(removal.other_names(), 1);
    removal.execute(now()).expect("removed");
    assert!(link.is_symlink());
    assert_eq!(node.content().as_bytes(), edit(&conf("\n")).without());
}

#[test]
fn backups_of_files_with_one_name_do_not_mix_in_one_folder() {
    let (one, other) = (Node::new(), Node::new());
    fs::write(other.file(), conf("\r\n")).expect("written");
    let backups = tempfile::tempdir().expect("a folder");
    for node in [&one, &other] {
        let removal = Removal::prepare(&node.file(), Some(backups.path()));
        let removal = removal.expect("read").expect("to do");
        removal.execute(now()).expect("removed");
        assert_eq!(node.names(), ["cinder.conf"]);
    }
    for (node, content) in [(&one, conf("\n")), (&other, conf("\r\n"))] {
        let restoration = Restoration::prepare(&node.file(), Some(backups.path()));
        let restoration = restoration.expect("a backup").expect("to do");
        restoration.execute().expect("restored");
        assert_eq!(node.content(), content);
    }
}

#[test]
fn what_a_killed_write_in_place_leaves_is_told_and_restored() {
    let node = Node::new();
    let backup = node.removal().execute(now()).expect("removed");
    let edit = edit(&conf("\n"));
    let half = [&edit.without()[..120], &edit.with()[120..]].concat();
    fs::write(node.file(), &half).expect("written");
    let error = Removal::prepare(&node.file(), None).expect_err("half written");
    assert!(matches!(error, EditError::Interrupted { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&backup.path().display().to_string())
    );
    let restoration = node.restoration().expect("a backup").expect("to do");
    restoration.execute().expect("restored");
    assert_eq!(node.content(), conf("\n"));
}

#[test]
fn a_second_command_in_the_same_folder_waits_for_nobody() {
    let node = Node::new();
    let removal = node.removal();
    let folder = fs::File::open(node.folder.path()).expect("opened");
    folder.lock().expect("locked");
    let error = removal.execute(now()).expect_err("busy");
    assert!(matches!(error, EditError::Busy(_)), "{error}");
    folder.unlock().expect("unlocked");
    removal.execute(now()).expect("removed");
}

#[test]
fn extended_attributes_stay() {
    let node = Node::new();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(node.file(), "user.note", b"kept", flags).expect("set");
    node.removal().execute(now()).expect("removed");
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(node.file(), "user.note", &mut value).expect("there");
    assert_eq!(&value[..length], b"kept");
}

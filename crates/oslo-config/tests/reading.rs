//! What callers rely on beside the values: origins, texts of errors, groups named at run time, and
//! that no value is ever shown.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oslo_config::{Config, Environment, Error, Input, Opt, Origin, Registry, Search, Sources};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

const DEBUG: Opt<bool> = Opt::boolean("DEFAULT", "debug").default(false);
const HOST: Opt<Option<String>> = Opt::string("DEFAULT", "host");
const NAMES: Opt<Option<Vec<String>>> = Opt::list("DEFAULT", "names");
const INTERVAL: Opt<Duration> = Opt::seconds("key_migrator", "interval")
    .range(1, 3600)
    .default(60);
const WORKERS: Opt<i64> = Opt::integer("key_migrator", "workers")
    .range(1, i64::MAX)
    .default(4);
const FIXED_KEY: Opt<Option<SecretString>> =
    Opt::secret("key_manager", "fixed_key").deprecated("keymgr", "fixed_key");
const BACKEND_HOST: Opt<Option<String>> = Opt::string("backend_defaults", "backend_host");

/// One file, `cinder.conf`, and an environment.
struct Node {
    directory: TempDir,
    environment: Vec<(OsString, OsString)>,
}

impl Node {
    fn with(content: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("cinder.conf"), content).unwrap();
        Self {
            directory,
            environment: Vec::new(),
        }
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("cinder.conf")
    }

    fn sources(&self) -> Sources {
        Sources {
            inputs: vec![Input::File(self.file())],
            search: Search::new("cinder", "cinder-volume", None).etc(self.directory.path()),
            environment: Environment::new(self.environment.clone()),
        }
    }

    fn load(&self) -> Result<Config, Error> {
        let mut registry = Registry::default();
        registry
            .add(&DEBUG)
            .add(&HOST)
            .add(&NAMES)
            .add(&INTERVAL)
            .add(&WORKERS)
            .add(&FIXED_KEY);
        Config::load(&self.sources(), registry)
    }

    fn conf(&self) -> Config {
        self.load().unwrap()
    }

    /// The text of an error, with `FILE` for the path of the file.
    fn text(&self, error: impl ToString) -> String {
        error
            .to_string()
            .replace(self.file().to_str().unwrap(), "FILE")
    }
}

#[test]
fn a_fault_that_the_caller_finds_names_the_line_under_a_former_name_too() {
    let node = Node::with("[DEFAULT]\n\n[keymgr]\n# old\nfixed_key = abc\n  d\n");
    let fault = node
        .conf()
        .fault(&FIXED_KEY, "odd number of hexadecimal digits");
    assert_eq!(
        node.text(&fault),
        "FILE:5: [key_manager] fixed_key: odd number of hexadecimal digits"
    );
    assert_eq!(
        node.text(fault.remedy("give 64 digits")),
        "FILE:5: [key_manager] fixed_key: odd number of hexadecimal digits; give 64 digits"
    );
}

#[test]
fn a_fault_in_the_environment_names_the_variable() {
    let node =
        Node::with("[key_manager]\nfixed_key = 00\n").variable("OS_KEY_MANAGER__FIXED_KEY", "abc");
    let conf = node.conf();
    assert_eq!(
        conf.origin(&FIXED_KEY),
        Origin::Environment("OS_KEY_MANAGER__FIXED_KEY".to_owned())
    );
    assert_eq!(
        conf.fault(&FIXED_KEY, "odd").to_string(),
        "environment variable OS_KEY_MANAGER__FIXED_KEY: [key_manager] fixed_key: odd"
    );
}

#[test]
fn the_origin_is_the_file_that_wins_or_the_default() {
    let node = Node::with("[key_migrator]\ninterval = 5\n");
    let conf = node.conf();
    assert_eq!(
        conf.origin(&INTERVAL),
        Origin::File {
            path: node.file(),
            line: 2
        }
    );
    assert!(conf.is_set(&INTERVAL));
    assert_eq!(conf.origin(&DEBUG), Origin::Default);
    assert!(!conf.is_set(&DEBUG));
    assert_eq!(conf.get(&INTERVAL).unwrap(), Duration::from_secs(5));
    assert_eq!(conf.files(), [node.file()]);
}

#[test]
fn a_missing_option_names_the_files_that_were_read() {
    let node = Node::with("");
    assert_eq!(
        node.text(node.conf().require(&FIXED_KEY).unwrap_err()),
        "[key_manager] fixed_key is not set in FILE; set it there or as environment variable \
         OS_KEY_MANAGER__FIXED_KEY"
    );
}

#[test]
fn a_missing_option_says_that_there_was_no_file() {
    let node = Node::with("");
    let mut registry = Registry::default();
    registry.add(&HOST);
    let mut sources = node.sources();
    sources.inputs.clear();
    sources.search = Search::new("cinder", "cinder-volume", None).etc("/nonexistent");
    let conf = Config::load(&sources, registry).unwrap();
    assert_eq!(
        conf.require(&HOST).unwrap_err().to_string(),
        "[DEFAULT] host is not set, and no configuration file was found; name one that sets it or \
         as environment variable OS_DEFAULT__HOST"
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_by_what_was_expected() {
    let node =
        Node::with("[DEFAULT]\ndebug = perhaps\n[key_migrator]\ninterval = 0\nworkers = many\n");
    let conf = node.conf();
    assert_eq!(
        node.text(conf.get(&DEBUG).unwrap_err()),
        "FILE:2: [DEFAULT] debug: expected true or false (or 1, on, yes; 0, off, no)"
    );
    assert_eq!(
        node.text(conf.get(&INTERVAL).unwrap_err()),
        "FILE:4: [key_migrator] interval: expected an integer from 1 to 3600"
    );
    assert_eq!(
        node.text(conf.get(&WORKERS).unwrap_err()),
        "FILE:5: [key_migrator] workers: expected an integer of at least 1"
    );
}

#[test]
fn an_integer_set_to_nothing_does_not_pass_for_its_default() {
    let node = Node::with("[key_migrator]\nworkers =\n");
    assert_eq!(
        node.text(node.conf().get(&WORKERS).unwrap_err()),
        "FILE:2: [key_migrator] workers: set to nothing; remove the line to have the default"
    );
}

#[test]
fn an_unknown_reference_is_named_but_not_in_a_secret() {
    let node = Node::with("[DEFAULT]\nhost = x$nope\n[key_manager]\nfixed_key = pa$word\n");
    let conf = node.conf();
    assert_eq!(
        node.text(conf.get(&HOST).unwrap_err()),
        "FILE:2: [DEFAULT] host: `$nope` refers to an option that is not known; write `$$` for a \
         dollar sign"
    );
    assert_eq!(
        node.text(conf.get(&FIXED_KEY).unwrap_err()),
        "FILE:4: [key_manager] fixed_key: a `$` begins a reference to an option that is not \
         known; write `$$` for a dollar sign"
    );
}

#[test]
fn a_reference_to_itself_is_reported_where_it_closes() {
    let node = Node::with("[DEFAULT]\nhost = $names\nnames = a,\n  $host\n");
    assert_eq!(
        node.text(node.conf().get(&HOST).unwrap_err()),
        "FILE:3: [DEFAULT] names: refers to itself with `$`, directly or through others"
    );
}

#[test]
fn broken_files_are_reported_by_line() {
    for (content, text) in [
        (
            &b"\xef\xbb\xbf[DEFAULT]\n"[..],
            "FILE:1: byte order mark; the file must be UTF-8 without one",
        ),
        (b"[DEFAULT]\na=1\nb=\xff\n", "FILE:3: expected UTF-8 text"),
        (
            b"\n[DEFAULT]\n x=1\n",
            "FILE:3: indented line that continues no option; options, sections and comments start in the first column",
        ),
        (b"x=1\n", "FILE:1: option before the first [section]"),
        (
            b"[DEFAULT]\nx\n",
            "FILE:2: expected a [section], `option = value` or `option: value`; a value goes on in lines that are indented",
        ),
        (
            b"[DEFAULT]\n=x\n",
            "FILE:2: expected the name of an option before `=` or `:`",
        ),
        (
            b"[DEFAULT] # x\n",
            "FILE:1: expected `]` at the end of the section's line; nothing may follow it",
        ),
        (b"[]\n", "FILE:1: expected the name of a section in `[]`"),
    ] {
        let node = Node::with(content);
        assert_eq!(node.text(node.load().unwrap_err()), text);
    }
}

#[test]
fn a_file_or_directory_that_cannot_be_read_is_named() {
    let node = Node::with("");
    for input in [
        Input::File("/nonexistent/a.conf".into()),
        Input::Directory("/nonexistent".into()),
    ] {
        let mut sources = node.sources();
        sources.inputs.push(input.clone());
        let (Input::File(path) | Input::Directory(path)) = input;
        let error = Config::load(&sources, Registry::default()).unwrap_err();
        assert!(
            matches!(&error, Error::Read { path: named, .. } if *named == path),
            "{error}"
        );
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_variable_that_is_not_utf8_fails_only_the_option_it_sets() {
    let not_utf8 = || OsString::from_vec(vec![0xff]);
    let node = Node::with("[DEFAULT]\nhost = a\n")
        .variable("OS_KEY_MANAGER__FIXED_KEY", not_utf8())
        .variable("OS_OTHER__OPTION", not_utf8());
    let conf = node.conf();
    assert_eq!(conf.require(&HOST).unwrap(), "a");
    assert_eq!(
        conf.get(&FIXED_KEY).unwrap_err().to_string(),
        "environment variable OS_KEY_MANAGER__FIXED_KEY: [key_manager] fixed_key: \
         expected UTF-8 text"
    );
}

#[test]
fn groups_named_by_the_configuration_are_read_at_run_time() {
    let node = Node::with(
        "[DEFAULT]\nnames = LVM,ceph\n[lvm]\nbackend_host = $host-$extra\nextra = x\n[Empty]\n",
    );
    let mut conf = node.conf();
    let hostname = String::from("node1");
    let host = HOST.default(&hostname);
    conf.register(&host);
    let names = conf.require(&NAMES).unwrap();
    let extra = Opt::string(&names[0], "extra");
    let in_lvm = BACKEND_HOST.in_group(&names[0]);
    let in_ceph = BACKEND_HOST.in_group(&names[1]);
    conf.register(&in_lvm).register(&in_ceph).register(&extra);
    assert_eq!(conf.require(&in_lvm).unwrap(), "node1-x");
    assert_eq!(conf.get(&in_ceph).unwrap(), None);
    assert_eq!(
        conf.require(&in_ceph)
            .unwrap_err()
            .to_string()
            .split(" in ")
            .next(),
        Some("[ceph] backend_host is not set")
    );
    assert!(conf.has_section("LVM") && conf.has_section("empty") && !conf.has_section("ceph"));
    assert!(conf.has_section("DEFAULT") && !conf.has_section("default"));
    assert_eq!(conf.sections(), ["DEFAULT", "empty", "lvm"]);
}

#[test]
fn an_option_asked_for_otherwise_than_registered_is_a_fault_of_the_program() {
    let node = Node::with("[DEFAULT]\nhost = a\n");
    let conf = node.conf();
    for opt in [
        HOST.in_group("lvm"),
        HOST.deprecated_name("name"),
        Opt::string("DEFAULT", "nope"),
    ] {
        assert!(
            matches!(conf.get(&opt), Err(Error::Unregistered { .. })),
            "{opt:?}"
        );
    }
}

/// A value that shows itself: it can be no part of a reference's name.
const MARK: &str = "§s3cret§";

fn anything_shown(node: &Node) -> String {
    let mut shown = format!("{:?}", node.sources());
    let mut error = |error: Error| shown.push_str(&format!("{error} {error:?}"));
    match node.load() {
        Err(failure) => error(failure),
        Ok(conf) => {
            conf.get(&DEBUG).map_or_else(&mut error, |_| {});
            conf.get(&HOST).map_or_else(&mut error, |_| {});
            conf.get(&NAMES).map_or_else(&mut error, |_| {});
            conf.get(&INTERVAL).map_or_else(&mut error, |_| {});
            conf.get(&WORKERS).map_or_else(&mut error, |_| {});
            let secret = conf.get(&FIXED_KEY).map_err(error);
            shown.push_str(&format!(
                "{secret:?} {conf:?} {:?}",
                conf.fault(&FIXED_KEY, "odd")
            ));
        }
    }
    shown
}

fn line() -> impl Strategy<Value = String> {
    let option = prop::sample::select(vec![
        "debug",
        "host",
        "names",
        "interval",
        "workers",
        "fixed_key",
        "",
        " ",
        "[",
        "#",
        MARK,
    ]);
    let piece = prop::sample::select(vec![
        "=", ":", "$", "${", "}", "$host", "${names}", "$nope", "\\$", ",", "\"", " ", MARK, "1",
    ]);
    let section = prop::sample::select(vec![
        "[DEFAULT]",
        "[key_manager]",
        "[keymgr]",
        "[key_migrator]",
        "[KEYMGR]",
        "  more",
    ]);
    let assignment = (option, prop::collection::vec(piece, 0..6))
        .prop_map(|(option, pieces)| format!("{option}={}{MARK}", pieces.concat()));
    prop_oneof![4 => assignment, 1 => section.prop_map(str::to_owned)]
}

proptest! {
    #[test]
    fn no_value_is_shown_whatever_the_file_says(lines in prop::collection::vec(line(), 1..12)) {
        let node = Node::with(format!("[DEFAULT]\n{}\n", lines.join("\n")))
            .variable("OS_KEY_MIGRATOR__WORKERS", MARK);
        let shown = anything_shown(&node);
        prop_assert!(!shown.contains(MARK) && !shown.contains("s3cret"), "{}", shown);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let node = Node::with(format!("[DEFAULT]\nhost={text}"));
        if let Ok(conf) = node.load() {
            // Fetching may fail, but only as an error of that option.
            if let Err(error) = conf.get(&HOST) {
                prop_assert!(matches!(error, Error::Option(_)), "{}", error);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        lines in prop::collection::vec("[!-~]([ -~]{0,20}[!-~])?", 1..4),
        quoted in any::<bool>(),
        windows in any::<bool>(),
    ) {
        let value = lines.join("\n");
        let line_end = if windows { "\r\n" } else { "\n" };
        let written = value.replace('$', "$$").replace('\n', &format!("{line_end}  "));
        // A value in quotes of its own needs a pair around it to keep them.
        let first = written.lines().next().unwrap();
        let in_quotes = first.starts_with(['"', '\'']) && first.ends_with(&first[..1]);
        prop_assume!(lines.len() == 1 || !in_quotes);
        prop_assume!(!written.contains(r"\$"));
        let written = if lines.len() == 1 && (quoted || in_quotes) {
            format!("\"{written}\"")
        } else {
            written
        };
        let text = ["[key_manager]", &format!("fixed_key = {written}"), "[DEFAULT]", "host=h", ""];
        let conf = Node::with(text.join(line_end)).conf();
        let read = conf.require(&FIXED_KEY).unwrap();
        prop_assert_eq!(read.expose_secret(), value.as_str());
        prop_assert_eq!(conf.require(&HOST).unwrap(), "h");
    }
}

#[test]
fn a_home_directory_that_is_not_known_is_not_searched() {
    let node = Node::with("[DEFAULT]\nhost = etc\n");
    let mut sources = node.sources();
    sources.inputs.clear();
    let mut registry = Registry::default();
    registry.add(&HOST);
    let conf = Config::load(&sources, registry).unwrap();
    assert_eq!(conf.require(&HOST).unwrap(), "etc");
    assert_eq!(conf.files(), [Path::new(&node.file())]);
}

#[test]
fn all_options_are_listed_with_their_origin_and_without_secrets() {
    let node = Node::with(
        "[DEFAULT]\ndebug = yes\nhost = h-$key_manager.fixed_key\nnames = a, b\n\
         [keymgr]\nfixed_key = s3cret\n[key_migrator]\nworkers = none\n",
    );
    let conf = node.conf();
    let file = node.file();
    let file = file.display();
    let listed: Vec<String> = conf.settings().map(|setting| setting.to_string()).collect();
    for line in [
        format!("[DEFAULT] debug = True ({file}:2)"),
        format!("[DEFAULT] host = **** ({file}:3)"),
        format!("[DEFAULT] names = ['a', 'b'] ({file}:4)"),
        format!("[key_manager] fixed_key = **** ({file}:6)"),
        "[key_migrator] interval = 60 (default)".to_owned(),
        format!("{file}:8: [key_migrator] workers: expected an integer of at least 1"),
    ] {
        assert!(listed.contains(&line), "{line} in {listed:#?}");
    }
    assert!(!listed.join(" ").contains("s3cret"), "{listed:#?}");
}

#[test]
fn files_with_secrets_are_those_that_set_one_to_something_although_another_wins() {
    let directory = tempfile::tempdir().unwrap();
    let mut inputs = Vec::new();
    for (name, text) in [
        ("none", "[DEFAULT]\nhost = h\n[other]\nfixed_key = 00ff\n"),
        ("former", "[keymgr]\nfixed_key = 00ff\n"),
        ("empty", "[key_manager]\nfixed_key =\n"),
        ("present", "[KEY_MANAGER]\nfixed_key = 11ff\n"),
    ] {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        inputs.push(Input::File(path));
    }
    let mut registry = Registry::default();
    registry.add(&HOST).add(&FIXED_KEY);
    let sources = Sources {
        inputs,
        search: Search::new("cinder", "cinder-volume", None).etc(directory.path()),
        environment: Environment::default(),
    };
    let conf = Config::load(&sources, registry).unwrap();
    assert_eq!(
        conf.files_with_secrets(),
        [
            directory.path().join("former"),
            directory.path().join("present")
        ]
    );
}

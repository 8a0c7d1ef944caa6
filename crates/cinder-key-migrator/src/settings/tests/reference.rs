//! Holds docs/configuration.md against the code: an option that is missing there, one too many, or one
//! with another default fails.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::settings::read_audit;

type Options = BTreeSet<(String, String)>;

/// The names in backquotes, of what looks like an option's.
fn option_names(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

/// What stands below this heading, line by line.
fn below(heading: &str) -> impl Iterator<Item = &'static str> {
    let reference = include_str!("../../../../../docs/configuration.md");
    let lines = reference.lines().skip_while(move |line| *line != heading);
    lines.skip(1).take_while(|line| !line.starts_with("## "))
}

/// The rows of the table there.
fn rows(heading: &str) -> Vec<&'static str> {
    let rows = below(heading).filter(|line| line.starts_with("| `") || line.starts_with("| each"));
    rows.collect()
}

fn named_below(heading: &str) -> BTreeSet<String> {
    rows(heading).into_iter().flat_map(option_names).collect()
}

/// Configurations with every section and way of signing in, so that every option is registered.
fn texts() -> [String; 2] {
    let password = format!("{DATABASE}{FIXED_KEY}{SIGN_IN}[DEFAULT]\nenabled_backends = lvm\n");
    let credential = password.replace(
        "= password\n",
        "= v3applicationcredential\napplication_credential_id = 7b\n\
         application_credential_secret = s3cr3t\n",
    );
    [password, credential]
}

/// Group and name of what is listed as `[group] name = value (origin)` or `[group] name is not set`.
fn group_and_name(option: &str) -> (String, String) {
    let (group, rest) = option.split_once("] ").expect("a group");
    let name = rest.split(' ').next().expect("a name");
    (group.trim_start_matches('[').to_owned(), name.to_owned())
}

fn names(options: &Options, own: bool) -> BTreeSet<String> {
    let options = options.iter();
    let options = options.filter(|(group, _)| (group == "key_migrator") == own);
    options.map(|(_, name)| name.clone()).collect()
}

/// What the daemon reads.
fn of_daemon() -> Options {
    let options = texts().map(|text| read(&text).options);
    let options = options.iter().flatten();
    options.map(|option| group_and_name(option)).collect()
}

/// What `fixed-key audit` reads.
fn of_audit() -> Options {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cinder.conf");
    let options = texts().map(|text| {
        std::fs::write(&file, text).expect("a file");
        let origin = Origin {
            inputs: vec![Input::File(file.clone())],
            services: Vec::new(),
        };
        let Ok(config) = read_audit(&origin, &[]) else {
            panic!("a configuration without a fault");
        };
        config.options
    });
    let options = options.iter().flatten();
    options.map(|option| group_and_name(option)).collect()
}

#[test]
fn it_has_every_option_of_the_daemon_and_none_too_many() {
    let registered = of_daemon();
    let first_cells = rows("## Its own options").into_iter();
    let own = first_cells.flat_map(|row| option_names(row.split(" | ").next().unwrap_or_default()));
    assert_eq!(own.collect::<BTreeSet<_>>(), names(&registered, true));
    let of_cinder = names(&registered, false);
    let named = named_below("## What it takes from Cinder's sections");
    let to_sign_in = named_below("## Signing in");
    let refused: BTreeSet<_> = below("## Signing in").flat_map(option_names).collect();
    let missing: Vec<_> = of_cinder
        .difference(&named)
        .filter(|option| !refused.contains(*option))
        .collect();
    assert_eq!(missing, [&""; 0], "docs/configuration.md lacks these");
    let known_by_older_names = ["api_class", "sql_connection"].map(str::to_owned);
    let unknown = named.union(&to_sign_in).filter(|name| {
        !of_cinder.contains(*name)
            && !known_by_older_names.contains(name)
            && !["password", "v3password", "v3applicationcredential"].contains(&name.as_str())
    });
    assert_eq!(unknown.collect::<Vec<_>>(), [&""; 0]);
}

#[test]
fn it_has_every_option_that_only_an_audit_reads_and_none_too_many() {
    let of_daemon = of_daemon();
    let only_of_audit: BTreeSet<String> = of_audit()
        .into_iter()
        .filter(|option| !of_daemon.contains(option))
        .map(|(_, name)| name)
        .collect();
    assert!(only_of_audit.len() > 30, "{only_of_audit:?}");
    assert_eq!(
        named_below("## What `fixed-key audit` takes beside that"),
        only_of_audit
    );
}

#[test]
fn it_has_the_defaults_of_our_own_options() {
    let options = read(&texts()[0]).options;
    let values: BTreeMap<(String, String), String> = options
        .iter()
        .filter_map(|option| {
            let value = option.split_once(" = ")?.1;
            let (value, _) = value.rsplit_once(" (")?;
            Some((group_and_name(option), value.to_owned()))
        })
        .collect();
    let value = |group: &str, name: &str| {
        let value = values.get(&(group.to_owned(), name.to_owned()));
        let value = value.cloned().unwrap_or_default();
        // Lists and booleans are shown as Python shows them.
        value.replace(['[', ']', '\'', ' '], "").to_lowercase()
    };
    let state_path = value("DEFAULT", "state_path");
    for row in rows("## Its own options") {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (name, default) = (cells.next(), cells.next());
        let name = name.expect("a name").trim_matches('`');
        let default = default.expect("a default").trim_matches('`');
        let default = default.replace("$state_path", &state_path);
        assert_eq!(value("key_migrator", name), default, "{name}");
    }
}

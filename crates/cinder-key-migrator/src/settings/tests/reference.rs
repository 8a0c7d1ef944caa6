//! docs/configuration.md, held against the options that are read.

use std::collections::BTreeSet;

use super::{DATABASE, FIXED_KEY, SIGN_IN, read};

/// The names in backquotes, of what looks like an option's.
fn option_names(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_configuration_reference_has_every_option_and_none_too_many() {
    let reference = include_str!("../../../../../docs/configuration.md");
    let section = |heading: &str| {
        let lines = reference.lines().skip_while(|line| *line != heading);
        let lines = lines.skip(1).take_while(|line| !line.starts_with("## "));
        let rows = lines.filter(|line| line.starts_with("| `") || line.starts_with("| each"));
        rows.collect::<Vec<_>>()
    };
    // Every section and way of signing in, so that every option is registered.
    let password = format!("{DATABASE}{FIXED_KEY}{SIGN_IN}[DEFAULT]\nenabled_backends = lvm\n");
    let credential = password.replace(
        "= password\n",
        "= v3applicationcredential\napplication_credential_id = 7b\n\
         application_credential_secret = s3cr3t\n",
    );
    let mut registered: BTreeSet<(String, String)> = BTreeSet::new();
    for text in [password, credential] {
        for option in read(&text).options {
            let (group, rest) = option.split_once("] ").expect("a group");
            let name = rest.split(' ').next().expect("a name");
            registered.insert((group.trim_start_matches('[').to_owned(), name.to_owned()));
        }
    }
    let of = |own: bool| -> BTreeSet<String> {
        let options = registered.iter();
        let options = options.filter(|(group, _)| (group == "key_migrator") == own);
        options.map(|(_, name)| name.clone()).collect()
    };
    let first_cells = section("## Its own options").into_iter();
    let own = first_cells.flat_map(|row| option_names(row.split(" | ").next().unwrap_or_default()));
    assert_eq!(own.collect::<BTreeSet<_>>(), of(true));
    let taken = of(false);
    let missing: Vec<_> = taken
        .difference(&option_names(reference))
        .cloned()
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md lacks {missing:?}"
    );
    let known_by_older_names = ["api_class"].map(str::to_owned).into();
    let named = section("## What it takes from Cinder's sections").into_iter();
    let named: BTreeSet<_> = named.flat_map(option_names).collect();
    let unknown: BTreeSet<_> = named.difference(&taken).cloned().collect();
    assert_eq!(unknown, known_by_older_names);
}

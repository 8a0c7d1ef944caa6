//! Option files of MySQL (`my.cnf`), which `read_default_file` names, as PyMySQL reads them
//! (pymysql/optionfile.py), and with the `!include` and `!includedir` that the C library knows:
//! <https://mariadb.com/kb/en/configuring-mariadb-with-option-files/>.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Warning;

/// Files that include each other end here.
const DEEPEST: usize = 10;

/// The groups of one file and of those that it includes.
#[derive(Default)]
pub(super) struct OptionFile {
    groups: BTreeMap<String, BTreeMap<String, Zeroizing<String>>>,
}

impl OptionFile {
    /// Reads a file. What cannot be read is left out, as Cinder's drivers do.
    pub(super) fn read(path: &str, warnings: &mut Vec<Warning>) -> Self {
        let mut file = Self::default();
        file.add(&expanded(path), 0, warnings);
        file
    }

    /// What the first of these groups says that says anything: the text may be empty.
    pub(super) fn get(&self, groups: &[&str], option: &str) -> Option<Zeroizing<String>> {
        let mut found = groups
            .iter()
            .filter_map(|group| self.groups.get(*group)?.get(option));
        found.next().cloned()
    }

    fn add(&mut self, path: &Path, depth: usize, warnings: &mut Vec<Warning>) {
        let text = match fs::read_to_string(path) {
            Ok(text) if depth < DEEPEST => Zeroizing::new(text),
            Ok(_) => return warnings.push(unreadable(path, "is included too deep")),
            Err(error) => return warnings.push(unreadable(path, &reason(&error))),
        };
        let mut group = None;
        for line in text.lines().map(str::trim) {
            if let Some(directive) = line.strip_prefix('!') {
                for path in included(directive, path, warnings) {
                    self.add(&path, depth + 1, warnings);
                }
            } else if let Some(name) = line.strip_prefix('[') {
                group = name.strip_suffix(']').map(str::trim);
            } else if let Some(group) = group.filter(|_| !line.starts_with(['#', ';'])) {
                self.set(group, line);
            }
        }
    }

    fn set(&mut self, group: &str, line: &str) {
        let (name, value) = line.split_once(['=', ':']).unwrap_or((line, ""));
        let name = name.trim().to_lowercase().replace('_', "-");
        if !name.is_empty() {
            let value = Zeroizing::new(unquoted(value.trim()).to_owned());
            self.groups
                .entry(group.to_owned())
                .or_default()
                .insert(name, value);
        }
    }
}

/// The files that `include FILE` and `includedir FOLDER` stand for, the ones that win last.
fn included(directive: &str, from: &Path, warnings: &mut Vec<Warning>) -> Vec<PathBuf> {
    let (directive, path) = directive
        .split_once(char::is_whitespace)
        .unwrap_or_default();
    let path = from.parent().unwrap_or(from).join(path.trim());
    match directive {
        "include" => vec![path],
        "includedir" => match fs::read_dir(&path) {
            Ok(entries) => {
                let mut files: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.extension().is_some_and(|extension| extension == "cnf"))
                    .collect();
                files.sort();
                files
            }
            Err(error) => {
                warnings.push(unreadable(&path, &reason(&error)));
                Vec::new()
            }
        },
        _ => Vec::new(),
    }
}

fn unreadable(path: &Path, problem: &str) -> Warning {
    Warning::OptionFile {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

fn reason(error: &std::io::Error) -> String {
    format!("cannot be read ({})", error.kind())
}

/// A leading `~` is the home directory.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn unquoted(value: &str) -> &str {
    let inner = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(value)
}

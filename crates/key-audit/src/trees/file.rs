//! One file: what it sets, and on which lines.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use key_migration::fixed_key::FixedKey;
use key_migration::settings::KeyManagerBackend;
use oslo_config::{Assignment, Document};
use zeroize::Zeroizing;

use super::source::{Source, source};
use crate::editing::{is_fixed_key, text};

/// A configuration is never larger, in bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Names of the option that says which key manager a service uses, those that win first.
const BACKENDS: [(&str, &str); 3] = [
    ("key_manager", "backend"),
    ("key_manager", "api_class"),
    ("keymgr", "api_class"),
];

/// A file that sets the option, or whose service is on ConfKeyManager.
#[derive(Debug)]
pub struct FileSeen {
    /// Where it is.
    pub path: PathBuf,
    /// Each time that it sets the option.
    pub keys: Vec<KeySeen>,
    /// The line that says ConfKeyManager, if that counts in this file.
    pub conf_key_manager: Option<usize>,
    /// What it is made from, as far as can be told.
    pub source: Option<Source>,
}

/// One line that sets the option.
#[derive(Debug)]
pub struct KeySeen {
    /// Counted from 1.
    pub line: usize,
    /// `key_manager`, or its former name `keymgr`.
    pub section: String,
    /// Whether it counts: of several in one file, one does.
    pub counts: bool,
    /// How it compares.
    pub comparison: Comparison,
}

/// How a key compares with the fixed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is the fixed key.
    Same,
    /// It is another one.
    Differs,
    /// It is none: not hexadecimal, or a reference to another option.
    Unusable,
    /// The option is set to nothing.
    Unset,
}

/// What a file turned out to be.
pub(super) enum Look {
    /// A configuration that has nothing to do with this.
    Nothing,
    /// Of no kind that is looked into.
    NotRead,
    /// No configuration, and the option is named in it.
    Mentioned,
    /// With the keys in the order of [`FileSeen::keys`].
    Found(FileSeen, Vec<Option<FixedKey>>),
}

/// Looks at one file; an error is a line for the operator.
pub(super) fn look_at(path: &Path) -> Result<Look, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_configuration = [".conf", ".ini"].iter().any(|end| name.ends_with(end));
    let may_mention = name.contains(".conf")
        || [".yaml", ".yml", ".json", ".j2", ".tpl"]
            .iter()
            .any(|end| name.ends_with(end));
    if !is_configuration && !may_mention {
        return Ok(Look::NotRead);
    }
    let content = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = text(&content);
    let names_key = text.contains("fixed_key");
    if !is_configuration {
        return Ok(match names_key {
            true => Look::Mentioned,
            false => Look::NotRead,
        });
    }
    if !names_key && !text.contains("ConfKeyManager") {
        return Ok(Look::Nothing);
    }
    let document = Document::parse(path, &text).map_err(|error| error.to_string())?;
    Ok(found(path, &document, &text))
}

fn found(path: &Path, document: &Document, text: &str) -> Look {
    let assignments = document.assignments();
    let counting = ["key_manager", "keymgr"].iter().find_map(|section| {
        let mut reversed = assignments.iter().rev();
        reversed.find(|it| is_fixed_key(it) && it.section() == *section)
    });
    let counting = counting.map(|it| *it.lines().start());
    let of_option = || assignments.iter().filter(|it| is_fixed_key(it));
    let file = FileSeen {
        path: path.to_owned(),
        keys: of_option()
            .map(|it| KeySeen {
                line: *it.lines().start(),
                section: it.section().to_owned(),
                counts: counting == Some(*it.lines().start()),
                comparison: match it.value().is_empty() {
                    true => Comparison::Unset,
                    false => Comparison::Unusable,
                },
            })
            .collect(),
        conf_key_manager: conf_key_manager(assignments),
        source: source(path, text),
    };
    if file.keys.is_empty() && file.conf_key_manager.is_none() {
        return Look::Nothing;
    }
    let key = |it: &Assignment| match it.value().is_empty() {
        true => None,
        false => FixedKey::from_hex(it.value()).ok(),
    };
    Look::Found(file, of_option().map(key).collect())
}

/// Where the file puts its service on ConfKeyManager: the last of the name that wins counts.
fn conf_key_manager(assignments: &[Assignment]) -> Option<usize> {
    let backend = BACKENDS.iter().find_map(|(section, key)| {
        let mut reversed = assignments.iter().rev();
        reversed.find(|it| it.section() == *section && it.key() == *key)
    })?;
    let value = KeyManagerBackend::from_option(backend.value());
    (value == KeyManagerBackend::ConfKeyManager).then(|| *backend.lines().start())
}

fn read(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > LARGEST {
        let problem = "it is larger than any configuration; it was not looked into";
        return Err(std::io::Error::other(problem));
    }
    let capacity = usize::try_from(length).unwrap_or_default() + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

//! `deploy/`, what operators copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// The values of each key, in their order.
pub type Options = BTreeMap<String, Vec<String>>;

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The `key = value` lines of a unit or configuration file.
///
/// # Errors
///
/// When it cannot be read.
pub fn options(path: &Path) -> Result<Options> {
    Ok(options_of(&std::fs::read_to_string(path)?))
}

/// Those of one section alone.
///
/// # Errors
///
/// When the file cannot be read.
pub fn options_in(path: &Path, section: &str) -> Result<Options> {
    let text = std::fs::read_to_string(path)?;
    let heading = format!("[{section}]");
    let lines: Vec<_> = text
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .collect();
    Ok(options_of(&lines.join("\n")))
}

fn options_of(text: &str) -> Options {
    let mut options = Options::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((key, value)) = line.split_once('=') {
            let values = options.entry(key.trim().to_owned()).or_default();
            values.push(value.trim().to_owned());
        }
    }
    options
}

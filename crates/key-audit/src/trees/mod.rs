//! Looks for `fixed_key` in files and in whole trees of configuration: of this host, or copies from
//! other nodes. Nothing is changed, and no key is shown.

mod evidence;
mod file;
mod source;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};

use key_migration::fixed_key::FixedKey;

pub use self::file::{Comparison, FileSeen, KeySeen};
pub use self::source::{Source, source_of};

/// What was found in all the trees.
#[derive(Debug, Default)]
pub struct TreesSeen {
    /// How many trees were looked through.
    pub trees: usize,
    /// How many files were read that services may read.
    pub configurations: usize,
    /// Those that set the option or are on ConfKeyManager, in the order of their paths.
    pub files: Vec<FileSeen>,
    /// Files that no service reads as they are, and that name the option: templates, values that
    /// configurations are made from, backups.
    pub mentions: Vec<PathBuf>,
    /// What could not be looked at, and why, one line each.
    pub problems: Vec<String>,
}

/// Looks through files and trees. Keys are compared with the one given, or else with the first one
/// found, in constant time.
#[must_use]
pub fn look(paths: &[PathBuf], fixed_key: Option<&FixedKey>) -> TreesSeen {
    let mut seen = TreesSeen {
        trees: paths.len(),
        ..TreesSeen::default()
    };
    let mut keys = Vec::new();
    for root in paths {
        let found = walk::walk(root);
        seen.problems.extend(found.problems);
        let before = seen.configurations;
        for path in found.files {
            look_at(&path, &mut seen, &mut keys);
        }
        if seen.configurations == before {
            let root = root.display();
            let problem =
                format!("{root}: there is no *.conf or *.ini in it; is it the right one?");
            seen.problems.push(problem);
        }
    }
    compare(&mut seen, keys, fixed_key);
    seen.files.sort_by(|one, other| one.path.cmp(&other.path));
    seen
}

/// The files of a tree that set the option, or the file itself whatever it holds.
///
/// # Errors
/// What could not be looked at, one line each.
pub fn files_to_edit(root: &Path) -> Result<Vec<PathBuf>, Vec<String>> {
    if !root.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    let seen = look(&[root.to_owned()], None);
    match seen.problems.is_empty() {
        true => {
            let set = seen.files.into_iter().filter(|file| !file.keys.is_empty());
            Ok(set.map(|file| file.path).collect())
        }
        false => Err(seen.problems),
    }
}

/// Keys beside the place where they stand: the file's and the key's number.
type Keys = Vec<(usize, usize, Option<FixedKey>)>;

fn look_at(path: &Path, seen: &mut TreesSeen, keys: &mut Keys) {
    match file::look_at(path) {
        Ok(file::Look::Nothing) => seen.configurations += 1,
        Ok(file::Look::NotRead) => {}
        Ok(file::Look::Mentioned) => seen.mentions.push(path.to_owned()),
        Ok(file::Look::Found(file, found)) => {
            seen.configurations += 1;
            let number = seen.files.len();
            let found = found.into_iter().enumerate();
            keys.extend(found.map(|(place, key)| (number, place, key)));
            seen.files.push(file);
        }
        Err(problem) => seen.problems.push(problem),
    }
}

fn compare(seen: &mut TreesSeen, keys: Keys, fixed_key: Option<&FixedKey>) {
    let first = keys.iter().find_map(|(.., key)| key.as_ref());
    let reference = fixed_key.or(first);
    for (file, place, key) in &keys {
        let (Some(key), Some(reference)) = (key, reference) else {
            continue;
        };
        seen.files[*file].keys[*place].comparison = match key.same_as(reference) {
            true => Comparison::Same,
            false => Comparison::Differs,
        };
    }
}

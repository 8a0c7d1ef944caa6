//! Files and environment, one over the other.
//!
//! The `config` crate does the layering: every file and the environment is a [`Source`], and the
//! later one wins key by key. Two things stay out of its hands:
//!
//! - **The values.** It keeps plain strings, copies them when it merges, and quotes them in its
//!   errors and its `Debug`. So what it layers are positions in `Layers::entries`; the values wait
//!   there, are wiped when dropped, and bring their typed origin along (its own is one string).
//! - **Deprecated names.** A later file's old name beats an earlier file's new name, within one
//!   file the new name wins. Which names belong together is known only when an option is looked
//!   up, as groups may get their names from the configuration itself; then the latest file
//!   decides, and the order of names within it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Map, Source, ValueKind};
use zeroize::Zeroizing;

use crate::Origin;
use crate::registry::{Declaration, normalized, variable};
use crate::sources::{Environment, File};

const FILES: &str = "files";
const ENVIRONMENT: &str = "environment";

pub(crate) struct Layers {
    /// Sections and keys by normalized name, and environment variables, to positions in `entries`.
    merged: config::Config,
    entries: Vec<Entry>,
    /// The same positions, of every assignment to a section's key, for options that may be set
    /// several times.
    assignments: BTreeMap<(String, String), Vec<usize>>,
    files: Vec<PathBuf>,
}

/// A value and where it stands.
pub(crate) struct Entry {
    place: Place,
    /// `None` for a value that is not UTF-8.
    pub(crate) value: Option<Zeroizing<String>>,
}

enum Place {
    /// The position of the file in `Layers::files`, and the line.
    File(usize, usize),
    Variable(String),
}

impl Layers {
    pub(crate) fn new(files: Vec<File>, environment: &Environment) -> Self {
        let mut entries = Vec::new();
        let mut assignments = BTreeMap::<_, Vec<usize>>::new();
        let mut paths = Vec::new();
        let mut layering = config::Config::builder();
        for file in files {
            for (number, assignment) in file.content.assignments.iter().enumerate() {
                let place = (assignment.section.clone(), assignment.key.clone());
                let position = entries.len() + number;
                assignments.entry(place).or_default().push(position);
            }
            layering = layering.add_source(Layer::of_file(file, &mut paths, &mut entries));
        }
        let merged = layering
            .add_source(Layer::of_environment(environment, &mut entries))
            .build()
            .expect("layers in memory are always collected");
        Self {
            merged,
            entries,
            assignments,
            files: paths,
        }
    }

    /// The value that wins for an option looked up as `group` and `name`.
    pub(crate) fn find(&self, group: &str, name: &str, option: &Declaration) -> Option<&Entry> {
        self.entry(&[ENVIRONMENT, &variable(group, name)])
            .or_else(|| {
                let places = option.places(group);
                let found = places
                    .iter()
                    .filter_map(|(group, name)| self.entry(&[FILES, group, name]));
                // Of several in the latest file the first counts, so the search runs backwards:
                // max_by_key returns the last of equals.
                found.rev().max_by_key(|entry| entry.file())
            })
    }

    /// All values that count for an option that may be set several times: those of the first file
    /// first, and within one file those of the oldest name first.
    pub(crate) fn find_all(&self, group: &str, name: &str, option: &Declaration) -> Vec<&Entry> {
        if let Some(entry) = self.entry(&[ENVIRONMENT, &variable(group, name)]) {
            return vec![entry];
        }
        let mut places = option.places(group);
        places.reverse();
        let mut found: Vec<&Entry> = Vec::new();
        for file in 0..self.files.len() {
            for place in &places {
                let positions = self.assignments.get(place).into_iter().flatten();
                let entries = positions.map(|position| &self.entries[*position]);
                found.extend(entries.filter(|entry| entry.file() == Some(file)));
            }
        }
        found
    }

    pub(crate) fn origin(&self, entry: &Entry) -> Origin {
        match &entry.place {
            Place::File(file, line) => Origin::File {
                path: self.files[*file].clone(),
                line: *line,
            },
            Place::Variable(name) => Origin::Environment(name.clone()),
        }
    }

    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The files that set one of these keys to something, in the order in which they were read.
    pub(crate) fn files_that_set(
        &self,
        places: impl Iterator<Item = (String, String)>,
    ) -> Vec<&Path> {
        let assigned = places.filter_map(|place| self.assignments.get(&place));
        let entries = assigned.flatten().map(|position| &self.entries[*position]);
        let set = entries.filter(|entry| entry.value.as_ref().is_some_and(|it| !it.is_empty()));
        let files: BTreeSet<_> = set.filter_map(Entry::file).collect();
        let files = files.into_iter();
        files.map(|file| self.files[file].as_path()).collect()
    }

    pub(crate) fn has_section(&self, section: &str) -> bool {
        self.value(&[FILES, &normalized(section)]).is_some()
    }

    pub(crate) fn sections(&self) -> Vec<&str> {
        let Some(ValueKind::Table(sections)) = self.value(&[FILES]).map(|files| &files.kind) else {
            return Vec::new();
        };
        let mut sections: Vec<_> = sections.keys().map(String::as_str).collect();
        sections.sort_unstable();
        sections
    }

    fn entry(&self, path: &[&str]) -> Option<&Entry> {
        match self.value(path)?.kind {
            ValueKind::U64(position) => self.entries.get(usize::try_from(position).ok()?),
            _ => None,
        }
    }

    fn value(&self, path: &[&str]) -> Option<&config::Value> {
        path.iter()
            .try_fold(&self.merged.cache, |value, step| match &value.kind {
                ValueKind::Table(table) => table.get(*step),
                _ => None,
            })
    }
}

impl Entry {
    fn file(&self) -> Option<usize> {
        match self.place {
            Place::File(file, _) => Some(file),
            Place::Variable(_) => None,
        }
    }
}

/// Shows no keys: a slip in a file can make a part of a value one.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// One file, or the environment, as the `config` crate is to see it.
///
/// All lies below one root: names inside a table are taken as they are, while the root's would be
/// read as paths, and a section may be called `a.b` or `a[0]`.
#[derive(Clone)]
struct Layer {
    root: &'static str,
    content: Map<String, config::Value>,
}

impl Layer {
    fn of_file(file: File, paths: &mut Vec<PathBuf>, entries: &mut Vec<Entry>) -> Self {
        let mut sections: Map<String, Map<String, config::Value>> = file
            .content
            .sections
            .into_iter()
            .map(|section| (section, Map::new()))
            .collect();
        for assignment in file.content.assignments {
            let position = config::Value::new(None, entries.len() as u64);
            entries.push(Entry {
                place: Place::File(paths.len(), assignment.line),
                value: Some(assignment.value),
            });
            sections
                .entry(assignment.section)
                .or_default()
                .insert(assignment.key, position);
        }
        paths.push(file.path);
        let content = sections
            .into_iter()
            .map(|(name, keys)| (name, keys.into()))
            .collect();
        Self {
            root: FILES,
            content,
        }
    }

    fn of_environment(environment: &Environment, entries: &mut Vec<Entry>) -> Self {
        let mut content = Map::new();
        for (name, value) in &environment.options {
            content.insert(name.clone(), config::Value::new(None, entries.len() as u64));
            entries.push(Entry {
                place: Place::Variable(name.clone()),
                value: value.clone(),
            });
        }
        Self {
            root: ENVIRONMENT,
            content,
        }
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, config::ConfigError> {
        Ok(Map::from_iter([(
            self.root.to_owned(),
            self.content.clone().into(),
        )]))
    }
}

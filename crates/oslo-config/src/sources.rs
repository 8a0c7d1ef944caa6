//! Which files are read, in which order.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::{Document, Error};

/// Where the configuration comes from. Of two sources that set an option the later file wins, and
/// the environment wins over all files.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The files and directories named on the command line, in its order.
    pub inputs: Vec<Input>,
    /// Where to look for files if none is named, and for directories if none is named. Found ones
    /// are read before `inputs`: with a `--config-file` alone, the files in `cinder.conf.d` still
    /// count, and the named file wins over them.
    pub search: Search,
    /// The environment of the process.
    pub environment: Environment,
}

/// A file or directory named on the command line; it must exist. A leading `~` is the home
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// `--config-file`
    File(PathBuf),
    /// `--config-dir`: its `*.conf` that are not hidden, in the order of their names.
    Directory(PathBuf),
}

/// Where oslo.config looks by itself (`find_config_files`, `find_config_dirs`): in `~/.PROJECT`,
/// `~`, `/etc/PROJECT`, `/etc` and, in a snap, below `SNAP_COMMON` and `SNAP`, the first
/// `PROJECT.conf` and then the first `PROG.conf`; the same for directories named `*.conf.d`.
#[derive(Debug, Clone)]
pub struct Search {
    project: String,
    prog: String,
    home: Option<PathBuf>,
    etc: PathBuf,
}

impl Search {
    /// Searches for the configuration of `prog` (such as `cinder-volume`) of a project (such as
    /// `cinder`). Without a home directory only the others are searched.
    pub fn new(project: &str, prog: &str, home: Option<PathBuf>) -> Self {
        Self {
            project: project.to_owned(),
            prog: prog.to_owned(),
            home,
            etc: "/etc".into(),
        }
    }

    /// Searches this directory in place of `/etc`.
    #[must_use]
    pub fn etc(mut self, etc: impl Into<PathBuf>) -> Self {
        self.etc = etc.into();
        self
    }

    fn found(&self, environment: &Environment, extension: &str) -> Vec<PathBuf> {
        let home = self
            .home
            .iter()
            .flat_map(|home| [home.join(format!(".{}", self.project)), home.clone()]);
        let etc = [self.etc.join(&self.project), self.etc.clone()];
        let snaps = environment
            .snaps
            .iter()
            .map(|snap| snap.join("etc").join(&self.project));
        let directories: Vec<PathBuf> = home.chain(etc).chain(snaps).collect();
        [&self.project, &self.prog]
            .into_iter()
            .filter_map(|name| {
                let name = format!("{name}.{extension}");
                directories
                    .iter()
                    .map(|directory| directory.join(&name))
                    .find(|path| path.exists())
            })
            .collect()
    }

    fn expand(&self, path: &Path) -> PathBuf {
        match (&self.home, path.strip_prefix("~")) {
            (Some(home), Ok(rest)) if rest.as_os_str().is_empty() => home.clone(),
            (Some(home), Ok(rest)) => home.join(rest),
            _ => path.to_owned(),
        }
    }
}

/// The variables that bear on the configuration: `OS_GROUP__OPTION`, and those of a snap.
#[derive(Clone, Default)]
pub struct Environment {
    /// `None` for a value that is not UTF-8.
    pub(crate) options: BTreeMap<String, Option<Zeroizing<String>>>,
    snaps: Vec<PathBuf>,
}

impl Environment {
    /// Picks what counts from all variables, usually `std::env::vars_os()`.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        let mut snaps = BTreeMap::new();
        for (name, value) in variables {
            match name.into_string() {
                Ok(name) if name == "SNAP_COMMON" => _ = snaps.insert(0, PathBuf::from(value)),
                Ok(name) if name == "SNAP" => _ = snaps.insert(1, PathBuf::from(value)),
                Ok(name) if name.starts_with("OS_") && name.contains("__") => {
                    let value = value.into_string().ok().map(Zeroizing::new);
                    environment.options.insert(name, value);
                }
                _ => {}
            }
        }
        environment.snaps = snaps
            .into_values()
            .filter(|snap| !snap.as_os_str().is_empty())
            .collect();
        environment
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.options.keys())
            .finish_non_exhaustive()
    }
}

/// A file that was read.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) content: Document,
}

/// Reads all files, the ones that win last.
pub(crate) fn read(sources: &Sources) -> Result<Vec<File>, Error> {
    paths(sources)?.into_iter().map(read_file).collect()
}

fn paths(
    Sources {
        inputs,
        search,
        environment,
    }: &Sources,
) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    if !inputs.iter().any(|input| matches!(input, Input::File(_))) {
        paths.extend(search.found(environment, "conf"));
    }
    if !inputs
        .iter()
        .any(|input| matches!(input, Input::Directory(_)))
    {
        for directory in search.found(environment, "conf.d") {
            paths.extend(files_in(&directory)?);
        }
    }
    for input in inputs {
        match input {
            Input::File(file) => paths.push(search.expand(file)),
            Input::Directory(directory) => paths.extend(files_in(&search.expand(directory))?),
        }
    }
    Ok(paths)
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let cannot_read = |source| Error::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in directory.read_dir().map_err(cannot_read)? {
        let name = entry.map_err(cannot_read)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".conf") && !bytes.starts_with(b".") {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: PathBuf) -> Result<File, Error> {
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(source) => return Err(Error::Read { path, source }),
    };
    let content = match std::str::from_utf8(&bytes) {
        Ok(text) => Document::parse(&path, text)?,
        Err(fault) => {
            let before = String::from_utf8_lossy(&bytes[..fault.valid_up_to()]);
            let line = crate::text::lines(&before).count();
            return Err(Error::Syntax {
                path,
                line,
                problem: "expected UTF-8 text",
            });
        }
    };
    Ok(File { path, content })
}

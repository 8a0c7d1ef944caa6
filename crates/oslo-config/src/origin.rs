use std::fmt;
use std::path::PathBuf;

/// Where the value of an option comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file.
    File {
        /// The file, as it was named or found.
        path: PathBuf,
        /// The line of the assignment, counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// No source sets the option.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Default => f.write_str("default"),
        }
    }
}

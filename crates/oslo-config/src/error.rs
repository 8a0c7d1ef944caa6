use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::Origin;

/// Why the configuration cannot be used. None of its texts holds a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory is missing or may not be read.
    #[error("cannot read the configuration at {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file breaks the grammar.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong and what was expected.
        problem: &'static str,
    },
    /// The value of an option is of no use.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An option that is required has no value.
    #[error(transparent)]
    Missing(#[from] MissingOption),
    /// The program asked for an option that it did not register, or registered otherwise.
    #[error(
        "[{group}] {name} is not registered as it is asked for; this is a fault of the program"
    )]
    Unregistered {
        /// The group asked for.
        group: String,
        /// The option asked for.
        name: String,
    },
}

/// What is wrong with the value of one option, and where that value was set.
///
/// Renders as `/etc/cinder/cinder.conf:42: [key_manager] fixed_key: odd number of hexadecimal
/// digits`, and the remedy after a semicolon. Made by [`Config::fault`](crate::Config::fault).
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OptionError(Box<Details>);

/// Apart, so that a `Result` with an error in it stays small.
#[derive(Debug, thiserror::Error)]
struct Details {
    origin: Origin,
    group: String,
    name: String,
    problem: Cow<'static, str>,
    remedy: Option<Cow<'static, str>>,
}

impl OptionError {
    pub(crate) fn new(
        origin: Origin,
        group: &str,
        name: &str,
        problem: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Details {
            origin,
            group: group.to_owned(),
            name: name.to_owned(),
            problem: problem.into(),
            remedy: None,
        }))
    }

    /// Adds what the operator can do about it. The text must not hold the value.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Where the value was set.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: [{}] {}: {}",
            self.origin, self.group, self.name, self.problem
        )?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// An option that has no value although it needs one.
#[derive(Debug, thiserror::Error)]
pub struct MissingOption {
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) variable: String,
    pub(crate) files: Vec<PathBuf>,
}

impl fmt::Display for MissingOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} is not set", self.group, self.name)?;
        if self.files.is_empty() {
            f.write_str(", and no configuration file was found; name one that sets it")?;
        } else {
            let files: Vec<_> = self
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            write!(f, " in {}; set it there", files.join(", "))?;
        }
        write!(f, " or as environment variable {}", self.variable)
    }
}

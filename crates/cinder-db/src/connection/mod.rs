//! `[database] connection`: the URL that Cinder gives to SQLAlchemy, with what its drivers make of
//! it (PyMySQL, mysqlclient, psycopg2), so that what connects Cinder connects us.

mod mysql;
mod option_file;
mod parameters;
mod postgresql;
mod tls;
mod url;

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::mysql::{Charset, MySqlTarget};
use self::parameters::Parameters;
pub(crate) use self::postgresql::PostgresTarget;
use self::url::UrlParts;

/// The option, as every remedy of this crate names it first.
pub(crate) const OPTION: &str = "[database] connection";

/// Where Cinder's database is, and how to sign in. Nothing of it can be printed.
pub struct ConnectionConfig {
    pub(crate) target: Target,
    /// The option as remedies name it.
    pub(crate) option: String,
}

/// A database of one of the supported kinds.
pub(crate) enum Target {
    MySql(Box<MySqlTarget>),
    Postgres(Box<PostgresTarget>),
    Sqlite(PathBuf),
}

/// Why a connection URL cannot be used. It holds nothing of the URL but the dialect's name, names of
/// parameters, and paths of certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// It does not read `dialect://user:password@host/database`.
    #[error(
        "the database URL is malformed: write mysql+pymysql://USER:PASSWORD@HOST/DATABASE, with \
         special characters in USER and PASSWORD percent-encoded"
    )]
    Malformed,
    /// Something that Cinder cannot use either.
    #[error(
        "unknown dialect in the database URL: it must begin with mysql+pymysql://, mysql://, \
         postgresql+psycopg2://, postgresql:// or sqlite:///"
    )]
    UnknownDialect,
    /// The part after the host is missing.
    #[error("the database URL names no database: add /cinder, or its name, after the host")]
    MissingDatabase,
    /// The port is no number from 1 to 65535.
    #[error("the port in the database URL is not a number from 1 to 65535")]
    BadPort,
    /// A percent-encoded part is not UTF-8.
    #[error("a percent-encoded part of the database URL is not UTF-8")]
    NotUtf8,
    /// A parameter has a value that it cannot have.
    #[error("parameter '{parameter}' of the database URL: expected {expected}")]
    BadValue {
        /// The parameter.
        parameter: &'static str,
        /// What its value may be.
        expected: &'static str,
    },
    /// A file that TLS needs cannot be used.
    #[error("parameter '{parameter}' of the database URL: {} {problem}", path.display())]
    TlsFile {
        /// The parameter that names it.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Something odd in a connection URL that is no reason to stop. It never holds a value, but for the
/// path of an option file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The parameter, by its name, is ignored.
    Ignored(String),
    /// The parameter, by its name, has a meaning for Cinder's driver which is left out here.
    NotSupported(&'static str),
    /// `charset` names a set other than `utf8` and `utf8mb4`; the connection uses `utf8mb4`.
    CharsetIgnored,
    /// The file that `read_default_file` names cannot be read. Cinder goes on without it, too.
    OptionFile {
        /// The file, or one that it includes.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored(name) => {
                write!(f, "parameter '{name}' of the database URL has no effect")
            }
            Self::NotSupported(name) => write!(
                f,
                "parameter '{name}' of the database URL is not supported by this program, which \
                 connects without it"
            ),
            Self::CharsetIgnored => f.write_str(
                "parameter 'charset' of the database URL is neither utf8 nor utf8mb4: the \
                 connection uses utf8mb4",
            ),
            Self::OptionFile { path, problem } => write!(
                f,
                "parameter 'read_default_file' of the database URL: {} {problem}; what it says is \
                 left out",
                path.display()
            ),
        }
    }
}

impl ConnectionConfig {
    /// Reads a connection URL, and the option file and certificates that it names.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn parse(url: &SecretString) -> Result<(Self, Vec<Warning>), ConnectionError> {
        let parts = UrlParts::split(url.expose_secret())?;
        let parameters = Parameters::of(&parts);
        let (dialect, driver) = match parts.dialect.split_once('+') {
            Some((dialect, driver)) => (dialect, Some(driver)),
            None => (parts.dialect, None),
        };
        let (target, warnings) = match dialect {
            "mysql" | "mariadb" => {
                let (target, warnings) = mysql::target(&parts, driver, parameters)?;
                (Target::MySql(Box::new(target)), warnings)
            }
            "postgresql" | "postgres" => {
                let (target, warnings) = postgresql::target(&parts, parameters)?;
                (Target::Postgres(Box::new(target)), warnings)
            }
            "sqlite" => sqlite_target(&parts, parameters)?,
            _ => return Err(ConnectionError::UnknownDialect),
        };
        let option = OPTION.to_owned();
        Ok((Self { target, option }, warnings))
    }

    /// Lets remedies name the place where the option is set: `cinder.conf:42`.
    #[must_use]
    pub fn set_at(mut self, place: &str) -> Self {
        self.option = format!("{place}: {OPTION}");
        self
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialect = match self.target {
            Target::MySql(_) => "mysql",
            Target::Postgres(_) => "postgresql",
            Target::Sqlite(_) => "sqlite",
        };
        f.debug_struct("ConnectionConfig")
            .field("dialect", &dialect)
            .finish_non_exhaustive()
    }
}

/// What Python's `sqlite3.connect` takes and nothing here needs.
const SQLITE_DRIVERS_OWN: &[&str] = &[
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "cached_statements",
];

/// `sqlite:///relative` and `sqlite:////absolute`: the database is what follows the third slash.
fn sqlite_target(
    parts: &UrlParts<'_>,
    mut parameters: Parameters,
) -> Result<(Target, Vec<Warning>), ConnectionError> {
    if parts.host.is_some() {
        return Err(ConnectionError::Malformed);
    }
    let path = parts.database()?.ok_or(ConnectionError::MissingDatabase)?;
    if path == ":memory:" {
        return Err(ConnectionError::MissingDatabase);
    }
    parameters.drop_all(SQLITE_DRIVERS_OWN);
    Ok((Target::Sqlite(PathBuf::from(&*path)), parameters.ignored()))
}

#[cfg(test)]
mod tests;

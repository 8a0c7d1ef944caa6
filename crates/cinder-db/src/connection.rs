//! `[database] connection`: the URL that Cinder gives to SQLAlchemy, read as SQLAlchemy reads it
//! (sqlalchemy/engine/url.py, `_parse_url`), so that a password that works for Cinder works here.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

/// Where Cinder's database is, and how to sign in. Nothing of it can be printed.
pub struct ConnectionConfig {
    pub(crate) target: Target,
}

/// A database of one of the supported kinds.
pub(crate) enum Target {
    MySql(MySqlTarget),
    Sqlite(PathBuf),
}

/// A MariaDB or MySQL database.
pub(crate) struct MySqlTarget {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) username: String,
    pub(crate) password: Option<SecretString>,
    pub(crate) database: String,
    pub(crate) charset: Charset,
    pub(crate) tls_required: bool,
}

/// The character set that the connection speaks. Both are UTF-8 to us; `utf8` is for servers and
/// proxies that know no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Utf8mb4,
}

/// Why a connection URL cannot be used. It holds nothing of the URL but the dialect's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// It does not read `dialect://user:password@host/database`.
    #[error(
        "the database URL is malformed: write mysql+pymysql://USER:PASSWORD@HOST/DATABASE, with \
         special characters in USER and PASSWORD percent-encoded"
    )]
    Malformed,
    /// PostgreSQL, which Cinder can use and this version cannot.
    #[error("PostgreSQL is not supported by this version: only MariaDB, MySQL and SQLite are")]
    PostgresqlNotSupported,
    /// Something that Cinder cannot use either.
    #[error(
        "unknown dialect in the database URL: it must begin with mysql+pymysql://, mysql:// or \
         sqlite:///"
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
}

/// A query parameter that has no effect here. It never holds the parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The parameter, by its name, is ignored.
    Ignored(String),
    /// The parameter, by its name, asks for verified TLS: the connection will be encrypted or
    /// fail, but the server's certificate is not verified.
    TlsNotVerified(String),
    /// `charset` names a set other than `utf8` and `utf8mb4`; the connection uses `utf8mb4`.
    CharsetIgnored,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored(name) => {
                write!(f, "parameter '{name}' of the database URL has no effect")
            }
            Self::TlsNotVerified(name) => write!(
                f,
                "parameter '{name}' of the database URL: the connection must be encrypted, but \
                 this version does not verify the server's certificate"
            ),
            Self::CharsetIgnored => f.write_str(
                "parameter 'charset' of the database URL is neither utf8 nor utf8mb4: the \
                 connection uses utf8mb4",
            ),
        }
    }
}

impl ConnectionConfig {
    /// Reads a connection URL.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn parse(url: &SecretString) -> Result<(Self, Vec<Warning>), ConnectionError> {
        let parts = UrlParts::split(url.expose_secret())?;
        let dialect = parts.dialect.split('+').next().unwrap_or_default();
        let (target, warnings) = match dialect {
            "mysql" | "mariadb" => mysql_target(&parts)?,
            "sqlite" => sqlite_target(&parts)?,
            "postgresql" | "postgres" => return Err(ConnectionError::PostgresqlNotSupported),
            _ => return Err(ConnectionError::UnknownDialect),
        };
        Ok((Self { target }, warnings))
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialect = match self.target {
            Target::MySql(_) => "mysql",
            Target::Sqlite(_) => "sqlite",
        };
        f.debug_struct("ConnectionConfig")
            .field("dialect", &dialect)
            .finish_non_exhaustive()
    }
}

fn mysql_target(parts: &UrlParts<'_>) -> Result<(Target, Vec<Warning>), ConnectionError> {
    let mut warnings = Vec::new();
    let mut target = MySqlTarget {
        host: parts.host.unwrap_or("localhost").to_owned(),
        port: parts.port()?.unwrap_or(3306),
        unix_socket: None,
        username: parts.username()?.unwrap_or_default().into_owned(),
        password: parts.password()?,
        database: parts.database()?.into_owned(),
        charset: Charset::Utf8mb4,
        tls_required: false,
    };
    for (name, value) in parts.parameters() {
        match (&*name, &*value) {
            ("charset", "utf8" | "utf8mb3") => target.charset = Charset::Utf8,
            ("charset", "utf8mb4") => target.charset = Charset::Utf8mb4,
            ("charset", _) => warnings.push(Warning::CharsetIgnored),
            ("unix_socket", path) => target.unix_socket = Some(path.into()),
            (tls, _) if tls.starts_with("ssl") && tls != "ssl_disabled" => {
                target.tls_required = true;
                warnings.push(Warning::TlsNotVerified(name.into_owned()));
            }
            _ => warnings.push(Warning::Ignored(name.into_owned())),
        }
    }
    Ok((Target::MySql(target), warnings))
}

/// `sqlite:///relative` and `sqlite:////absolute`: the database is what follows the third slash.
fn sqlite_target(parts: &UrlParts<'_>) -> Result<(Target, Vec<Warning>), ConnectionError> {
    if parts.host.is_some() {
        return Err(ConnectionError::Malformed);
    }
    let path = parts.database()?;
    if path == ":memory:" {
        return Err(ConnectionError::MissingDatabase);
    }
    let warnings = parts
        .parameters()
        .map(|(name, _)| Warning::Ignored(name.into_owned()))
        .collect();
    Ok((Target::Sqlite(PathBuf::from(&*path)), warnings))
}

/// The parts of a URL as SQLAlchemy's regular expression finds them: `/`, `#` and `?` may stand
/// unescaped in a password, `@` in a user name.
struct UrlParts<'u> {
    dialect: &'u str,
    username: Option<&'u str>,
    password: Option<&'u str>,
    host: Option<&'u str>,
    port: Option<&'u str>,
    database: Option<&'u str>,
    query: &'u str,
}

impl<'u> UrlParts<'u> {
    fn split(url: &'u str) -> Result<Self, ConnectionError> {
        let (dialect, rest) = url.split_once("://").ok_or(ConnectionError::Malformed)?;
        let (username, password, rest) = split_user(rest);
        let (host, rest) = split_host(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = match rest.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (rest, None),
        };
        let port = match authority.strip_prefix(':') {
            Some(port) => Some(port),
            None if authority.is_empty() => None,
            None => return Err(ConnectionError::Malformed),
        };
        Ok(Self {
            dialect,
            username,
            password,
            host,
            port,
            database,
            query,
        })
    }

    fn username(&self) -> Result<Option<Cow<'u, str>>, ConnectionError> {
        self.username.map(unquote).transpose()
    }

    fn password(&self) -> Result<Option<SecretString>, ConnectionError> {
        let password = self.password.map(unquote).transpose()?;
        Ok(password.map(|password| SecretString::from(password.into_owned())))
    }

    fn port(&self) -> Result<Option<u16>, ConnectionError> {
        match self.port.filter(|port| !port.is_empty()) {
            None => Ok(None),
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => Err(ConnectionError::BadPort),
                Ok(port) => Ok(Some(port)),
            },
        }
    }

    fn database(&self) -> Result<Cow<'u, str>, ConnectionError> {
        match self.database.filter(|database| !database.is_empty()) {
            None => Err(ConnectionError::MissingDatabase),
            Some(database) => unquote(database),
        }
    }

    /// SQLAlchemy drops parameters without a value (`parse_qsl`).
    fn parameters(&self) -> impl Iterator<Item = (Cow<'u, str>, Cow<'u, str>)> + use<'u> {
        form_urlencoded::parse(self.query.as_bytes()).filter(|(_, value)| !value.is_empty())
    }
}

/// The user name reaches to the first `:` or `/`, the password from that `:` to the next `@`; a
/// user name alone reaches to the last `@` before either.
fn split_user(rest: &str) -> (Option<&str>, Option<&str>, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (run, after) = rest.split_at(end);
    if let Some((password, rest)) = after.strip_prefix(':').and_then(|it| it.split_once('@')) {
        return (Some(run), Some(password), rest);
    }
    match run.rfind('@') {
        Some(at) => (Some(&rest[..at]), None, &rest[at + 1..]),
        None => (None, None, rest),
    }
}

fn split_host(rest: &str) -> Result<(Option<&str>, &str), ConnectionError> {
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, rest) = bracketed
            .split_once(']')
            .filter(|(host, _)| !host.is_empty() && !host.contains(['/', '?']))
            .ok_or(ConnectionError::Malformed)?;
        return Ok((Some(host), rest));
    }
    let end = rest.find(['/', ':', '?']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    Ok(((!host.is_empty()).then_some(host), rest))
}

fn unquote(part: &str) -> Result<Cow<'_, str>, ConnectionError> {
    percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| ConnectionError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(Target, Vec<Warning>), ConnectionError> {
        let (config, warnings) = ConnectionConfig::parse(&SecretString::from(url))?;
        Ok((config.target, warnings))
    }

    fn mysql(url: &str) -> (MySqlTarget, Vec<Warning>) {
        match parse(url).expect("a valid URL") {
            (Target::MySql(target), warnings) => (target, warnings),
            (Target::Sqlite(_), _) => panic!("not MySQL: {url}"),
        }
    }

    /// User, password, host, port, database.
    fn parts(url: &str) -> (String, Option<String>, String, u16, String) {
        let target = mysql(url).0;
        let password = target.password.map(|it| it.expose_secret().to_owned());
        (
            target.username,
            password,
            target.host,
            target.port,
            target.database,
        )
    }

    fn expected(
        username: &str,
        password: Option<&str>,
        host: &str,
        port: u16,
        database: &str,
    ) -> (String, Option<String>, String, u16, String) {
        let password = password.map(str::to_owned);
        (
            username.into(),
            password,
            host.into(),
            port,
            database.into(),
        )
    }

    #[test]
    fn every_spelling_of_the_mysql_dialect_is_taken() {
        for dialect in [
            "mysql",
            "mysql+pymysql",
            "mysql+mysqldb",
            "mariadb",
            "mariadb+pymysql",
        ] {
            let (target, warnings) = mysql(&format!("{dialect}://u:p@h/d"));
            assert_eq!(target.host, "h", "{dialect}");
            assert_eq!(warnings, [], "{dialect}");
        }
    }

    #[test]
    fn parts_are_found_where_sqlalchemy_finds_them() {
        for (url, parts_of_it) in [
            ("mysql://u:p@h/d", expected("u", Some("p"), "h", 3306, "d")),
            (
                "mysql://u:p@h:3307/d?charset=utf8",
                expected("u", Some("p"), "h", 3307, "d"),
            ),
            ("mysql://u@h/d", expected("u", None, "h", 3306, "d")),
            ("mysql://u:@h/d", expected("u", Some(""), "h", 3306, "d")),
            ("mysql://h:3307/d", expected("", None, "h", 3307, "d")),
            ("mysql:///d", expected("", None, "localhost", 3306, "d")),
            ("mysql://u:p@h:/d", expected("u", Some("p"), "h", 3306, "d")),
            (
                "mysql://u:p@[2001:db8::1]:3307/d",
                expected("u", Some("p"), "2001:db8::1", 3307, "d"),
            ),
            (
                "mysql://u:p@[::1]/d",
                expected("u", Some("p"), "::1", 3306, "d"),
            ),
            (
                "mysql://u:p%40ss%2Fw%3Ard%25@h/d",
                expected("u", Some("p@ss/w:rd%"), "h", 3306, "d"),
            ),
            (
                "mysql://u%40x:p@h/d%20b",
                expected("u@x", Some("p"), "h", 3306, "d b"),
            ),
            (
                "mysql://u:p/w?r#d:x@h/d",
                expected("u", Some("p/w?r#d:x"), "h", 3306, "d"),
            ),
            (
                "mysql://a@b:p@h/d",
                expected("a@b", Some("p"), "h", 3306, "d"),
            ),
            ("mysql://a@b@h/d", expected("a@b", None, "h", 3306, "d")),
            (
                "mysql://u:p+w%2@h/d",
                expected("u", Some("p+w%2"), "h", 3306, "d"),
            ),
        ] {
            assert_eq!(parts(url), parts_of_it, "{url}");
        }
    }

    #[test]
    fn charset_socket_and_tls_are_honoured_and_the_rest_is_named_without_values() {
        let (target, warnings) = mysql("mysql://u:p@h/d?charset=utf8&unix_socket=%2Frun%2Fs");
        assert_eq!(target.charset, Charset::Utf8);
        assert_eq!(target.unix_socket, Some("/run/s".into()));
        assert!(!target.tls_required);
        assert_eq!(warnings, []);

        let url = "mysql://u:p@h/d?charset=latin1&ssl_ca=hidden&read_timeout=hidden&empty=";
        let (target, warnings) = mysql(url);
        assert_eq!(target.charset, Charset::Utf8mb4);
        assert!(target.tls_required);
        let tls = Warning::TlsNotVerified("ssl_ca".into());
        let ignored = Warning::Ignored("read_timeout".into());
        assert_eq!(warnings, [Warning::CharsetIgnored, tls, ignored]);
        for warning in warnings {
            assert!(!format!("{warning} {warning:?}").contains("hidden"));
        }
    }

    #[test]
    fn three_slashes_are_a_relative_file_and_four_an_absolute_one() {
        for (url, path) in [
            ("sqlite:///cinder.sqlite", "cinder.sqlite"),
            (
                "sqlite:////var/lib/cinder/cinder.sqlite",
                "/var/lib/cinder/cinder.sqlite",
            ),
            ("sqlite+pysqlite:////a%20b", "/a b"),
        ] {
            let (Target::Sqlite(found), warnings) = parse(url).expect("a valid URL") else {
                panic!("not SQLite: {url}");
            };
            assert_eq!((found, warnings), (path.into(), vec![]), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_by_kind() {
        for (url, error) in [
            ("", ConnectionError::Malformed),
            ("mysql", ConnectionError::Malformed),
            ("mysql:/u:p@h/d", ConnectionError::Malformed),
            ("mysql://u:p@[::1/d", ConnectionError::Malformed),
            ("mysql://u:p@[::1]x/d", ConnectionError::Malformed),
            ("sqlite://file", ConnectionError::Malformed),
            ("sqlite://", ConnectionError::MissingDatabase),
            ("sqlite:///:memory:", ConnectionError::MissingDatabase),
            ("mysql://u:p@h", ConnectionError::MissingDatabase),
            ("mysql://u:p@h/", ConnectionError::MissingDatabase),
            (
                "mysql://u:p@h/?charset=utf8",
                ConnectionError::MissingDatabase,
            ),
            ("mysql://u:p@h:port/d", ConnectionError::BadPort),
            ("mysql://u:p@h:0/d", ConnectionError::BadPort),
            ("mysql://u:p@h:65536/d", ConnectionError::BadPort),
            ("mysql://u:%ff@h/d", ConnectionError::NotUtf8),
            ("oracle://u:p@h/d", ConnectionError::UnknownDialect),
            ("MYSQL://u:p@h/d", ConnectionError::UnknownDialect),
            (
                "postgresql://u:p@h/d",
                ConnectionError::PostgresqlNotSupported,
            ),
            (
                "postgresql+psycopg2://u:p@h/d",
                ConnectionError::PostgresqlNotSupported,
            ),
        ] {
            assert_eq!(parse(url).err(), Some(error), "{url}");
        }
    }

    #[test]
    fn nothing_of_a_url_is_printed() {
        let url = "mysql+pymysql://alice:hunter2@db.example.org/cinder";
        let (config, _) = ConnectionConfig::parse(&SecretString::from(url)).expect("valid");
        let printed = format!("{config:?}");
        for part in ["alice", "hunter2", "db.example.org", "cinder\""] {
            assert!(!printed.contains(part), "{printed}");
        }
    }
}

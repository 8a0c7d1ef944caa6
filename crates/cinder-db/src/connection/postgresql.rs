//! PostgreSQL, as psycopg2 hands its parameters to libpq:
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>. What no
//! parameter says, libpq's environment variables and password file do.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use sqlx::postgres::PgSslMode;

use super::parameters::Parameters;
use super::tls::{self, ClientCertificate};
use super::url::UrlParts;
use super::{ConnectionError, Warning};

/// What has a meaning for libpq, psycopg2 or oslo.db, and none here.
const DRIVERS_OWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "plugin",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
];

/// A PostgreSQL database.
pub(crate) struct PostgresTarget {
    /// Servers to be tried one after the other; without one the local socket.
    pub(crate) hosts: Vec<Host>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) database: String,
    pub(crate) tls: PostgresTls,
    /// Settings of the session, by name and value.
    pub(crate) settings: Vec<(String, String)>,
    /// Only a server that takes changes will do.
    pub(crate) must_write: bool,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name or address, or the folder of a socket.
    pub(crate) name: Option<String>,
    pub(crate) port: Option<u16>,
}

/// How the connection is protected; what is `None` is as the environment has it.
#[derive(Debug)]
pub(crate) struct PostgresTls {
    pub(crate) mode: Option<PgSslMode>,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) client: Option<ClientCertificate>,
}

pub(super) fn target(
    parts: &UrlParts<'_>,
    mut parameters: Parameters,
) -> Result<(PostgresTarget, Vec<Warning>), ConnectionError> {
    let mut warnings = Vec::new();
    let hosts = hosts(parts, &mut parameters)?;
    let from_parts = |part: Option<std::borrow::Cow<'_, str>>| {
        part.filter(|part| !part.is_empty())
            .map(|part| part.into_owned())
    };
    let username = parameters.take("user").map(|user| user.to_string());
    let username = username.or(from_parts(parts.username()?));
    let password = parameters.take("password");
    let password = password.map(|password| SecretString::from(password.to_string()));
    let database = parameters.take("dbname").map(|name| name.to_string());
    let database = database.or(from_parts(parts.database()?));
    let tls = take_tls(&mut parameters, &mut warnings)?;
    let settings = match parameters.take("options") {
        Some(options) => settings(&options).unwrap_or_else(|| {
            warnings.push(Warning::NotSupported("options"));
            Vec::new()
        }),
        None => Vec::new(),
    };
    let must_write = match parameters.take("target_session_attrs") {
        None => false,
        Some(wanted) => match wanted.as_str() {
            "any" => false,
            "read-write" | "primary" => true,
            _ => {
                return Err(ConnectionError::BadValue {
                    parameter: "target_session_attrs",
                    expected: "any, read-write or primary, as rows are to be changed",
                });
            }
        },
    };
    let target = PostgresTarget {
        hosts,
        username,
        password: password.or(parts.password()?),
        database: database.ok_or(ConnectionError::MissingDatabase)?,
        tls,
        settings,
        must_write,
    };
    parameters.drop_all(DRIVERS_OWN);
    warnings.extend(parameters.ignored());
    Ok((target, warnings))
}

/// The parameters `host` and `port` beat what stands before the database: SQLAlchemy takes
/// `host=a:5432&host=b:5432` and `host=a,b&port=5432,5432` apart (`_split_multihost_from_url`).
fn hosts(parts: &UrlParts<'_>, parameters: &mut Parameters) -> Result<Vec<Host>, ConnectionError> {
    let named = parameters.take_all("host");
    let addresses = parameters.take_all("hostaddr");
    let ports = parameters.take_all("port");
    let named = if addresses.is_empty() {
        &named
    } else {
        &addresses
    };
    let ports = ports.iter().flat_map(|ports| ports.split(','));
    let ports = ports.map(port).collect::<Result<Vec<_>, _>>()?;
    let own = parts.port()?;
    if named.is_empty() {
        let port = ports.first().copied().flatten().or(own);
        return Ok(vec![Host {
            name: parts.host.map(str::to_owned),
            port,
        }]);
    }
    let names = named.iter().flat_map(|names| names.split(','));
    let mut hosts = Vec::new();
    for (number, name) in names.enumerate() {
        let (name, with_it) = match name.rsplit_once(':') {
            // An IPv6 address is one without a port, and a folder may be called anything.
            Some((name, port)) if !name.contains(':') && !name.starts_with('/') => (name, port),
            _ => (name, ""),
        };
        let given = match ports.as_slice() {
            [] => own,
            [one] => *one,
            several => several.get(number).copied().flatten(),
        };
        hosts.push(Host {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            port: port(with_it)?.or(given),
        });
    }
    Ok(hosts)
}

fn port(text: &str) -> Result<Option<u16>, ConnectionError> {
    match text {
        "" => Ok(None),
        text => match text.parse() {
            Ok(0) | Err(_) => Err(ConnectionError::BadPort),
            Ok(port) => Ok(Some(port)),
        },
    }
}

fn take_tls(
    parameters: &mut Parameters,
    warnings: &mut Vec<Warning>,
) -> Result<PostgresTls, ConnectionError> {
    for unsupported in ["sslcrl", "sslcrldir", "sslpassword"] {
        if parameters.take(unsupported).is_some() {
            warnings.push(Warning::NotSupported(unsupported));
        }
    }
    let mode = parameters.take("sslmode");
    let mode = mode.map(|mode| mode.parse::<PgSslMode>()).transpose();
    let mode = mode.map_err(|_| ConnectionError::BadValue {
        parameter: "sslmode",
        expected: "one of disable, allow, prefer, require, verify-ca, verify-full",
    })?;
    let root = parameters.take("sslrootcert");
    let certificate = parameters.take("sslcert");
    let key = parameters.take("sslkey");
    if let Some(PgSslMode::Disable) = mode {
        return Ok(PostgresTls {
            mode,
            authorities: None,
            client: None,
        });
    }
    let authorities = match &root {
        Some(system) if system.as_str() == "system" => tls::system_authorities(),
        Some(path) => Some(tls::authorities("sslrootcert", path)?),
        None => in_home("root.crt"),
    };
    let key_file = key.as_ref().map(|key| PathBuf::from(key.as_str()));
    let key_file = key_file.or_else(|| in_home("postgresql.key"));
    let key_file = key_file.as_deref().and_then(Path::to_str);
    let client = match &certificate {
        Some(certificate) => Some(tls::client(["sslcert", "sslkey"], certificate, key_file)?),
        None => in_home("postgresql.crt")
            .as_deref()
            .and_then(Path::to_str)
            .map(|certificate| tls::client(["sslcert", "sslkey"], certificate, key_file))
            .transpose()?,
    };
    let mode = match mode {
        // As libpq has it, for the sake of files that are older than `verify-ca`.
        Some(PgSslMode::Require) if authorities.is_some() => Some(PgSslMode::VerifyCa),
        // Encrypted if the server can.
        Some(PgSslMode::Allow) => Some(PgSslMode::Prefer),
        mode => mode,
    };
    Ok(PostgresTls {
        mode,
        authorities,
        client,
    })
}

/// A file where libpq looks for it by itself, if it is there.
fn in_home(name: &str) -> Option<PathBuf> {
    let path = std::env::home_dir()?.join(".postgresql").join(name);
    path.exists().then_some(path)
}

/// `-c name=value`, `-cname=value` or `--name=value`, any number of them; `None` for anything else.
fn settings(options: &str) -> Option<Vec<(String, String)>> {
    let mut words = options.split_whitespace();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting,
            (None, Some("")) => words.next()?,
            (None, Some(setting)) => setting,
            (None, None) => return None,
        };
        let (name, value) = setting.split_once('=')?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

//! MariaDB and MySQL, as PyMySQL (pymysql/connections.py) or mysqlclient is told to connect.

use std::path::PathBuf;

use secrecy::SecretString;
use sqlx::mysql::MySqlSslMode;
use zeroize::Zeroizing;

use super::option_file::OptionFile;
use super::parameters::Parameters;
use super::tls::{self, ClientCertificate};
use super::url::UrlParts;
use super::{ConnectionError, Warning};

/// What has a meaning for Cinder's drivers, for oslo.db or for a session of Cinder's, and none here.
const DRIVERS_OWN: &[&str] = &[
    "autocommit",
    "binary_prefix",
    "client_flag",
    "collation",
    "compress",
    "connect_timeout",
    "init_command",
    "local_infile",
    "max_allowed_packet",
    "plugin",
    "program_name",
    "read_timeout",
    "server_public_key",
    "sql_mode",
    "ssl_cipher",
    "use_unicode",
    "write_timeout",
];

const SSL_MODES: &str = "one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY";

/// A MariaDB or MySQL database.
pub(crate) struct MySqlTarget {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) username: String,
    pub(crate) password: Option<SecretString>,
    pub(crate) database: String,
    pub(crate) charset: Charset,
    pub(crate) tls: MySqlTls,
}

/// How the connection is protected.
#[derive(Debug)]
pub(crate) struct MySqlTls {
    pub(crate) mode: MySqlSslMode,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) client: Option<ClientCertificate>,
}

/// The character set that the connection speaks. Both are UTF-8 to us; `utf8` is for servers and
/// proxies that know no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Utf8mb4,
}

/// They read the same parameters differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    PyMySql,
    MySqlDb,
}

/// The URL's parameters over the option file that they may name.
struct Options {
    driver: Driver,
    parameters: Parameters,
    file: OptionFile,
    group: String,
    warnings: Vec<Warning>,
}

pub(super) fn target(
    parts: &UrlParts<'_>,
    driver: Option<&str>,
    parameters: Parameters,
) -> Result<(MySqlTarget, Vec<Warning>), ConnectionError> {
    let driver = match driver {
        None | Some("mysqldb") => Driver::MySqlDb,
        Some(_) => Driver::PyMySql,
    };
    let mut options = Options::new(driver, parameters);
    let host = parts.host.map(str::to_owned);
    let host = host.or_else(|| options.in_file("host"));
    let port = match (parts.port()?, options.in_file("port")) {
        (Some(port), _) => port,
        (None, Some(port)) => port.parse().map_err(|_| ConnectionError::BadPort)?,
        (None, None) => 3306,
    };
    let username = parts.username()?.filter(|name| !name.is_empty());
    let username = username.map(|name| name.into_owned());
    let username = username.or_else(|| options.in_file("user"));
    let password = parts.password()?;
    let password = password.or_else(|| options.in_file("password").map(SecretString::from));
    let database = parts.database()?.map(|database| database.into_owned());
    let database = database.or_else(|| options.in_file("database"));
    let unix_socket = options.take("unix_socket", "socket");
    let charset = options.take_charset();
    let tls = options.take_tls()?;
    if options.take("bind_address", "bind-address").is_some() {
        options.warnings.push(Warning::NotSupported("bind_address"));
    }
    let target = MySqlTarget {
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        port,
        unix_socket: unix_socket.map(|path| PathBuf::from(path.as_str())),
        username: username.unwrap_or_default(),
        password,
        database: database.ok_or(ConnectionError::MissingDatabase)?,
        charset,
        tls,
    };
    Ok((target, options.done()))
}

impl Options {
    fn new(driver: Driver, mut parameters: Parameters) -> Self {
        let mut warnings = Vec::new();
        let group = parameters.take("read_default_group");
        let file = parameters.take("read_default_file");
        // A group alone means the system's file, for either driver.
        let file = match (file, &group) {
            (None, Some(_)) => Some(Zeroizing::new("/etc/my.cnf".to_owned())),
            (file, _) => file,
        };
        let file = file.map(|path| OptionFile::read(&path, &mut warnings));
        Self {
            driver,
            parameters,
            file: file.unwrap_or_default(),
            group: group.map_or_else(|| "client".to_owned(), |group| group.to_string()),
            warnings,
        }
    }

    /// What the option file says, unless that is nothing.
    fn in_file(&self, option: &str) -> Option<String> {
        self.said(option).map(|value| value.to_string())
    }

    fn said(&self, option: &str) -> Option<Zeroizing<String>> {
        let groups = match self.driver {
            Driver::PyMySql => vec![self.group.as_str()],
            Driver::MySqlDb => vec![self.group.as_str(), "client"],
        };
        let value = self.file.get(&groups, option);
        value.filter(|value| !value.is_empty())
    }

    /// The parameter, or else the option of the file.
    fn take(&mut self, parameter: &str, option: &str) -> Option<Zeroizing<String>> {
        self.parameters
            .take(parameter)
            .or_else(|| self.said(option))
    }

    fn take_charset(&mut self) -> Charset {
        let charset = self.take("charset", "default-character-set");
        match charset.as_ref().map(|charset| charset.as_str()) {
            None | Some("utf8mb4") => Charset::Utf8mb4,
            Some("utf8" | "utf8mb3") => Charset::Utf8,
            Some(_) => {
                self.warnings.push(Warning::CharsetIgnored);
                Charset::Utf8mb4
            }
        }
    }

    fn take_tls(&mut self) -> Result<MySqlTls, ConnectionError> {
        let authorities = self.take("ssl_ca", "ssl-ca");
        let certificate = self.take("ssl_cert", "ssl-cert");
        let key = self.take("ssl_key", "ssl-key");
        for (parameter, option) in [
            ("ssl_capath", "ssl-capath"),
            ("ssl_key_password", "ssl-password"),
        ] {
            if self.take(parameter, option).is_some() {
                self.warnings.push(Warning::NotSupported(parameter));
            }
        }
        let any = authorities.is_some() || certificate.is_some() || key.is_some();
        let mode = self.take_mode(authorities.is_some(), any)?;
        let verifies = matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
        let authorities = match authorities.filter(|_| verifies) {
            Some(path) => Some(tls::authorities("ssl_ca", &path)?),
            None if verifies => tls::system_authorities(),
            None => None,
        };
        let certificate = certificate.filter(|_| !matches!(mode, MySqlSslMode::Disabled));
        let client = match &certificate {
            Some(certificate) => {
                let key = key.as_ref().map(|key| key.as_str());
                Some(tls::client(["ssl_cert", "ssl_key"], certificate, key)?)
            }
            None => None,
        };
        Ok(MySqlTls {
            mode,
            authorities,
            client,
        })
    }

    /// PyMySQL checks chain and name where it has an authority, mysqlclient the chain; without one
    /// both only encrypt. Where authority and `ssl_verify_cert` are given PyMySQL forgets the
    /// authority and takes the system's, which is not repeated here.
    fn take_mode(
        &mut self,
        has_authorities: bool,
        any: bool,
    ) -> Result<MySqlSslMode, ConnectionError> {
        let disabled = self.parameters.take_truth("ssl_disabled");
        let identity = self.parameters.take_truth("ssl_verify_identity");
        let verify = self.parameters.take_truth("ssl_verify_cert");
        let hostname = self.parameters.take_truth("ssl_check_hostname");
        let named = self.parameters.take("ssl_mode");
        let asked_for = self.said_truth("ssl");
        let in_file = self.said_truth("ssl-verify-server-cert");
        if let Some(mode) = named {
            return mode.parse().map_err(|_| ConnectionError::BadValue {
                parameter: "ssl_mode",
                expected: SSL_MODES,
            });
        }
        let name_counts = match self.driver {
            Driver::PyMySql => hostname != Some(false),
            Driver::MySqlDb => in_file == Some(true),
        };
        Ok(match (identity, verify) {
            _ if disabled == Some(true) => MySqlSslMode::Disabled,
            (Some(true), _) => MySqlSslMode::VerifyIdentity,
            (_, Some(true)) if hostname == Some(true) => MySqlSslMode::VerifyIdentity,
            (_, Some(true)) => MySqlSslMode::VerifyCa,
            (_, Some(false)) => MySqlSslMode::Required,
            _ if has_authorities && name_counts => MySqlSslMode::VerifyIdentity,
            _ if has_authorities => MySqlSslMode::VerifyCa,
            _ if any || asked_for == Some(true) => MySqlSslMode::Required,
            _ => MySqlSslMode::Preferred,
        })
    }

    /// An option of the file without a value says yes.
    fn said_truth(&self, option: &str) -> Option<bool> {
        let groups = [self.group.as_str(), "client"];
        let value = self.file.get(&groups, option)?.to_ascii_lowercase();
        Some(!matches!(value.as_str(), "0" | "off" | "false"))
    }

    fn done(mut self) -> Vec<Warning> {
        self.parameters.drop_all(DRIVERS_OWN);
        self.warnings.extend(self.parameters.ignored());
        self.warnings
    }
}

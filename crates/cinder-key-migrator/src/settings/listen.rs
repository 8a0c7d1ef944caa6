//! `[key_migrator] listen`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where HTTP is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// `HOST:PORT`
    Tcp {
        /// A name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:PATH`
    Unix(PathBuf),
}

/// The text is neither form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadListen;

impl FromStr for Listen {
    type Err = BadListen;

    fn from_str(text: &str) -> Result<Self, BadListen> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(BadListen)
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadListen)?;
        let port = port.parse().map_err(|_| BadListen)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || bracketed.is_none() && host.contains([':', '[', ']', '/']) {
            return Err(BadListen);
        }
        let host = host.to_owned();
        Ok(Self::Tcp { host, port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_sockets_are_understood() {
        let tcp = |host: &str, port| Listen::Tcp {
            host: host.into(),
            port,
        };
        for (text, expected) in [
            ("127.0.0.1:18776", tcp("127.0.0.1", 18776)),
            ("localhost:0", tcp("localhost", 0)),
            ("[::1]:80", tcp("::1", 80)),
            ("unix:/run/m.sock", Listen::Unix("/run/m.sock".into())),
        ] {
            let listen: Listen = text.parse().expect("an address");
            assert_eq!(listen, expected);
            assert_eq!(listen.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "18776",
            ":18776",
            "host",
            "host:",
            "host:99999",
            "::1:80",
            "http://h:80",
            "unix:",
            "unix:m.sock",
        ] {
            assert_eq!(text.parse::<Listen>(), Err(BadListen), "{text}");
        }
    }
}

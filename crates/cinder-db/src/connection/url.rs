//! A database URL, taken apart as SQLAlchemy takes it apart (sqlalchemy/engine/url.py,
//! `_parse_url`), so that a password that works for Cinder works here.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::form_urlencoded;

use super::ConnectionError;

/// The parts of a URL as SQLAlchemy's regular expression finds them: `/`, `#` and `?` may stand
/// unescaped in a password, `@` in a user name.
pub(super) struct UrlParts<'u> {
    pub(super) dialect: &'u str,
    username: Option<&'u str>,
    password: Option<&'u str>,
    pub(super) host: Option<&'u str>,
    port: Option<&'u str>,
    database: Option<&'u str>,
    query: &'u str,
}

impl<'u> UrlParts<'u> {
    pub(super) fn split(url: &'u str) -> Result<Self, ConnectionError> {
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

    pub(super) fn username(&self) -> Result<Option<Cow<'u, str>>, ConnectionError> {
        self.username.map(unquote).transpose()
    }

    pub(super) fn password(&self) -> Result<Option<SecretString>, ConnectionError> {
        let password = self.password.map(unquote).transpose()?;
        Ok(password.map(|password| SecretString::from(password.into_owned())))
    }

    pub(super) fn port(&self) -> Result<Option<u16>, ConnectionError> {
        match self.port.filter(|port| !port.is_empty()) {
            None => Ok(None),
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => Err(ConnectionError::BadPort),
                Ok(port) => Ok(Some(port)),
            },
        }
    }

    pub(super) fn database(&self) -> Result<Option<Cow<'u, str>>, ConnectionError> {
        let database = self.database.filter(|database| !database.is_empty());
        database.map(unquote).transpose()
    }

    /// SQLAlchemy drops parameters without a value (`parse_qsl`).
    pub(super) fn parameters(
        &self,
    ) -> impl Iterator<Item = (Cow<'u, str>, Cow<'u, str>)> + use<'u> {
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

//! A `cinder.conf` as a deployment would write it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cloud::{Cloud, User};
use crate::database::CinderDatabase;
use crate::free_port::free_port;

/// The fixed key that [`CinderConf`] has unless a test says otherwise, 32 bytes in hexadecimal.
pub const FIXED_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A configuration whose every option can be set, replaced or removed.
#[derive(Clone, Debug)]
pub struct CinderConf {
    /// Sections by name, `DEFAULT` among them.
    sections: BTreeMap<String, BTreeMap<String, String>>,
    port: u16,
}

impl CinderConf {
    /// What Cinder needs on `host1` with the one backend `lvm`, to migrate [`FIXED_KEY`] to this
    /// cloud's Barbican as this user; the program listens on a free port of its own.
    ///
    /// # Errors
    ///
    /// When no TCP port is free.
    pub fn new(cloud: &impl Cloud, user: &User, database: &CinderDatabase) -> Result<Self> {
        let port = free_port()?;
        let conf = Self {
            sections: BTreeMap::new(),
            port,
        }
        .host("host1")
        .backends(&["lvm"])
        .set("database", "connection", database.connection_url())
        .set("key_manager", "backend", "barbican")
        .set("key_manager", "fixed_key", FIXED_KEY)
        .set("barbican", "auth_endpoint", &cloud.auth_url())
        .set("barbican", "barbican_endpoint", &cloud.barbican_endpoint())
        .set("barbican", "barbican_region_name", &cloud.region_name())
        .set("key_migrator", "listen", &format!("127.0.0.1:{port}"));
        Ok(conf.user(&cloud.auth_url(), user))
    }

    /// Sets the host.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.set("DEFAULT", "host", host)
    }

    /// Sets the enabled backends.
    #[must_use]
    pub fn backends(self, names: &[&str]) -> Self {
        let conf = self.set("DEFAULT", "enabled_backends", &names.join(","));
        names.iter().fold(conf, |conf, name| {
            conf.set(name, "volume_backend_name", name)
        })
    }

    /// Makes the program log in as this user.
    #[must_use]
    pub fn user(self, auth_url: &str, user: &User) -> Self {
        let options = [
            ("auth_type", "password"),
            ("auth_url", auth_url),
            ("username", &user.username),
            ("password", &user.password),
            ("user_domain_name", &user.user_domain_name),
            ("project_name", &user.project_name),
            ("project_domain_name", &user.project_domain_name),
        ];
        options.into_iter().fold(self, |conf, (option, value)| {
            conf.set("keystone_authtoken", option, value)
        })
    }

    /// Sets one option.
    #[must_use]
    pub fn set(mut self, section: &str, option: &str, value: &str) -> Self {
        let section = self.sections.entry(section.to_owned()).or_default();
        section.insert(option.to_owned(), value.to_owned());
        self
    }

    /// Removes one option.
    #[must_use]
    pub fn unset(mut self, section: &str, option: &str) -> Self {
        if let Some(section) = self.sections.get_mut(section) {
            section.remove(option);
        }
        self
    }

    /// The file's text; a `$` in a value is doubled, as oslo.config wants it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (section, options) in &self.sections {
            writeln!(text, "[{section}]").expect("a String can always be written to");
            for (option, value) in options {
                writeln!(text, "{option} = {}", value.replace('$', "$$"))
                    .expect("a String can always be written to");
            }
        }
        text
    }

    /// Where the program that reads this file will listen.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes the file into a folder, which becomes `state_path` unless that is set.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_to(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("cinder.conf");
        let mut conf = self.clone();
        let default = conf.sections.entry("DEFAULT".to_owned()).or_default();
        default
            .entry("state_path".to_owned())
            .or_insert_with(|| folder.display().to_string());
        write_closed(&path, &conf.text())?;
        Ok(path)
    }
}

/// Writes a configuration file as deployments do: only its owner and group can read it.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_closed(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    Ok(set_permissions(path, Permissions::from_mode(0o640))?)
}

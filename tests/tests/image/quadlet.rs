//! A quadlet that is shipped, as the `podman run` that it stands for. Debian's podman has none yet.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use key_migrator_tests::deploy::{self, Options};

/// Newer than Debian's podman, which refuses it.
const NEWER: &str = "HealthOnFailure";

pub(crate) struct Quadlet {
    options: Options,
}

impl Quadlet {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let options = deploy::options_in(path, "Container")?;
        Ok(Self { options })
    }

    fn one(&self, key: &str) -> Result<&str> {
        match self.options.get(key).map(Vec::as_slice) {
            Some([value]) => Ok(value),
            values => bail!("{key} is {values:?}"),
        }
    }

    pub(crate) fn name(&self) -> Result<&str> {
        self.one("ContainerName")
    }

    pub(crate) fn image(&self) -> Result<&str> {
        self.one("Image")
    }

    /// Gives the container what it may read: as its user's own, or where it has root's group, as
    /// kolla-ansible's files, as root's.
    pub(crate) fn hand_over(&self, path: &Path) -> Result<()> {
        let (user, group) = (self.one("User")?.parse()?, self.one("Group")?.parse()?);
        let user = if group == 0 { 0 } else { user };
        Ok(chown(path, Some(user), Some(group))?)
    }

    /// Makes the folders and files of the host that the container sees, below a folder, and says
    /// where `cinder.conf` is to be.
    pub(crate) fn lay_out(&self, host: &Path) -> Result<PathBuf> {
        let mut cinder = None;
        for (source, target) in self.mounts()? {
            let path = host.join(source.trim_start_matches('/'));
            if source.ends_with(".crt") || source == "/etc/hosts" || source == "/etc/localtime" {
                std::fs::create_dir_all(path.parent().context("a folder")?)?;
                std::fs::write(&path, std::fs::read(source).unwrap_or_default())?;
                continue;
            }
            std::fs::create_dir_all(&path)?;
            self.hand_over(&path)?;
            if target == "/etc/cinder" {
                cinder = Some(path);
            }
        }
        cinder.context("no folder becomes /etc/cinder")
    }

    /// Folders and files of the host: where they are, and where the container sees them.
    fn mounts(&self) -> Result<Vec<(&str, &str)>> {
        let volumes = self.options.get("Volume").context("no Volume")?;
        let paths = volumes.iter().filter(|volume| volume.starts_with('/'));
        let pairs = paths.map(|volume| {
            let (source, rest) = volume.split_once(':').context("a target")?;
            Ok((source, rest.split(':').next().unwrap_or(rest)))
        });
        pairs.collect()
    }

    /// The arguments of `podman`, with this environment besides.
    pub(crate) fn arguments(&self, host: &Path, environment: &str) -> Result<Vec<String>> {
        let mut run = vec!["run".to_owned(), "--detach".to_owned()];
        for (key, values) in &self.options {
            for value in values {
                match (key.as_str(), value.as_str()) {
                    ("ContainerName", name) => run.push(format!("--name={name}")),
                    ("User", user) => {
                        run.push(format!("--user={user}:{}", self.one("Group")?));
                    }
                    ("Network", network) => run.push(format!("--network={network}")),
                    ("ReadOnly", value) => run.push(format!("--read-only={value}")),
                    ("NoNewPrivileges", "true") => {
                        run.push("--security-opt=no-new-privileges".to_owned());
                    }
                    ("DropCapability", dropped) => run.push(format!("--cap-drop={dropped}")),
                    ("Ulimit", limit) => run.push(format!("--ulimit={limit}")),
                    ("Environment", variable) => run.push(format!("--env={variable}")),
                    ("Volume", volume) if volume.starts_with('/') => {
                        run.push(format!("--volume={}{volume}", host.display()));
                    }
                    ("Volume", volume) => run.push(format!("--volume={volume}")),
                    ("Notify", "true") => run.push("--sdnotify=container".to_owned()),
                    ("HealthCmd", command) => run.push(format!("--health-cmd={command}")),
                    ("HealthInterval", time) => run.push(format!("--health-interval={time}")),
                    ("HealthTimeout", time) => run.push(format!("--health-timeout={time}")),
                    ("HealthRetries", times) => run.push(format!("--health-retries={times}")),
                    ("HealthStartPeriod", time) => {
                        run.push(format!("--health-start-period={time}"));
                    }
                    ("StopTimeout", time) => run.push(format!("--stop-timeout={time}")),
                    (NEWER | "Group" | "Image" | "Exec", _) => {}
                    _ => bail!("{key} = {value} is not known here"),
                }
            }
        }
        run.push(format!("--env={environment}"));
        run.push(self.image()?.to_owned());
        run.extend(self.one("Exec")?.split_whitespace().map(str::to_owned));
        Ok(run)
    }
}

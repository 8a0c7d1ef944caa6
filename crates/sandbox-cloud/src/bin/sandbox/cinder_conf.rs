//! A cinder.conf as a deployment writes it, for one host of the cloud.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sandbox_cloud::cinder::Host;
use secrecy::ExposeSecret;

use crate::stage::Stage;

/// Seconds between passes: short, so that nobody waits for the story.
pub(crate) const INTERVAL: u64 = 2;

/// Writes the host's cinder.conf, readable by its owner only, and makes the
/// directory that `state_path` names.
pub(crate) fn write(
    stage: &Stage,
    host: &Host,
    port: u16,
    extra_hosts: &[&str],
) -> anyhow::Result<PathBuf> {
    let state_path = stage.dir().join(host.name);
    std::fs::create_dir_all(&state_path).context("cannot make the state directory")?;
    let path = stage.dir().join(format!("{}.cinder.conf", host.name));
    let text = text(stage, host, port, extra_hosts, &state_path);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn text(stage: &Stage, host: &Host, port: u16, extra_hosts: &[&str], state_path: &Path) -> String {
    let Host {
        name,
        backend,
        cluster,
        ..
    } = host;
    let cluster = cluster.map_or_else(String::new, |cluster| format!("cluster = {cluster}\n"));
    let extra_hosts = match extra_hosts {
        [] => String::new(),
        hosts => format!("extra_hosts = {}\n", hosts.join(",")),
    };
    let (cinder, service) = (stage.cinder(), stage.service());
    let mut conf = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        conf,
        "[DEFAULT]\n\
         host = {name}\n\
         {cluster}\
         enabled_backends = {backend}\n\
         state_path = {state_path}\n\
         \n\
         [{backend}]\n\
         volume_backend_name = {backend}\n\
         \n\
         [database]\n\
         connection = {connection}\n\
         \n\
         [key_manager]\n\
         backend = barbican\n\
         fixed_key = {fixed_key}\n\
         \n\
         [keystone_authtoken]\n\
         auth_type = password\n\
         auth_url = {auth_url}\n\
         username = {username}\n\
         password = {password}\n\
         user_domain_name = Default\n\
         project_name = {project}\n\
         project_domain_name = Default\n\
         \n\
         [barbican]\n\
         barbican_endpoint_type = internal\n\
         barbican_region_name = {region}\n\
         \n\
         [key_migrator]\n\
         interval = {INTERVAL}\n\
         listen = 127.0.0.1:{port}\n\
         {extra_hosts}",
        state_path = state_path.display(),
        connection = stage.database().connection(),
        fixed_key = hex::encode(stage.fixed_key()),
        auth_url = stage.cloud().keystone_url(),
        username = cinder.name,
        password = cinder.password.expose_secret(),
        project = service.name,
        region = stage.cloud().region_name(),
    );
    conf
}

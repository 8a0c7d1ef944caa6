//! The section of each enabled backend: which names Cinder's volume service writes into `host` and
//! `cluster_name` (cinder/cmd/volume.py, `_launch_service`).

use key_migration::rows::Backend;
use oslo_config::{Config, Opt};

use super::Faults;
use super::default::DefaultSection;

const BACKEND_HOST: Opt<Option<String>> = Opt::string("", "backend_host");

/// The backends in the order of `enabled_backends`, each once.
pub(super) fn read(
    conf: &mut Config,
    default: &DefaultSection,
    faults: &mut Faults,
) -> Vec<Backend> {
    let mut backends = Vec::new();
    for name in &default.enabled_backends {
        let option = BACKEND_HOST.in_group(name);
        conf.register(&option);
        let Some(backend_host) = faults.check(conf.get(&option)) else {
            continue;
        };
        let host = backend_host.filter(|host| !host.is_empty());
        let host = host.as_deref().unwrap_or(&default.host);
        let backend = Backend {
            host: format!("{host}@{name}"),
            cluster: default
                .cluster
                .as_ref()
                .map(|cluster| format!("{cluster}@{name}")),
        };
        if !backends.contains(&backend) {
            backends.push(backend);
        }
    }
    backends
}

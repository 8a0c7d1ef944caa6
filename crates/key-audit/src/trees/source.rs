//! Where a configuration comes from: what generates it would put the option back.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::editing::text;

/// What has written a file, as far as its place and its text tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// kolla-ansible, or a container of it.
    Kolla,
    /// Puppet in TripleO.
    TripleO,
    /// A Secret or ConfigMap of openstack-k8s-operators.
    KubernetesOperator,
    /// Any other mounted Secret or ConfigMap.
    Kubernetes,
    /// OpenStack-Ansible.
    OpenStackAnsible,
    /// A charm.
    Juju,
}

impl Source {
    /// What must be changed there too.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Kolla => {
                "kolla-ansible writes it: remove fixed_key also from /etc/kolla/config (cinder.conf, \
                 nova.conf, cinder/*.conf, nova/*.conf; node_custom_config) on the deployment host"
            }
            Self::TripleO => {
                "puppet writes it: remove key_manager/fixed_key also from the ExtraConfig \
                 (cinder_config, nova_config) of the Heat environment files, or from the hieradata"
            }
            Self::KubernetesOperator => {
                "an operator writes it: remove fixed_key also from customServiceConfig (or the \
                 Secrets of customServiceConfigSecrets) of the OpenStackControlPlane and of the \
                 OpenStackDataPlaneNodeSet's services"
            }
            Self::Kubernetes => {
                "it is mounted from a Secret or ConfigMap: remove fixed_key there; with \
                 openstack-helm from the values conf.cinder.key_manager.fixed_key and \
                 conf.nova.key_manager.fixed_key"
            }
            Self::OpenStackAnsible => {
                "OpenStack-Ansible writes it: remove fixed_key also from cinder_cinder_conf_overrides \
                 and nova_nova_conf_overrides in /etc/openstack_deploy"
            }
            Self::Juju => {
                "Juju writes it: remove fixed_key also from the charm's config-flags \
                 (`juju config cinder config-flags`)"
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice())
    }
}

/// Guesses what a file is made from, by the path that it was named by and by its text.
#[must_use]
pub fn source_of(path: &Path) -> Option<Source> {
    let content = std::fs::read(path).unwrap_or_default();
    source(path, &text(&Zeroizing::new(content)))
}

/// As [`source_of`], of a file that was read.
pub(super) fn source(path: &Path, text: &str) -> Option<Source> {
    let canonical = path.canonicalize();
    let canonical = canonical.as_deref().unwrap_or(path);
    let lies_in = |part: &str| {
        let within = |path: &Path| format!("{}/", path.display()).contains(part);
        within(path) || within(canonical)
    };
    let is_volume = canonical.iter().any(is_hidden_volume) || lies_in("/volumes/kubernetes.io~");
    if is_volume {
        let of_operator = lies_in("/cinder.conf.d/") || lies_in("/nova.conf.d/");
        let numbered = path.file_name().is_some_and(|name| {
            name.to_string_lossy()
                .starts_with(|c: char| c.is_ascii_digit())
        });
        return Some(match of_operator || numbered {
            true => Source::KubernetesOperator,
            false => Source::Kubernetes,
        });
    }
    if lies_in("/var/lib/config-data/") || lies_in("/puppet-generated/") {
        return Some(Source::TripleO);
    }
    if lies_in("/etc/kolla/") || lies_in("/var/lib/kolla/") {
        return Some(Source::Kolla);
    }
    // The first lines say who maintains the file.
    let head: String = text.lines().take(12).collect::<Vec<_>>().join("\n");
    if head.contains("maintained by Juju") {
        Some(Source::Juju)
    } else if head.to_lowercase().contains("ansible managed") {
        Some(Source::OpenStackAnsible)
    } else {
        by_host(canonical)
    }
}

/// A folder that the names in a volume of Kubernetes are links into.
fn is_hidden_volume(part: &OsStr) -> bool {
    part.len() > 2 && part.as_bytes().starts_with(b"..")
}

/// What is on the host beside a file in `/etc`.
fn by_host(path: &Path) -> Option<Source> {
    if !path.starts_with("/etc") {
        return None;
    }
    let there = |path: &str| Path::new(path).exists();
    if there("/var/lib/kolla/config_files/config.json") {
        Some(Source::Kolla)
    } else if there("/etc/ansible/facts.d/openstack_ansible.fact") {
        Some(Source::OpenStackAnsible)
    } else {
        None
    }
}

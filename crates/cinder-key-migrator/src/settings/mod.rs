//! From configuration files to the types that the rest of the program works with. Options are
//! looked at here, once, and nowhere else; one file for each section.

mod audit;
mod backends;
mod backup;
mod barbican;
mod database;
mod default;
mod faults;
mod glance;
mod inspection;
mod key_manager;
mod key_migrator;
mod keystone_authtoken;
mod listen;
mod nova;
mod permissions;
mod records;
mod session;
#[cfg(test)]
mod tests;
mod verification;

use std::path::PathBuf;

use key_migration::ids::Service;
use key_migration::rows::{Backend, Scope};
use key_migration::settings::Settings;
use openstack_client::{BarbicanConfig, KeystoneConfig};
use oslo_config::{Config, Environment, Input, Opt, OptionError, Registry, Search, Sources};

pub(crate) use self::audit::{AuditConfig, read_audit};
pub(crate) use self::default::kernel_hostname;
use self::default::{DefaultSection, Machine};
pub(crate) use self::faults::Faults;
pub(crate) use self::inspection::{
    Deletions, Inspection, Keys, inspect, inspect_file, inspect_nova,
};
use self::key_manager::KeyManagerSection;
use self::key_migrator::KeyMigratorSection;
pub(crate) use self::listen::Listen;
pub(crate) use self::permissions::Exposed;
pub(crate) use self::records::{Records, Stores, read_stores};
pub(crate) use self::verification::{Verification, read_verification};
use crate::logging::LogConfig;

/// Where to read, and what the command line says beside it. Kept, to read again on SIGHUP.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `--config-file` and `--config-dir`, in their order.
    pub(crate) inputs: Vec<Input>,
    /// `--service`; empty for what `[key_migrator] services` says.
    pub(crate) services: Vec<Service>,
}

/// Everything that is configured.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// `[DEFAULT] host`
    pub(crate) host: String,
    /// What is logged, and where.
    pub(crate) log: LogConfig,
    /// Where HTTP is served.
    pub(crate) listen: Listen,
    /// Where the ledger is kept.
    pub(crate) state_dir: PathBuf,
    /// The services that `--service`, or else `[key_migrator] services`, names.
    pub(crate) asked_for: Vec<Service>,
    /// What each service's loop is told: of those asked for, or of those that run already.
    pub(crate) services: Vec<Settings>,
    /// Cinder's database.
    pub(crate) connection: cinder_db::ConnectionConfig,
    /// Barbican, where any request will be sent to it.
    pub(crate) key_manager: Option<KeyManagerConfig>,
    /// What is odd but harmless, one line each.
    pub(crate) warnings: Vec<String>,
    /// Every option as it was read, one line each, without secrets.
    pub(crate) options: Vec<String>,
}

/// What it takes to talk to Barbican.
#[derive(Debug)]
pub(crate) struct KeyManagerConfig {
    pub(crate) keystone: KeystoneConfig,
    pub(crate) barbican: BarbicanConfig,
}

/// Reads everything.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(origin: &Origin) -> Result<Configuration, Faults> {
    read_with(origin, &[], sources(origin), &Machine::this())
}

/// Reads everything again for the services that run, whichever are asked for by now: one that was
/// taken off the list runs until a restart, and must hear of `paused` or a new key all the same.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_again(origin: &Origin, running: &[Service]) -> Result<Configuration, Faults> {
    read_with(origin, running, sources(origin), &Machine::this())
}

/// Reads where HTTP is served, and nothing else: whether the daemon answers can be asked although
/// another option is at fault.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_listen(origin: &Origin) -> Result<Listen, Faults> {
    let conf = load(&sources(origin), &Machine::this())?;
    let mut faults = Faults::none();
    let listen = key_migrator::read_listen(&conf, &mut faults);
    faults.unless_any(listen)
}

fn read_with(
    origin: &Origin,
    running: &[Service],
    sources: Sources,
    machine: &Machine,
) -> Result<Configuration, Faults> {
    let mut conf = load(&sources, machine)?;
    let mut faults = Faults::none();
    let configuration = translate(&mut conf, origin, running, machine, &mut faults);
    faults.unless_any(configuration)
}

/// The files that Cinder's own service would find, unless the command line names others.
fn sources(origin: &Origin) -> Sources {
    let program = match origin.services.as_slice() {
        [Service::Backup] => "cinder-backup",
        _ => "cinder-volume",
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    Sources {
        inputs: origin.inputs.clone(),
        search: Search::new("cinder", program, home),
        environment: Environment::new(std::env::vars_os()),
    }
}

fn load(sources: &Sources, machine: &Machine) -> Result<Config, Faults> {
    let mut registry = Registry::default();
    default::register(&mut registry, machine);
    database::register(&mut registry);
    key_manager::register(&mut registry);
    key_migrator::register(&mut registry);
    keystone_authtoken::register(&mut registry);
    barbican::register(&mut registry);
    Config::load(sources, registry).map_err(Faults::one)
}

/// Every section is read although another one is at fault, so that all faults are found at once.
fn translate(
    conf: &mut Config,
    origin: &Origin,
    running: &[Service],
    machine: &Machine,
    faults: &mut Faults,
) -> Option<Configuration> {
    let default = default::read(conf, machine, faults);
    let key_manager = key_manager::read(conf, faults);
    let key_migrator = key_migrator::read(conf, faults);
    let listen = key_migrator::read_listen(conf, faults);
    let database = database::read(conf, faults);
    let needs_barbican = key_manager
        .as_ref()
        .is_some_and(KeyManagerSection::needs_barbican);
    let barbican = needs_barbican.then(|| read_key_manager_config(conf, machine, faults));
    let default = default?;
    let backends = backends::read(conf, &default, faults);
    let database = database?;
    let sections = (default, key_manager?, key_migrator?);
    let asked_for = match origin.services.as_slice() {
        [] => sections.2.services.clone(),
        named => named.to_owned(),
    };
    let running = if running.is_empty() {
        &asked_for
    } else {
        running
    };
    Some(Configuration {
        services: services(running, &sections, &backends),
        asked_for,
        host: sections.0.host,
        log: sections.0.log,
        listen: listen?,
        state_dir: sections.2.state_dir,
        connection: database.connection,
        key_manager: match barbican {
            Some(config) => Some(config?),
            None => None,
        },
        warnings: warnings(
            conf,
            sections.1.warning().into_iter().chain(database.warnings),
        ),
        options: conf.settings().map(|setting| setting.to_string()).collect(),
    })
}

/// What is odd but harmless: what the sections tell, and secrets that everybody can read.
fn warnings(conf: &Config, of_sections: impl Iterator<Item = String>) -> Vec<String> {
    let exposed = permissions::read(conf).into_iter();
    let exposed = exposed.map(|it| format!("{it}; {}", it.remedy()));
    of_sections.chain(exposed).collect()
}

fn read_key_manager_config(
    conf: &mut Config,
    machine: &Machine,
    faults: &mut Faults,
) -> Option<KeyManagerConfig> {
    let session = keystone_authtoken::read_session(conf, machine, faults);
    let keystone = keystone_authtoken::read(conf, session.as_ref(), faults);
    let barbican = barbican::read(conf, session.as_ref(), machine, faults);
    Some(KeyManagerConfig {
        keystone: keystone?,
        barbican: barbican?,
    })
}

fn services(
    services: &[Service],
    (default, key_manager, own): &(DefaultSection, KeyManagerSection, KeyMigratorSection),
    backends: &[Backend],
) -> Vec<Settings> {
    let settings = |&service: &Service| Settings {
        service,
        backend: key_manager.backend.clone(),
        fixed_key: key_manager.fixed_key.clone(),
        scope: scope(service, &default.host, backends, &own.extra_hosts),
        interval: own.interval,
        summary_interval: own.summary_interval,
        max_concurrency: own.max_concurrency,
        unknown_outcome_wait: own.unknown_outcome_wait,
        max_rate: own.max_rate,
        paused: own.paused,
        extra_acl_users: own.extra_acl_users.clone(),
        service_down_time: default.service_down_time,
    };
    services.iter().map(settings).collect()
}

/// Whose rows a service takes. Of `extra_hosts`, those with an `@` are backends of the volume
/// service and the others hosts of the backup service, as their rows have it.
fn scope(
    service: Service,
    host: &str,
    backends: &[Backend],
    extra_hosts: &[String],
) -> Option<Scope> {
    let extra = extra_hosts.iter();
    match service {
        Service::Backup => {
            let extra = extra.filter(|extra| !extra.contains('@') && *extra != host);
            let hosts = std::iter::once(host.to_owned()).chain(extra.cloned());
            Some(Scope::Backups(hosts.collect()))
        }
        Service::Volume => {
            let extra = extra
                .filter(|extra| extra.contains('@'))
                .map(|host| Backend {
                    host: host.clone(),
                    cluster: None,
                });
            let extra = extra.filter(|extra| !backends.iter().any(|own| own.host == extra.host));
            let all: Vec<_> = backends.iter().cloned().chain(extra).collect();
            (!all.is_empty()).then_some(Scope::Volumes(all))
        }
    }
}

/// A URL of a service that is spoken to over HTTP.
fn url(
    conf: &Config,
    option: &Opt<'_, Option<String>>,
    value: &str,
) -> Result<::url::Url, OptionError> {
    let url = value.parse().ok();
    url.filter(|url: &::url::Url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            conf.fault(
                option,
                "expected a URL that begins with http:// or https://",
            )
        })
}

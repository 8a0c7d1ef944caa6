//! A configuration as `check` looks at it: whatever can be read is read, although something else is
//! at fault.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use key_migration::fixed_key::FixedKey;
use key_migration::ids::{Service, UserId};
use key_migration::rows::Scope;
use key_migration::settings::KeyManagerBackend;
use oslo_config::{Config, Environment, Input, Registry, Search, Sources};

use super::default::Machine;
use super::{
    Exposed, Faults, KeyManagerConfig, Origin, backends, database, default, key_manager,
    key_migrator, keystone_authtoken, load, permissions, read_key_manager_config, scope, sources,
};

/// What could be read; what is `None` is at fault, or cannot be read for what is.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// The files that were read, the ones that win last.
    pub(crate) files: Vec<PathBuf>,
    /// Of those, the ones with secrets that everybody can read.
    pub(crate) exposed: Vec<Exposed>,
    /// Everything that is wrong, one line each with file, line and option.
    pub(crate) faults: Vec<String>,
    /// What is odd but harmless, one line each.
    pub(crate) warnings: Vec<String>,
    /// `[key_manager]`
    pub(crate) keys: Option<Keys>,
    /// Where and how to sign in, and where Barbican is.
    pub(crate) key_manager: Option<KeyManagerConfig>,
    /// Cinder's database.
    pub(crate) connection: Option<cinder_db::ConnectionConfig>,
    /// `[key_migrator] state_dir`
    pub(crate) state_dir: Option<PathBuf>,
    /// Whether Cinder will be able to delete secrets.
    pub(crate) deletions: Option<Deletions>,
    /// The rows of each service that is asked for; the volume service has none without backends.
    pub(crate) scopes: Vec<(Service, Option<Scope>)>,
    /// `[key_migrator] extra_acl_users`
    pub(crate) extra_acl_users: Vec<UserId>,
    /// `[DEFAULT] service_down_time`
    pub(crate) service_down_time: Duration,
}

/// `[key_manager]` of Cinder or Nova.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// What the backend is taken for.
    pub(crate) backend: KeyManagerBackend,
    /// The backend as it is written, and where.
    pub(crate) backend_named: (String, String),
    /// The fixed key, and where it is set.
    pub(crate) fixed_key: Option<(Arc<FixedKey>, String)>,
}

/// What Cinder needs to delete a migrated secret when its owner deletes the volume.
#[derive(Debug)]
pub(crate) struct Deletions {
    /// Options that `[keystone_authtoken]` itself does not have.
    pub(crate) missing: Vec<&'static str>,
    /// Whether `auth_section` moves them.
    pub(crate) elsewhere: bool,
    /// Whether `auth_type` is an application credential.
    pub(crate) by_application_credential: bool,
}

/// Reads everything that can be read.
pub(crate) fn inspect(origin: &Origin) -> Inspection {
    let machine = Machine::this();
    let mut conf = match load(&sources(origin), &machine) {
        Ok(conf) => conf,
        Err(faults) => return Inspection::of(faults),
    };
    let mut faults = Faults::none();
    let default = default::read(&conf, &machine, &mut faults);
    let own = key_migrator::read(&conf, &mut faults);
    let database = database::read(&conf, &mut faults);
    let keys = read_keys(&conf, &mut faults);
    let key_manager = read_key_manager_config(&mut conf, &machine, &mut faults);
    let deletions = faults.check(keystone_authtoken::read_deletions(&conf));
    let mut found = Inspection {
        files: conf.files().to_owned(),
        exposed: permissions::read(&conf),
        keys,
        key_manager,
        deletions,
        ..Inspection::default()
    };
    if let Some(database) = database {
        found.connection = Some(database.connection);
        found.warnings = database.warnings;
    }
    if let Some(default) = &default {
        found.service_down_time = default.service_down_time;
    }
    if let (Some(default), Some(own)) = (default, own) {
        let backends = backends::read(&mut conf, &default, &mut faults);
        let asked_for = match origin.services.as_slice() {
            [] => &own.services,
            named => named,
        };
        let of = |service| scope(service, &default.host, &backends, &own.extra_hosts);
        found.scopes = asked_for.iter().map(|&it| (it, of(it))).collect();
        found.state_dir = Some(own.state_dir);
        found.extra_acl_users = own.extra_acl_users;
    }
    found.faults = faults.lines().to_owned();
    found
}

/// Reads `[key_manager]` of one file alone.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn inspect_file(file: PathBuf) -> Result<Keys, Faults> {
    let nowhere = PathBuf::from("/nonexistent");
    let search = Search::new("none", "none", None).etc(nowhere);
    read_alone(vec![Input::File(file)], search).map(|(keys, _)| keys)
}

/// Reads `[key_manager]` of these files, or of those that nova-compute finds, and says which those
/// are; `None` where it finds none. The environment is not looked at: it is not Nova's.
///
/// # Errors
/// Everything that is wrong with them.
pub(crate) fn inspect_nova(files: &[PathBuf]) -> Result<Option<(Keys, Vec<PathBuf>)>, Faults> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let search = Search::new("nova", "nova-compute", home);
    let inputs = files.iter().cloned().map(Input::File).collect();
    let read = read_alone(inputs, search)?;
    Ok((!read.1.is_empty()).then_some(read))
}

fn read_alone(inputs: Vec<Input>, search: Search) -> Result<(Keys, Vec<PathBuf>), Faults> {
    let mut registry = Registry::default();
    key_manager::register(&mut registry);
    let sources = Sources {
        inputs,
        search,
        environment: Environment::default(),
    };
    let conf = Config::load(&sources, registry).map_err(Faults::one)?;
    let mut faults = Faults::none();
    let keys = read_keys(&conf, &mut faults);
    let keys = faults.unless_any(keys)?;
    Ok((keys, conf.files().to_owned()))
}

fn read_keys(conf: &Config, faults: &mut Faults) -> Option<Keys> {
    let section = key_manager::read(conf, faults)?;
    let place = key_manager::place_of_fixed_key(conf);
    Some(Keys {
        backend: section.backend,
        backend_named: key_manager::name_of_backend(conf)?,
        fixed_key: section.fixed_key.map(|key| (key, place)),
    })
}

impl Inspection {
    /// Of files that cannot be read at all.
    fn of(faults: Faults) -> Self {
        Self {
            faults: faults.lines().to_owned(),
            ..Self::default()
        }
    }
}

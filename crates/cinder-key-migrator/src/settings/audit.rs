//! What `fixed-key audit` needs of the configuration: everything where a key may be.

use std::path::PathBuf;
use std::sync::Arc;

use key_audit::ephemeral_disks::Cell;
use key_audit::stores::StoreConfig;
use key_migration::fixed_key::FixedKey;
use openstack_client::{GlanceConfig, KeystoneConfig};

use super::default::Machine;
use super::{
    Faults, Origin, Records, backup, database, default, glance, key_manager, key_migrator,
    keystone_authtoken, load, nova, sources,
};

/// What it takes to look at everything that may still need the fixed key.
pub(crate) struct AuditConfig {
    /// The rows.
    pub(crate) records: Records,
    /// How to sign in.
    pub(crate) keystone: KeystoneConfig,
    /// Where images are.
    pub(crate) glance: GlanceConfig,
    /// Where backups are.
    pub(crate) backups: StoreConfig,
    /// The cells of Nova whose files were given.
    pub(crate) cells: Vec<Cell>,
    /// `[key_manager] fixed_key`, where this host still has it.
    pub(crate) fixed_key: Option<Arc<FixedKey>>,
    /// Every option of this host as it was read, one line each; secrets are not shown.
    pub(crate) options: Vec<String>,
}

/// Reads what the audit looks at: this host's cinder.conf, and the `nova.conf` of each cell.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read_audit(origin: &Origin, nova: &[PathBuf]) -> Result<AuditConfig, Faults> {
    let machine = Machine::this();
    let mut conf = load(&sources(origin), &machine)?;
    let mut faults = Faults::none();
    let default = default::read(&conf, &machine, &mut faults);
    let own = key_migrator::read(&conf, &mut faults);
    let database = database::read(&conf, &mut faults);
    let key_manager = key_manager::read(&conf, &mut faults);
    let session = keystone_authtoken::read_session(&conf, &machine, &mut faults);
    let keystone = keystone_authtoken::read(&mut conf, session.as_ref(), &mut faults);
    let glance = glance::read(&mut conf, session.as_ref(), &mut faults);
    let backups = backup::read(&mut conf, session.as_ref(), &mut faults);
    let cells = nova
        .iter()
        .map(|file| nova::read(file, &machine, &mut faults));
    let cells: Option<Vec<_>> = cells.collect();
    let audit = || {
        Some(AuditConfig {
            records: Records::new(&default?, &own?, database?),
            keystone: keystone?,
            glance: glance?,
            backups: backups?,
            cells: cells?,
            fixed_key: key_manager?.fixed_key,
            options: conf.settings().map(|setting| setting.to_string()).collect(),
        })
    };
    faults.unless_any(audit())
}

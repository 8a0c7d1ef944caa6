//! Every line that operators grep for, in one place and under one logger's name.
//!
//! Cinder's own migrator made these texts known (cinder/keymgr/migration.py); they are exact.

use tracing::{error, info, warn};

use crate::ids::{RequestId, ResourceKind, RowRef, SecretId, Service};
use crate::reasons::{Fault, Reason, RowReason};
use crate::remedies;
use crate::rows::Census;

/// The logger's name, the tracing target of every line here.
pub const LOGGER: &str = "cinder.keymgr.migration";

/// A pass that has work begins.
pub fn starting() {
    info!(target: LOGGER, "Starting migration of ConfKeyManager keys.");
}

/// A key is about to be migrated.
pub fn migrating(row: &RowRef) {
    let id = &row.id;
    match row.kind {
        ResourceKind::Volume => {
            info!(target: LOGGER, "Migrating volume {id} encryption key to Barbican");
        }
        ResourceKind::Snapshot => {
            info!(target: LOGGER, "Migrating snapshot {id} encryption key to Barbican");
        }
        ResourceKind::Backup => {
            info!(target: LOGGER, "Migrating Backup {id} encryption key to Barbican");
        }
    }
}

/// A key failed; `<title>: <description>` where a service answered.
pub fn key_failed(message: &str) {
    error!(target: LOGGER, "Error migrating encryption key: {message}");
}

/// Something that is no key stands in the way of them all.
pub fn blocked(service: Service, fault: &Fault) {
    let (reason, message) = (fault.reason, &fault.message);
    error!(target: LOGGER, "Migration of {service} encryption keys waits ({reason}): {message}");
}

/// What the operator can do about what was just said.
pub fn remedy(remedy: &str) {
    warn!(target: LOGGER, "Remedy: {remedy}");
}

/// What stood in the way is gone.
pub fn going_on(service: Service, reason: Reason) {
    info!(target: LOGGER, "Migration of {service} encryption keys goes on (no longer {reason}).");
}

/// The listing of what earlier runs stored takes long.
pub fn listing() {
    info!(
        target: LOGGER,
        "Barbican is still listing what earlier runs stored; keys are migrated once that is known."
    );
}

/// Secrets are kept elsewhere than before.
pub fn moved_elsewhere(secrets: usize, parked: usize) {
    warn!(
        target: LOGGER,
        "Secrets are stored by another user, in another project or at another Barbican from now \
         on; {secrets} stored before and not switched yet are superseded, and {parked} requests \
         whose outcome is not known are given up."
    );
}

/// A row waits for something that passes by itself.
pub fn deferred(row: &RowRef, reason: RowReason, message: &str) {
    info!(target: LOGGER, "Deferring {row} ({reason}): {message}");
}

/// A row has waited for so long that somebody should look.
pub fn deferred_long(row: &RowRef, reason: RowReason, message: &str) {
    let remedy = remedies::of_row(row, reason, message);
    warn!(target: LOGGER, "{row} has waited for an hour ({reason}): {message}. Remedy: {remedy}");
}

/// The users of what depends on a volume have changed, and with them who may read its key.
pub fn readers_corrected(secret: SecretId) {
    info!(target: LOGGER, "Corrected who may read secret {secret}: the users who need it have changed.");
}

/// Users who need a row's key may read its secret from now on, as the operator asked.
pub fn readers_added(secret: SecretId, row: &RowRef, request: RequestId) {
    info!(
        target: LOGGER,
        request_id = %request,
        "Completed who may read secret {secret} of {row}."
    );
}

/// The process ends in the middle of a key.
pub fn given_up(row: &RowRef) {
    warn!(
        target: LOGGER,
        "Leaving {row} in the middle: what may be stored for it is found again by its name."
    );
}

/// A row got another key from somebody else, and keeps it.
pub fn lost(row: &RowRef, orphan: Option<SecretId>) {
    match orphan {
        None => warn!(target: LOGGER, "Leaving {row} as it is: it no longer uses the fixed key."),
        Some(secret) => warn!(
            target: LOGGER,
            "Leaving {row} as it is: it no longer uses the fixed key; \
             secret {secret}, stored for it, is superseded."
        ),
    }
}

/// A secret that nothing needed is gone, as the operator asked.
pub fn purged(secret: SecretId, row: &RowRef, class: &str, request: RequestId) {
    info!(
        target: LOGGER,
        request_id = %request,
        "Deleted secret {secret}, stored for {row} ({class})."
    );
}

/// Whether a secret that nothing needed is gone is not known, or it certainly is not.
pub fn not_purged(secret: SecretId, row: &RowRef, message: &str, request: RequestId) {
    warn!(
        target: LOGGER,
        request_id = %request,
        "Deleting secret {secret}, stored for {row}, failed: {message}"
    );
}

/// The global count, both lines and what belongs to them.
pub fn summary(census: &Census) {
    if census.volumes == 0 {
        info!(target: LOGGER, "No volumes are using the ConfKeyManager's encryption_key_id.");
    } else {
        let count = census.volumes;
        warn!(
            target: LOGGER,
            "There are still {count} volume(s) using the ConfKeyManager's all-zeros encryption key ID."
        );
    }
    if census.backups == 0 {
        info!(
            target: LOGGER,
            "No backups are known to be using the ConfKeyManager's encryption_key_id."
        );
    } else {
        let count = census.backups;
        warn!(
            target: LOGGER,
            "There are still {count} backup(s) using the ConfKeyManager's all-zeros encryption key ID."
        );
    }
    if census.snapshots > 0 {
        let count = census.snapshots;
        warn!(
            target: LOGGER,
            "There are still {count} snapshot(s) using the ConfKeyManager's all-zeros encryption key ID."
        );
    }
    if census.unowned_volumes + census.unowned_backups > 0 {
        let (volumes, backups) = (census.unowned_volumes, census.unowned_backups);
        warn!(
            target: LOGGER,
            "Of these, {volumes} volume(s) and {backups} backup(s) belong to no Cinder service that is up."
        );
    }
}

/// No fixed key, and rows that need it.
pub fn fixed_key_needed(census: &Census) {
    let Census {
        volumes,
        snapshots,
        backups,
        ..
    } = census;
    error!(
        target: LOGGER,
        "[key_manager] fixed_key is not set, but {volumes} volume(s), {snapshots} snapshot(s) and \
         {backups} backup(s) still need it. {FIXED_KEY_REMEDY}"
    );
}

/// What to do where the fixed key went too early.
pub const FIXED_KEY_REMEDY: &str = "Put the fixed_key that encrypted them back into [key_manager]; they cannot be read without it.";

/// Why a volume service without backends does nothing.
pub const NO_BACKENDS: &str = "Not migrating encryption keys because enabled_backends is not set, \
     without which the volume service does not start.";

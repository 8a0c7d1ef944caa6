//! `[key_manager]` of Cinder and of Nova: both must read the same rows with the same key until the
//! last one is migrated.

use std::path::PathBuf;

use key_migration::settings::KeyManagerBackend;

use super::files::named;
use super::fingerprint::Fingerprints;
use super::line::Line;
use crate::settings::{Keys, inspect_nova};

const CINDER: &str = "Key manager of cinder.conf";
const NOVA: &str = "Key manager of nova.conf";
const FIXED_KEY: &str = "Fixed key";

const TO_BARBICAN: &str = "set [key_manager] backend = barbican";

pub(super) fn of_cinder(keys: Option<&Keys>) -> Line {
    let Some(keys) = keys else {
        return Line::not_done(CINDER, "Configuration");
    };
    let details = backend(keys);
    match &keys.backend {
        KeyManagerBackend::Barbican => Line::success(CINDER, format!("{details}.")),
        KeyManagerBackend::ConfKeyManager => Line::failure(
            CINDER,
            format!("{details}: new volumes still get the fixed key, and nothing is migrated."),
            format!("{TO_BARBICAN} in cinder.conf and restart Cinder's services"),
        ),
        KeyManagerBackend::Other(_) => Line::failure(
            CINDER,
            format!("{details}: nothing is migrated to that."),
            format!("{TO_BARBICAN} in cinder.conf; no other can be migrated to"),
        ),
    }
}

/// The key manager of nova-compute, and the fixed key in both.
pub(super) fn of_nova(cinder: Option<&Keys>, files: &[PathBuf]) -> [Line; 2] {
    match inspect_nova(files) {
        Err(faults) => [
            Line::failure(
                NOVA,
                faults.lines().join("; "),
                "correct the option that is named, or name another file: --nova-config-file FILE",
            ),
            Line::not_done(FIXED_KEY, NOVA),
        ],
        Ok(None) => [
            Line::warning(
                NOVA,
                "No nova.conf is found on this host, so it is not known whether nova-compute can \
                 read keys in Barbican.",
                "copy a compute node's nova.conf here and name it: --nova-config-file FILE",
            ),
            fixed_key(cinder, None),
        ],
        Ok(Some((nova, read))) => [
            backend_of_nova(&nova, &read),
            fixed_key(cinder, Some((&nova, &read))),
        ],
    }
}

fn backend_of_nova(nova: &Keys, read: &[PathBuf]) -> Line {
    let details = format!("Read: {}. {}", named(read), backend(nova));
    if nova.backend == KeyManagerBackend::Barbican {
        return Line::success(NOVA, format!("{details}."));
    }
    Line::failure(
        NOVA,
        format!("{details}: nova-compute cannot attach volumes whose key is in Barbican."),
        format!("{TO_BARBICAN} in nova.conf of every compute node and restart nova-compute"),
    )
}

fn fixed_key(cinder: Option<&Keys>, nova: Option<(&Keys, &[PathBuf])>) -> Line {
    let Some(cinder) = cinder else {
        return Line::not_done(FIXED_KEY, "Configuration");
    };
    let Some((ours, place)) = &cinder.fixed_key else {
        return Line::failure(
            FIXED_KEY,
            "cinder.conf has no fixed_key, neither in [key_manager] nor in [keymgr]: nothing can \
             be migrated, and rows at zeros cannot be read.",
            "set [key_manager] fixed_key to the key that these rows were encrypted with",
        );
    };
    let fingerprints = Fingerprints::new();
    let in_cinder = format!("{} at {place}", fingerprints.of(ours));
    let Some((nova, read)) = nova else {
        return Line::warning(
            FIXED_KEY,
            format!("{in_cinder}; not compared with Nova's."),
            "copy a compute node's nova.conf here and name it: --nova-config-file FILE",
        );
    };
    let Some((theirs, place)) = &nova.fixed_key else {
        return Line::failure(
            FIXED_KEY,
            format!(
                "{in_cinder}; {} has no fixed_key, neither in [key_manager] nor in [keymgr]: \
                 nova-compute cannot attach what is not migrated yet.",
                named(read)
            ),
            "set [key_manager] fixed_key in nova.conf of every compute node to Cinder's, until all \
             is migrated",
        );
    };
    let both = format!("{in_cinder}, {} at {place}", fingerprints.of(theirs));
    if ours.same_as(theirs) {
        return Line::success(FIXED_KEY, format!("The same in both: {both}."));
    }
    Line::failure(
        FIXED_KEY,
        format!("Not the same: {both}. One of the two opens no volume."),
        "find out which one opens a volume, and set [key_manager] fixed_key to it in both",
    )
}

/// What of two configurations that should be the same is not.
pub(super) fn difference(one: &Keys, other: &Keys) -> Option<&'static str> {
    if one.backend != other.backend {
        return Some("[key_manager] backend");
    }
    let same = match (&one.fixed_key, &other.fixed_key) {
        (None, None) => true,
        (Some((one, _)), Some((other, _))) => one.same_as(other),
        _ => false,
    };
    (!same).then_some("[key_manager] fixed_key")
}

fn backend(keys: &Keys) -> String {
    let (name, place) = &keys.backend_named;
    format!("[key_manager] backend is {name} ({place})")
}

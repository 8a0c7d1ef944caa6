//! Copies of image properties that Cinder keeps beside volumes and snapshots. Which of them matter,
//! and why, is told in `cinder_db::audit::ZeroImageMetadata`'s module.

use cinder_db::CinderDb;
use jiff::Timestamp;
use key_migration::ids::ResourceKind;
use key_migration::ports::DatabaseError;
use key_migration::verdict::{Evidence, Finding};

use crate::told::counted;

/// Looks at all of them.
///
/// # Errors
/// The database does not answer or refuses.
pub async fn look(rows: &CinderDb, looked_at: Timestamp) -> Result<Evidence, DatabaseError> {
    let found = rows.zero_image_metadata().await?;
    let (finding, message) = match found.stale {
        0 => (Finding::Clear, words_of_clear(found.harmless)),
        stale => {
            let such_as: Vec<_> = found
                .such_as
                .iter()
                .take(3)
                .map(ToString::to_string)
                .collect();
            let remedy = match found.such_as.first() {
                Some(beside) if beside.kind == ResourceKind::Volume => format!(
                    "openstack volume unset --image-property cinder_encryption_key_id {}",
                    beside.id
                ),
                _ => "no API reaches that of a snapshot: delete the snapshot, or set deleted in \
                      its row of volume_glance_metadata"
                    .to_owned(),
            };
            let message = format!(
                "{} all zeros beside what is not encrypted ({}), and an image uploaded from it \
                 would have that key: {remedy}",
                counted(
                    stale,
                    "copy of an image's cinder_encryption_key_id is",
                    "copies of an image's cinder_encryption_key_id are"
                ),
                such_as.join(", ")
            );
            (Finding::Blocking(stale), message)
        }
    };
    Ok(Evidence {
        finding,
        looked_at,
        message,
    })
}

fn words_of_clear(harmless: u64) -> String {
    match harmless {
        0 => "no copy of an image's cinder_encryption_key_id is all zeros".to_owned(),
        _ => format!(
            "{} all zeros, beside volumes and snapshots with keys of their own, which an upload \
             takes instead",
            counted(
                harmless,
                "copy of an image's cinder_encryption_key_id is",
                "copies of an image's cinder_encryption_key_id are"
            )
        ),
    }
}

//! Whether Cinder can delete what is migrated, long after the migration.

use super::line::Line;
use crate::settings::Deletions;

const CHECK: &str = "Credentials for later deletions";

/// Cinder deletes a secret with its own credentials where the volume's owner may not, from six
/// options that it reads by name (cinder/volume/volume_utils.py, `delete_encryption_key`).
pub(super) fn of_deletions(found: Option<&Deletions>) -> Line {
    let Some(found) = found else {
        return Line::not_done(CHECK, "Configuration");
    };
    if found.missing.is_empty() {
        return Line::success(
            CHECK,
            "[keystone_authtoken] itself has all that Cinder needs to delete migrated secrets.",
        );
    }
    let mut details = format!(
        "[keystone_authtoken] itself lacks {}: a volume that is migrated and then deleted by its \
         owner ends in error_deleting.",
        found.missing.join(", ")
    );
    if found.elsewhere {
        details += " Cinder does not follow auth_section there.";
    }
    if found.by_application_credential {
        details += " It cannot use an application credential there.";
    }
    let options = found.missing.join(", ");
    Line::failure(
        CHECK,
        details,
        format!(
            "add to [keystone_authtoken] of cinder.conf: {options} (names, not IDs; they may stand \
             beside the options that are there), and restart cinder-volume and cinder-api"
        ),
    )
}

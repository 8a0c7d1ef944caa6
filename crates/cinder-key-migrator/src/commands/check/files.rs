//! Whether a configuration was found, whether it can be read, and by whom.

use std::path::PathBuf;

use super::line::Line;
use crate::settings::Inspection;

const CHECK: &str = "Configuration";
const PERMISSIONS: &str = "Configuration permissions";

pub(super) fn check(found: &Inspection) -> Line {
    if !found.faults.is_empty() {
        return Line::failure(
            CHECK,
            found.faults.join("; "),
            "correct the options that are named, at the place that is named",
        );
    }
    let read = format!("Read: {}.", named(&found.files));
    if found.warnings.is_empty() {
        return Line::success(CHECK, read);
    }
    Line::warning(
        CHECK,
        format!("{read} {}.", found.warnings.join("; ")),
        "take out what has no effect",
    )
}

/// Secrets that stand where everybody can read them.
pub(super) fn of_permissions(found: &Inspection) -> Line {
    if found.files.is_empty() {
        return Line::not_done(PERMISSIONS, CHECK);
    }
    if found.exposed.is_empty() {
        let details = "No file with a key or a password can be read by everybody.";
        return Line::success(PERMISSIONS, details);
    }
    let exposed = found.exposed.iter();
    let (details, remedies): (Vec<_>, Vec<_>) =
        exposed.map(|it| (it.to_string(), it.remedy())).unzip();
    Line::warning(
        PERMISSIONS,
        format!("{}.", details.join("; ")),
        format!(
            "{}; of a file that Kubernetes mounts: defaultMode: 0440 and fsGroup",
            remedies.join("; ")
        ),
    )
}

/// Their paths, the ones that win last.
pub(super) fn named(files: &[PathBuf]) -> String {
    let files = files.iter().map(|file| file.display().to_string());
    files.collect::<Vec<_>>().join(", ")
}

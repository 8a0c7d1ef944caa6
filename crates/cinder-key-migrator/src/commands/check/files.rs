//! Whether a configuration was found, and whether it can be read.

use std::path::PathBuf;

use super::line::Line;
use crate::settings::Inspection;

const CHECK: &str = "Configuration";

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

/// Their paths, the ones that win last.
pub(super) fn named(files: &[PathBuf]) -> String {
    let files = files.iter().map(|file| file.display().to_string());
    files.collect::<Vec<_>>().join(", ")
}

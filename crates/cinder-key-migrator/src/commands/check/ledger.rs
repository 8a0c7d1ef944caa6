//! The directory of the ledger.

use std::path::Path;

use super::line::Line;

const CHECK: &str = "Ledger";

pub(super) fn check(state_dir: Option<&Path>) -> Line {
    let Some(state_dir) = state_dir else {
        return Line::not_done(CHECK, "Configuration");
    };
    let place = match migration_ledger::examine(state_dir) {
        Ok(place) => place,
        Err(fault) => return Line::of_fault(CHECK, &fault),
    };
    let dir = state_dir.display();
    if let Some(volatility) = place.volatility {
        let remedy = "mount a directory of the host there, or set [key_migrator] state_dir";
        return Line::warning(CHECK, volatility, remedy);
    }
    if place.open_to_others {
        return Line::warning(
            CHECK,
            format!("{dir} is open to other users than its owner."),
            format!("chmod -R go= '{dir}'"),
        );
    }
    let ledger = match (place.has_ledger, place.kept_by) {
        (_, Some(process)) => format!("has a ledger, which process {process} keeps"),
        (true, None) => "has a ledger, which no process keeps now".to_owned(),
        (false, None) => "has no ledger yet; the first run makes it".to_owned(),
    };
    Line::success(CHECK, format!("{dir} can be written to and {ledger}."))
}

//! How commands print what they found, on standard output.

use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::ASCII_FULL_CONDENSED;
use serde::Serialize;

/// An empty table with these columns.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED).set_header(header);
    table
}

/// Prints it as JSON, for programs.
pub(super) fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value);
    print(&text.expect("strings and numbers always become JSON"));
}

/// Prints a line. Who closes standard output wants no more of it.
pub(super) fn print(text: &str) {
    _ = writeln!(io::stdout().lock(), "{text}");
}

/// A time span in two units at most.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {minutes}m"),
        (1.., _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_two_units_at_most() {
        for (seconds, text) in [
            (59, "0m"),
            (3_599, "59m"),
            (3_600, "1h 0m"),
            (86_399, "23h 59m"),
            (86_400, "1d 0h"),
            (400 * 86_400 + 7_300, "400d 2h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}

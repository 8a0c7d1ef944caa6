//! The table of `cinder-status upgrade check` (oslo_upgradecheck/upgradecheck.py), and its JSON.
//!
//! What to type is not in the table, where its lines would break, but below it.

use std::process::ExitCode;

use serde::Serialize;

use super::super::output::{print, print_json};
use super::line::{Level, Line};
use crate::cli::Format;

const TITLE: &str = "Key Migration Check Results";
/// Columns of `Details`, as there.
const WIDTH: usize = 60;

/// Prints them all.
pub(super) fn print_report(lines: &[Line], format: Format) {
    match format {
        Format::Json => print_json(&Report::new(lines)),
        Format::Table => {
            print(&table(lines));
            let remedies = remedies(lines);
            if !remedies.is_empty() {
                print(&format!("\nWhat to do:\n{remedies}"));
            }
        }
    }
}

/// That of the worst.
pub(super) fn exit_code(lines: &[Line]) -> ExitCode {
    let worst = lines.iter().map(|line| line.level).max();
    ExitCode::from(worst.unwrap_or(Level::Success) as u8)
}

fn table(lines: &[Line]) -> String {
    let header = vec![TITLE.to_owned()];
    let cells: Vec<_> = std::iter::once(header)
        .chain(lines.iter().map(cell))
        .collect();
    let widths = cells.iter().flatten().map(|text| text.chars().count());
    let width = widths.max().unwrap_or_default();
    let rule = format!("+{}+", "-".repeat(width + 2));
    let mut table = vec![rule.clone()];
    for cell in cells {
        table.extend(cell.iter().map(|text| format!("| {text:width$} |")));
        table.push(rule.clone());
    }
    table.join("\n")
}

fn cell(line: &Line) -> Vec<String> {
    let mut cell = vec![
        format!("Check: {}", line.check),
        format!("Result: {}", word(line.level)),
    ];
    let mut details = wrapped(&line.details).into_iter();
    cell.push(format!("Details: {}", details.next().unwrap_or_default()));
    cell.extend(details);
    cell
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Success => "Success",
        Level::Warning => "Warning",
        Level::Failure => "Failure",
    }
}

/// Wrapped as there: further lines begin with two blanks. Words stay whole, so that an ID or a path
/// can be copied.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let is_full = line.chars().count() + 1 + word.chars().count() > WIDTH;
        if !line.trim().is_empty() && is_full {
            lines.push(std::mem::replace(&mut line, "  ".to_owned()));
        } else if !line.trim().is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn remedies(lines: &[Line]) -> String {
    let remedies = lines.iter().filter_map(|line| {
        let remedy = line.remedy.as_ref()?;
        Some(format!("  {}: {remedy}", line.check))
    });
    remedies.collect::<Vec<_>>().join("\n")
}

#[derive(Serialize)]
struct Report<'a> {
    name: &'static str,
    checks: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    check: &'static str,
    /// As a number, as there.
    result: u8,
    details: &'a str,
    remedy: Option<&'a str>,
}

impl<'a> Report<'a> {
    fn new(lines: &'a [Line]) -> Self {
        let checks = lines.iter().map(|line| Shown {
            check: line.check,
            result: line.level as u8,
            details: &line.details,
            remedy: line.remedy.as_deref(),
        });
        Self {
            name: TITLE,
            checks: checks.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_that_operators_know() {
        let lines = [
            Line::success("Keystone", "Signed in."),
            Line::failure(
                "Placement API",
                "There is no placement-api endpoint in the service catalog of this cloud.",
                "make one",
            ),
        ];
        let expected = "\
+-----------------------------------------------------------------------+
| Key Migration Check Results                                           |
+-----------------------------------------------------------------------+
| Check: Keystone                                                       |
| Result: Success                                                       |
| Details: Signed in.                                                   |
+-----------------------------------------------------------------------+
| Check: Placement API                                                  |
| Result: Failure                                                       |
| Details: There is no placement-api endpoint in the service catalog of |
|   this cloud.                                                         |
+-----------------------------------------------------------------------+";
        assert_eq!(table(&lines), expected);
        assert_eq!(remedies(&lines), "  Placement API: make one");
    }

    #[test]
    fn details_are_wrapped_at_sixty_columns_and_no_word_is_broken() {
        let long = "x".repeat(80);
        let lines = wrapped(&format!("{} {long} end", "word ".repeat(20)));
        assert!(lines[1].starts_with("  word"), "{lines:?}");
        assert!(lines.contains(&format!("  {long}")), "{lines:?}");
        let fits = |line: &&String| line.chars().count() <= WIDTH;
        assert_eq!(lines.iter().filter(fits).count(), lines.len() - 1);
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let levels = |levels: &[Level]| {
            let line = |&level| Line {
                level,
                ..Line::success("a", "b")
            };
            exit_code(&levels.iter().map(line).collect::<Vec<_>>())
        };
        assert_eq!(levels(&[Level::Success]), ExitCode::SUCCESS);
        let mixed = levels(&[Level::Warning, Level::Success]);
        assert_eq!(mixed, ExitCode::from(1));
        let worst = levels(&[Level::Failure, Level::Warning]);
        assert_eq!(worst, ExitCode::from(2));
    }
}

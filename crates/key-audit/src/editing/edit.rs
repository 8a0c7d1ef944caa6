//! Which lines go, and what is left without them.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use oslo_config::{Assignment, Document};
use zeroize::Zeroizing;

use super::EditError;

/// The option, and the groups that oslo.config looks for it in.
const OPTION: &str = "fixed_key";
const GROUPS: [&str; 2] = ["key_manager", "keymgr"];

/// In place of a value.
const MASK: &str = "****";

/// A shorter value may stand in a file for any other reason.
const LEAST_DIGITS: usize = 16;

/// The content of a file with and without option `fixed_key`.
pub struct Edit {
    with: Zeroizing<Vec<u8>>,
    without: Zeroizing<Vec<u8>>,
    hunks: Vec<Hunk>,
    shown_again: Vec<usize>,
}

/// Consecutive lines of one assignment or several.
struct Hunk {
    section: String,
    lines: RangeInclusive<usize>,
    /// As they are shown: without values, and without what ends a line.
    masked: Vec<String>,
    unended: bool,
}

/// Whether an assignment is of the option: its name counts as it is written, its section in any
/// case.
pub(crate) fn is_fixed_key(assignment: &Assignment) -> bool {
    assignment.key() == OPTION && GROUPS.contains(&assignment.section())
}

impl Edit {
    /// What there is to take out of a file, or `None`. `path` is named in errors only.
    ///
    /// # Errors
    /// The file breaks the grammar, or what would be left breaks it or reads differently.
    pub fn of(path: &Path, content: &[u8]) -> Result<Option<Self>, EditError> {
        let document = Document::parse(path, &text(content))?;
        let ranges = Document::line_ranges(content);
        let of_option = document.assignments().iter().filter(|it| is_fixed_key(it));
        let mut without = Zeroizing::new(Vec::with_capacity(content.len()));
        let mut hunks: Vec<Hunk> = Vec::new();
        let mut kept_to = 0;
        for assignment in of_option.clone() {
            let bytes = bytes_of(&ranges, &assignment.lines());
            without.extend_from_slice(&content[kept_to..bytes.start]);
            kept_to = bytes.end;
            add(&mut hunks, Hunk::of(assignment, content, &ranges));
        }
        if hunks.is_empty() {
            return Ok(None);
        }
        without.extend_from_slice(&content[kept_to..]);
        if !reads_the_same(&document, path, &without) {
            return Err(EditError::Entangled(path.to_owned()));
        }
        let values: Vec<_> = of_option.map(Assignment::value).collect();
        Ok(Some(Self {
            shown_again: shown_again(&values, content, &ranges, &hunks),
            with: Zeroizing::new(content.to_vec()),
            without,
            hunks,
        }))
    }

    /// The content with the option. It holds the key.
    #[must_use]
    pub fn with(&self) -> &[u8] {
        &self.with
    }

    /// The content without it.
    #[must_use]
    pub fn without(&self) -> &[u8] {
        &self.without
    }

    /// The lines that go, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = usize> {
        self.hunks.iter().flat_map(|hunk| hunk.lines.clone())
    }

    /// Lines that stay and show the key as well: in a comment, say.
    #[must_use]
    pub fn shown_again(&self) -> &[usize] {
        &self.shown_again
    }

    /// The unified diff of the removal, without the lines around, as these may hold passwords; the
    /// value is masked.
    #[must_use]
    pub fn diff(&self, path: &Path) -> String {
        let path = path.display();
        let mut diff = format!("--- {path}\n+++ {path}");
        let mut gone = 0;
        for hunk in &self.hunks {
            let (first, count) = (*hunk.lines.start(), hunk.masked.len());
            let after = first - 1 - gone;
            let section = &hunk.section;
            _ = write!(diff, "\n@@ -{first},{count} +{after},0 @@ [{section}]");
            hunk.write(&mut diff, '-');
            gone += count;
        }
        diff
    }

    /// The diff of putting it back.
    #[must_use]
    pub fn reverse_diff(&self, path: &Path) -> String {
        let path = path.display();
        let mut diff = format!("--- {path}\n+++ {path}");
        let mut added = 0;
        for hunk in &self.hunks {
            let (first, count) = (*hunk.lines.start(), hunk.masked.len());
            let before = first - 1 - added;
            let section = &hunk.section;
            _ = write!(diff, "\n@@ -{before},0 +{first},{count} @@ [{section}]");
            hunk.write(&mut diff, '+');
            added += count;
        }
        diff
    }
}

impl Hunk {
    fn of(assignment: &Assignment, content: &[u8], ranges: &[Range<usize>]) -> Self {
        let lines = assignment.lines();
        let shown = |line: usize| {
            let bytes = &content[ranges[line - 1].clone()];
            masked(&text(bytes), line == *lines.start())
        };
        let last = &content[ranges[*lines.end() - 1].clone()];
        Self {
            section: assignment.section().to_owned(),
            masked: lines.clone().map(shown).collect(),
            unended: !last.ends_with(b"\n") && !last.ends_with(b"\r"),
            lines,
        }
    }

    fn write(&self, diff: &mut String, sign: char) {
        for line in &self.masked {
            _ = write!(diff, "\n{sign}{line}");
        }
        if self.unended {
            diff.push_str("\n\\ No newline at end of file");
        }
    }
}

/// One after the other makes one, if nothing is kept between them.
fn add(hunks: &mut Vec<Hunk>, next: Hunk) {
    match hunks.last_mut() {
        Some(last) if last.lines.end() + 1 == *next.lines.start() => {
            last.lines = *last.lines.start()..=*next.lines.end();
            last.masked.extend(next.masked);
            last.unended = next.unended;
        }
        _ => hunks.push(next),
    }
}

fn bytes_of(ranges: &[Range<usize>], lines: &RangeInclusive<usize>) -> Range<usize> {
    ranges[lines.start() - 1].start..ranges[lines.end() - 1].end
}

/// A line with everything masked that may be of the value.
fn masked(line: &str, has_name: bool) -> String {
    let line = line.trim_end();
    let shown = match line.find(['=', ':']) {
        Some(separator) if has_name => &line[..=separator],
        _ => &line[..line.len() - line.trim_start().len()],
    };
    match (has_name, shown.len() == line.len()) {
        (_, true) => shown.to_owned(),
        (true, false) => format!("{shown} {MASK}"),
        (false, false) => format!("{shown}{MASK}"),
    }
}

/// Whether every other option has the same value as before, in the same order.
fn reads_the_same(before: &Document, path: &Path, after: &[u8]) -> bool {
    let Ok(after) = Document::parse(path, &text(after)) else {
        return false;
    };
    let kept = before.assignments().iter().filter(|it| !is_fixed_key(it));
    let seen = |it: &Assignment| {
        let value = Zeroizing::new(it.value().to_owned());
        (it.section().to_owned(), it.key().to_owned(), value)
    };
    kept.map(seen).eq(after.assignments().iter().map(seen))
}

/// The lines that stay and hold one of these values.
fn shown_again(
    values: &[&str],
    content: &[u8],
    ranges: &[Range<usize>],
    hunks: &[Hunk],
) -> Vec<usize> {
    let values: Vec<_> = values
        .iter()
        .map(|value| Zeroizing::new(value.trim().to_lowercase()))
        .filter(|value| value.len() >= LEAST_DIGITS)
        .collect();
    let goes = |line: &usize| hunks.iter().any(|hunk| hunk.lines.contains(line));
    let shows = |line: &usize| {
        let line = text(&content[ranges[line - 1].clone()]);
        let line = Zeroizing::new(line.to_lowercase());
        values.iter().any(|value| line.contains(value.as_str()))
    };
    (1..=ranges.len())
        .filter(|line| !goes(line) && shows(line))
        .collect()
}

/// What a file says, whatever it is written in: what matters here is ASCII. It is wiped.
pub(crate) fn text(content: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(match std::str::from_utf8(content) {
        Ok(text) => text.to_owned(),
        Err(_) => content.iter().copied().map(char::from).collect(),
    })
}

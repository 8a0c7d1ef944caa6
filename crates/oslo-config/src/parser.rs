//! The grammar of one file, as in `oslo_config/iniparser.py`.
//!
//! It is not INI as other crates read it: a comment starts only in the first column and never
//! after a value, an indented line continues the value before it whatever it looks like, and one
//! pair of quotes around the first line of a value is dropped.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use zeroize::Zeroizing;

use crate::Error;
use crate::registry::normalized;
use crate::text;

/// The content of one file, before anything is known of options: for who edits it, or looks at a
/// file that no service of this host reads.
pub struct Document {
    /// The sections that the file opens, by normalized name, empty ones too.
    pub(crate) sections: Vec<String>,
    /// In the order of the file: of two for one option the later counts.
    pub(crate) assignments: Vec<Assignment>,
}

/// One option that a file sets, with the lines that do.
pub struct Assignment {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) line: usize,
    last_line: usize,
    pub(crate) value: Zeroizing<String>,
}

impl Document {
    /// Reads the text of a file; `path` is named in errors only.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] where it breaks the grammar.
    pub fn parse(path: &Path, content: &str) -> Result<Self, Error> {
        let mut parser = Parser {
            sections: Vec::new(),
            assignments: Vec::new(),
            open: None,
        };
        for (index, line) in text::lines(content).enumerate() {
            parser
                .line(index + 1, line.trim_end_matches(text::is_space))
                .map_err(|fault| Error::Syntax {
                    path: path.to_owned(),
                    line: index + 1,
                    problem: fault.0,
                })?;
        }
        parser.close();
        Ok(Self {
            sections: parser.sections,
            assignments: parser.assignments,
        })
    }

    /// Every assignment in the order of the file, those that a later one overrides too.
    pub fn assignments(&self) -> &[Assignment] {
        &self.assignments
    }

    /// The bytes of each line, its end (`\n`, `\r\n` or `\r`) included: what
    /// [`Assignment::lines`] counts.
    pub fn line_ranges(content: &[u8]) -> Vec<Range<usize>> {
        text::line_ranges(content)
    }
}

impl Assignment {
    /// The section in lower case; `DEFAULT` in upper case, if that is what stands there.
    pub fn section(&self) -> &str {
        &self.section
    }

    /// The option as it is written.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The lines of the option and its value, counted from 1.
    pub fn lines(&self) -> RangeInclusive<usize> {
        self.line..=self.last_line
    }

    /// The value before `$` is substituted. It may be a secret.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Shows no key: a slip in a file can make a part of a value one.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("lines", &self.lines())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("assignments", &self.assignments)
            .finish_non_exhaustive()
    }
}

struct Parser<'t> {
    sections: Vec<String>,
    assignments: Vec<Assignment>,
    open: Option<OpenAssignment<'t>>,
}

/// An assignment that the next line may continue.
struct OpenAssignment<'t> {
    section: String,
    key: &'t str,
    line: usize,
    last_line: usize,
    value: Vec<&'t str>,
}

/// What is wrong and what was expected.
struct Fault(&'static str);

impl<'t> Parser<'t> {
    /// Takes in one line, whose white space at the end is gone.
    fn line(&mut self, number: usize, line: &'t str) -> Result<(), Fault> {
        if line.starts_with([' ', '\t']) {
            let open = self.open.as_mut().ok_or(Fault(
                "indented line that continues no option; \
                 options, sections and comments start in the first column",
            ))?;
            open.value.push(line.trim_start_matches(text::is_space));
            open.last_line = number;
            return Ok(());
        }
        self.close();
        if line.is_empty() || line.starts_with(['#', ';']) {
            Ok(())
        } else if line.starts_with('[') {
            self.sections.push(normalized(section_name(line)?));
            Ok(())
        } else {
            self.open = Some(self.assignment(number, line)?);
            Ok(())
        }
    }

    fn assignment(&self, line: usize, text: &'t str) -> Result<OpenAssignment<'t>, Fault> {
        if line == 1 && text.starts_with('\u{feff}') {
            return Err(Fault("byte order mark; the file must be UTF-8 without one"));
        }
        let (key, value) = text.split_once(['=', ':']).ok_or(Fault(
            "expected a [section], `option = value` or `option: value`; \
             a value goes on in lines that are indented",
        ))?;
        let key = text::strip(key);
        if key.is_empty() {
            return Err(Fault("expected the name of an option before `=` or `:`"));
        }
        let section = self
            .sections
            .last()
            .ok_or(Fault("option before the first [section]"))?;
        Ok(OpenAssignment {
            section: section.clone(),
            key,
            line,
            last_line: line,
            value: vec![unquoted(text::strip(value))],
        })
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.assignments.push(Assignment {
                section: open.section,
                key: open.key.to_owned(),
                line: open.line,
                last_line: open.last_line,
                value: Zeroizing::new(open.value.join("\n")),
            });
        }
    }
}

fn section_name(line: &str) -> Result<&str, Fault> {
    let name = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or(Fault(
            "expected `]` at the end of the section's line; nothing may follow it",
        ))?;
    if name.is_empty() {
        Err(Fault("expected the name of a section in `[]`"))
    } else {
        Ok(name)
    }
}

/// Drops one pair of quotes. A value that is one quote is a pair in itself.
fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| {
            let rest = value.strip_prefix(quote)?;
            if rest.is_empty() {
                Some(rest)
            } else {
                rest.strip_suffix(quote)
            }
        })
        .unwrap_or(value)
}

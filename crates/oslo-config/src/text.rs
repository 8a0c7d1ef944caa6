//! Python's notion of text, where it differs from Rust's.

use std::ops::Range;

/// As `str.isspace`: Unicode white space and the four ASCII separators.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// As `str.strip()`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The lines of a file opened in text mode: `\n`, `\r\n` and `\r` all end one.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Where these lines lie in the bytes, with what ends them.
pub(crate) fn line_ranges(content: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (place, byte) in content.iter().enumerate() {
        let ends = match byte {
            b'\n' => true,
            b'\r' => content.get(place + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            ranges.push(start..place + 1);
            start = place + 1;
        }
    }
    if start < content.len() {
        ranges.push(start..content.len());
    }
    ranges
}

/// As `repr` of a `str`.
pub(crate) fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut repr = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => repr.push_str("\\\\"),
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            c if c == quote => repr.extend(['\\', c]),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                let code = u32::from(c);
                let escape = if code < 0x100 {
                    format!("\\x{code:02x}")
                } else {
                    format!("\\u{code:04x}")
                };
                repr.push_str(&escape);
            }
            c => repr.push(c),
        }
    }
    repr.push(quote);
    repr
}

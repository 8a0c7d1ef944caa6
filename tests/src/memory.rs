//! What another process has in its memory, for tests of what must not be there. Reading it takes
//! root.

use std::fmt;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;

/// A secret in every form that it is likely to be found in.
#[derive(Debug)]
pub struct Traces {
    forms: [(&'static str, Vec<u8>); 4],
}

/// A form of the secret, and the mapping that it was found in, as `/proc/PID/maps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// `raw`, `hex`, `HEX` or `base64`.
    pub form: &'static str,
    /// Where.
    pub place: String,
}

impl Traces {
    /// Of a secret of random bytes: one that repeats itself would be counted wrongly.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let base64 = STANDARD.encode(secret);
        Self {
            forms: [
                ("raw", secret.to_vec()),
                ("hex", hex::encode(secret).into_bytes()),
                ("HEX", hex::encode_upper(secret).into_bytes()),
                ("base64", base64.trim_end_matches('=').into()),
            ],
        }
    }

    /// All that are in the memory of this process now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn in_memory_of(&self, pid: u32) -> Result<Vec<Trace>> {
        let memory = File::open(format!("/proc/{pid}/mem")).context("opening the memory")?;
        let mut found = Vec::new();
        for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
            let Some(range) = readable(line)? else {
                continue;
            };
            let mut content = vec![0; range.end - range.start];
            // A mapping may have gone or become smaller since it was listed.
            let start = u64::try_from(range.start)?;
            if memory.read_exact_at(&mut content, start).is_err() {
                continue;
            }
            for (form, bytes) in &self.forms {
                found.extend(memmem::find_iter(&content, bytes).map(|offset| Trace {
                    form,
                    place: format!("{:x}: {line}", range.start + offset),
                }));
            }
        }
        Ok(found)
    }
}

/// The addresses of a mapping, unless it cannot be read or is the kernel's.
fn readable(line: &str) -> Result<Option<Range<usize>>> {
    let mut words = line.split_whitespace();
    let (range, rights) = words.next().zip(words.next()).context("a mapping")?;
    if !rights.starts_with('r') || line.contains("[v") {
        return Ok(None);
    }
    let (start, end) = range.split_once('-').context("two addresses")?;
    let number = |digits| usize::from_str_radix(digits, 16);
    Ok(Some(number(start)?..number(end)?))
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.form, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_holds_is_found_in_each_form() {
        let secret: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        let traces = Traces::of(&secret);
        let kept = hex::encode_upper(secret);
        let found = traces.in_memory_of(std::process::id()).unwrap();
        let count = |form| found.iter().filter(|trace| trace.form == form).count();
        // Here and in what is sought.
        for (form, at_least) in [("raw", 2), ("hex", 1), ("HEX", 2), ("base64", 1)] {
            assert!(count(form) >= at_least, "{form}: {found:#?}");
        }
        assert_eq!(kept.len(), 64);
    }
}

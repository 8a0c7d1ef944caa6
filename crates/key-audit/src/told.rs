//! How what was found is told: numbers with their nouns, and a few by name.

use std::fmt;

/// As many are told by name.
const SHOWN: usize = 3;

/// How many there are, and the first few of them.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) count: u64,
    names: Vec<String>,
}

impl Samples {
    pub(crate) fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < SHOWN {
            self.names.push(name.to_owned());
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        match self.count - self.names.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// `1 backup`, `2 backups`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_by_name_and_the_rest_by_number() {
        let mut samples = Samples::default();
        samples.add("a");
        assert_eq!(samples.to_string(), "a");
        for name in ["b", "c", "d", "e"] {
            samples.add(name);
        }
        assert_eq!(samples.to_string(), "a, b, c and 2 more");
    }
}

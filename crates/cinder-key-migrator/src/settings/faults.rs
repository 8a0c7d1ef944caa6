//! Everything that is wrong with a configuration, so that an operator mends it in one go.

use std::fmt;

/// Why a configuration cannot be used: one line for each fault. No line holds a value.
#[derive(Debug)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// Nothing wrong so far.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// A single fault.
    pub(crate) fn one(fault: impl fmt::Display) -> Self {
        Self(vec![fault.to_string()])
    }

    /// Keeps the value, or notes what is wrong with it.
    pub(super) fn check<T, E>(&mut self, result: Result<T, E>) -> Option<T>
    where
        E: Into<oslo_config::Error>,
    {
        result
            .map_err(|error| self.0.push(error.into().to_string()))
            .ok()
    }

    /// Those of another file, too.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The value if nothing at all was wrong.
    pub(super) fn unless_any<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }

    /// One line for each.
    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }
}

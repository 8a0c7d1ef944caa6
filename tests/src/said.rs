//! What a command said, and how it ended.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::program::Ended;

/// A command that was typed and has ended.
#[derive(Clone, Debug)]
pub struct Said {
    typed: String,
    ended: Ended,
}

impl Said {
    /// What came of these arguments.
    #[must_use]
    pub fn new(arguments: &[&str], ended: Ended) -> Self {
        Self {
            typed: arguments.join(" "),
            ended,
        }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.ended.code()
    }

    /// Everything, below what was typed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("$ {}\n{}", self.typed, self.ended.lines.join("\n"))
    }

    /// The last line.
    #[must_use]
    pub fn last_line(&self) -> &str {
        self.ended.lines.last().map_or("", String::as_str)
    }

    /// The lines of the log, and of what the program says of its own end.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        let lines = self.ended.lines.iter().filter(|line| is_log(line));
        lines.cloned().collect()
    }

    /// What it printed beside the log, which is JSON; null where it printed nothing.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn json(&self) -> Result<Value> {
        let lines = self.ended.lines.iter().filter(|line| !is_log(line));
        let json = lines.cloned().collect::<Vec<_>>().join("\n");
        if json.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&json).with_context(|| format!("no JSON: {}", self.text()))
    }

    /// It ended with this exit code.
    ///
    /// # Errors
    ///
    /// When it did not; everything that it wrote is in the error.
    pub fn exits_with(&self, code: i32) -> Result<()> {
        ensure!(
            self.code() == Some(code),
            "{:?}: {}",
            self.code(),
            self.text()
        );
        Ok(())
    }

    /// It wrote this.
    ///
    /// # Errors
    ///
    /// When it did not; everything that it wrote is in the error.
    pub fn shows(&self, text: &str) -> Result<()> {
        ensure!(
            self.text().contains(text),
            "no {text:?} in:\n{}",
            self.text()
        );
        Ok(())
    }
}

fn is_log(line: &str) -> bool {
    line.starts_with("20") || line.starts_with("cinder-key-migrator: ")
}

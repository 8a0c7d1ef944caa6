//! How far something long has come: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// So many things between two lines.
const STEP: u64 = 10_000;

/// The progress of one thing. Dropping it takes the bar away.
pub(super) struct Progress {
    /// What is looked at, in the plural.
    what: &'static str,
    bar: Option<ProgressBar>,
    next_line: u64,
}

impl Progress {
    /// Nothing was done yet.
    pub(super) fn of(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len}");
            let bar = ProgressBar::new(0).with_message(what);
            match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self {
            what,
            bar,
            next_line: STEP,
        }
    }

    /// So many were done, of so many if that is known.
    pub(super) fn at(&mut self, done: u64, all: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_length(all.unwrap_or(done));
            bar.set_position(done);
            return;
        }
        if done < self.next_line {
            return;
        }
        self.next_line = (done / STEP + 1) * STEP;
        let what = self.what;
        match all {
            Some(all) => tracing::info!("Looked at {done} of {all} {what}"),
            None => tracing::info!("Looked at {done} {what}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

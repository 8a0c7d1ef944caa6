//! How far it is, on standard error: a bar where somebody watches, else a line now and then.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use key_audit::verify::Tally;

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

const BAR: &str = "{msg} [{bar:30}] {pos}/{len} row(s), {per_sec}, {eta} left";

/// What is shown.
pub(super) struct Progress {
    total: u64,
    /// Rows that an earlier part has looked at.
    before: u64,
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// So many rows are to be looked at, and so many of them were before.
    pub(super) fn new(total: u64, before: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template(BAR).expect("the template is right"));
            bar.set_position(before);
            bar.reset_eta();
            bar
        });
        Self {
            total,
            before,
            bar,
            began: Instant::now(),
            said: Instant::now(),
        }
    }

    /// A row more was looked at.
    pub(super) fn show(&mut self, tally: &Tally) {
        if let Some(bar) = &self.bar {
            bar.set_message(match tally.wrong {
                0 => "Verifying".to_owned(),
                wrong => format!("Verifying, {wrong} wrong"),
            });
            // Rows may have come since they were counted.
            bar.set_length(self.total.max(tally.examined));
            bar.set_position(tally.examined);
        } else if self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            let rate = (tally.examined - self.before) as f64 / self.began.elapsed().as_secs_f64();
            tracing::info!(
                "Looked at {} of {} row(s), {rate:.0} a second; {} wrong.",
                tally.examined,
                self.total.max(tally.examined),
                tally.wrong
            );
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

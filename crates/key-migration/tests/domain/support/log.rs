//! What operators would see: every line with its level, and its target where that is not the one
//! they know.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use key_migration::messages::LOGGER;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    /// Captures what this thread logs.
    pub(crate) fn capture() -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let subscriber = tracing_subscriber::registry().with(Capture(Arc::clone(&lines)));
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines since the last look, as `LEVEL text`.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().expect("no test panics in here"))
    }

    /// The lines since the last look that hold this text.
    pub(crate) fn take_with(&self, text: &str) -> Vec<String> {
        let mut lines = self.take();
        lines.retain(|line| line.contains(text));
        lines
    }
}

struct Capture(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = format!("{} ", metadata.level());
        if metadata.target() != LOGGER {
            write!(line, "[{}] ", metadata.target()).expect("a string takes it");
        }
        event.record(&mut Text(&mut line));
        self.0.lock().expect("no test panics in here").push(line);
    }
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a string takes it");
        } else {
            write!(self.0, " {}={value:?}", field.name()).expect("a string takes it");
        }
    }
}

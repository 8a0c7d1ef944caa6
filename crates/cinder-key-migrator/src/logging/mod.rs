//! Logging in oslo.log's form, so that what parses Cinder's logs parses ours.

mod layer;
mod levels;
mod record;
mod sinks;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use key_migration::ports::Clock;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

use self::layer::OsloLayer;
use self::levels::BadLevels;
use self::record::{Format, Process, Record};
use self::sinks::{Sink, SinkError};

/// `[DEFAULT]` options of oslo.log that are honoured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// `debug`
    pub(crate) debug: bool,
    /// `use_json`
    pub(crate) json: bool,
    /// `use_journal`
    pub(crate) journal: bool,
    /// `log_dir`
    pub(crate) directory: Option<PathBuf>,
}

/// Logging cannot be set up as it is configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Where lines should go.
    #[error("{0}; make it writable, or change [DEFAULT] log_dir")]
    Sink(#[from] SinkError),
    /// Which lines should be written.
    #[error(transparent)]
    Levels(#[from] BadLevels),
}

/// Logging as it runs; [`configure`](Self::configure) changes it.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    writer: Arc<Writer>,
    levels: reload::Handle<Targets, Registry>,
}

impl Logging {
    /// Starts logging for the whole process.
    pub(crate) fn start<C: Clock>(config: &LogConfig, clock: C) -> Result<Self, LogError> {
        let process = Process {
            id: std::process::id(),
            hostname: crate::settings::kernel_hostname(),
            started: clock.now(),
            zone: TimeZone::system(),
        };
        let writer = Arc::new(Writer::new(process, config)?);
        let (filter, levels) = reload::Layer::new(levels_of(config)?);
        let layer = OsloLayer::new(clock, Arc::clone(&writer));
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .init();
        log_panics();
        writer.warn_of_journal();
        Ok(Self { writer, levels })
    }

    /// Takes another configuration, and opens log files anew: the ones that were moved away in
    /// rotation are no longer written to.
    pub(crate) fn configure(&self, config: &LogConfig) -> Result<(), LogError> {
        let levels = levels_of(config)?;
        self.writer.configure(config)?;
        self.levels
            .reload(levels)
            .expect("the subscriber lives as long as the process");
        self.writer.warn_of_journal();
        Ok(())
    }
}

fn levels_of(config: &LogConfig) -> Result<Targets, BadLevels> {
    let overrides = std::env::var(levels::VARIABLE).ok();
    levels::levels(config.debug, overrides.as_deref())
}

/// Logs panics as one line. Text that was put together at run time may hold anything, so only
/// fixed texts are shown.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&'static str>();
        let text = text.copied().unwrap_or("a check failed");
        match panic.location() {
            Some(place) => tracing::error!("crashed at {place}: {text}"),
            None => tracing::error!("crashed: {text}"),
        }
    }));
}

/// Renders records and writes them to every place that is configured.
#[derive(Debug)]
struct Writer {
    process: Process,
    outputs: Mutex<Outputs>,
}

#[derive(Debug)]
struct Outputs {
    format: Format,
    sinks: Vec<Sink>,
    /// Why nothing goes to the journal, if that is not said yet.
    no_journal: Option<SinkError>,
}

impl Writer {
    fn new(process: Process, config: &LogConfig) -> Result<Self, SinkError> {
        let outputs = Mutex::new(Outputs::open(config)?);
        Ok(Self { process, outputs })
    }

    fn configure(&self, config: &LogConfig) -> Result<(), SinkError> {
        let opened = Outputs::open(config)?;
        *self.outputs.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }

    /// In a container the journal may be out of reach. Cinder would go on without a word.
    fn warn_of_journal(&self) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let unreachable = outputs.no_journal.take();
        drop(outputs);
        if let Some(error) = unreachable {
            tracing::warn!(
                "{error}; logging to standard error instead. Make the socket reachable, or take \
                 [DEFAULT] use_journal out"
            );
        }
    }

    fn write(&self, record: &Record) {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = record.render(outputs.format, &self.process);
        line.push('\n');
        for sink in &mut outputs.sinks {
            sink.write(record, &line);
        }
    }
}

impl Outputs {
    fn open(config: &LogConfig) -> Result<Self, SinkError> {
        let mut sinks = Vec::new();
        if let Some(directory) = &config.directory {
            sinks.push(Sink::file_in(directory)?);
        }
        let mut no_journal = None;
        if config.journal {
            match Sink::journal() {
                Ok(journal) => sinks.push(journal),
                Err(error) => no_journal = Some(error),
            }
        }
        if sinks.is_empty() {
            sinks.push(Sink::Stderr);
        }
        let format = if config.json {
            Format::Json
        } else {
            Format::Line
        };
        Ok(Self {
            format,
            sinks,
            no_journal,
        })
    }
}

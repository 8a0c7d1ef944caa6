//! Where log lines go: standard error, a file, the journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::Level;

use super::record::Record;

const JOURNAL: &str = "/run/systemd/journal/socket";

/// The file in `log_dir`.
pub(crate) const FILE_NAME: &str = concat!(env!("CARGO_PKG_NAME"), ".log");

/// A place that lines are written to.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(File),
    /// The systemd journal, by its native protocol.
    Journal(UnixDatagram),
}

/// A place that cannot be written to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// `log_dir`
    #[error("cannot open the log file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `use_journal`
    #[error("cannot reach the journal at {JOURNAL}: {0}")]
    Journal(io::Error),
}

impl Sink {
    /// Opens the log file in this directory.
    pub(crate) fn file_in(directory: &Path) -> Result<Self, SinkError> {
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().append(true).create(true).open(&path);
        file.map(Self::File)
            .map_err(|source| SinkError::File { path, source })
    }

    /// Connects to the journal.
    pub(crate) fn journal() -> Result<Self, SinkError> {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.connect(JOURNAL)?;
            Ok(socket)
        });
        socket.map(Self::Journal).map_err(SinkError::Journal)
    }

    /// Writes one line. A line that cannot be written is lost: there is nowhere to say so.
    pub(crate) fn write(&mut self, record: &Record, line: &str) {
        _ = match self {
            Self::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            Self::File(file) => file.write_all(line.as_bytes()),
            Self::Journal(socket) => socket
                .send(journal_entry(record, line.trim_end()).as_bytes())
                .map(drop),
        };
    }
}

/// An entry of the journal's native protocol, with the fields of oslo.log's `OSJournalHandler`.
/// The short form `NAME=value` will do, as no value holds the end of a line.
fn journal_entry(record: &Record, line: &str) -> String {
    let mut entry = format!(
        "MESSAGE={line}\nPRIORITY={}\nSYSLOG_IDENTIFIER={}\nLOGGER_NAME={}\nLOGGER_LEVEL={}\n",
        priority(record.level),
        env!("CARGO_PKG_NAME"),
        record.logger(),
        record.level_name(),
    );
    if let Some((file, number)) = record.place {
        entry.push_str(&format!("CODE_FILE={file}\nCODE_LINE={number}\n"));
    }
    if let Some(id) = &record.request_id {
        entry.push_str(&format!("REQUEST_ID={id}\n"));
    }
    entry
}

/// syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            time: jiff::Timestamp::UNIX_EPOCH,
            level: Level::WARN,
            target: "cinder.keymgr.migration".into(),
            request_id: Some("req-1".into()),
            message: "waits".into(),
            extra: Vec::new(),
            place: Some(("src/x.rs", 12)),
        }
    }

    #[test]
    fn a_journal_entry_carries_what_oslo_logs_handler_gives() {
        assert_eq!(
            journal_entry(&record(), "the line"),
            "MESSAGE=the line\nPRIORITY=4\nSYSLOG_IDENTIFIER=cinder-key-migrator\n\
             LOGGER_NAME=cinder.keymgr.migration\nLOGGER_LEVEL=WARNING\nCODE_FILE=src/x.rs\n\
             CODE_LINE=12\nREQUEST_ID=req-1\n"
        );
    }

    #[test]
    fn a_log_file_is_appended_to() {
        let directory = tempfile::tempdir().expect("a directory");
        for line in ["one\n", "two\n"] {
            let mut sink = Sink::file_in(directory.path()).expect("a writable directory");
            sink.write(&record(), line);
        }
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).expect("the file");
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_log_directory_that_is_missing_is_an_error_that_names_the_file() {
        let error = Sink::file_in(Path::new("/nonexistent/log")).expect_err("no such directory");
        let text = error.to_string();
        assert!(
            text.starts_with("cannot open the log file /nonexistent/log/cinder-key-migrator.log: "),
            "{text}"
        );
    }
}

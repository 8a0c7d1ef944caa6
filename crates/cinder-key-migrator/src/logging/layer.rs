//! From tracing's events to records.

use std::fmt;
use std::sync::Arc;

use key_migration::ports::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Writer;
use super::record::Record;

/// The field of a span under which all requests within it travel.
const REQUEST_ID: &str = "request_id";

/// Turns every event into a line.
pub(super) struct OsloLayer<C> {
    clock: C,
    writer: Arc<Writer>,
}

impl<C> OsloLayer<C> {
    pub(super) fn new(clock: C, writer: Arc<Writer>) -> Self {
        Self { clock, writer }
    }
}

/// A span's request ID, kept with the span.
struct RequestId(String);

impl<S, C> Layer<S> for OsloLayer<C>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    C: Clock,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut found = Found::default();
        attributes.record(&mut found);
        if let (Some(request_id), Some(span)) = (found.request_id, context.span(id)) {
            span.extensions_mut().insert(RequestId(request_id));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut found = Found::default();
        event.record(&mut found);
        let of_span = || {
            context.event_scope(event)?.find_map(|span| {
                let extensions = span.extensions();
                extensions.get().map(|RequestId(id)| id.clone())
            })
        };
        let metadata = event.metadata();
        self.writer.write(&Record {
            time: self.clock.now(),
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            request_id: found.request_id.or_else(of_span),
            message: found.message,
            extra: found.extra,
            place: metadata.file().zip(metadata.line()),
        });
    }
}

#[derive(Default)]
struct Found {
    message: String,
    request_id: Option<String>,
    extra: Vec<(&'static str, String)>,
}

impl Found {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            REQUEST_ID => self.request_id = Some(value),
            name => self.extra.push((name, value)),
        }
    }
}

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogConfig;
    use crate::logging::record::Process;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Copy)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> jiff::Timestamp {
            "2026-11-23T12:00:00Z".parse().expect("a time")
        }
    }

    fn written(say: impl FnOnce()) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let process = Process {
            id: 7,
            hostname: "host1".into(),
            started: Noon.now(),
            zone: jiff::tz::TimeZone::UTC,
        };
        let config = LogConfig {
            directory: Some(directory.path().to_owned()),
            ..LogConfig::default()
        };
        let writer = Arc::new(Writer::new(process, &config).expect("a writable directory"));
        let subscriber = tracing_subscriber::registry().with(OsloLayer::new(Noon, writer));
        tracing::subscriber::with_default(subscriber, say);
        let text = std::fs::read_to_string(directory.path().join("cinder-key-migrator.log"));
        text.expect("the log").lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_carries_the_request_id_of_the_innermost_span_that_has_one() {
        let lines = written(|| {
            let key = tracing::info_span!("key", request_id = %"req-1");
            key.in_scope(|| {
                tracing::info_span!("step").in_scope(|| {
                    tracing::info!(target: "cinder.keymgr.migration", "inside");
                });
            });
            tracing::warn!(target: "cinder.keymgr.migration", "outside");
        });
        assert_eq!(
            lines,
            [
                "2026-11-23 12:00:00.000 7 INFO cinder.keymgr.migration \
                 [None req-1 - - - - - -] inside",
                "2026-11-23 12:00:00.000 7 WARNING cinder.keymgr.migration [-] outside",
            ]
        );
    }

    #[test]
    fn further_fields_stand_behind_the_message() {
        let lines = written(|| tracing::info!(target: "x::y", status = 201, "answered"));
        assert_eq!(
            lines,
            ["2026-11-23 12:00:00.000 7 INFO x.y [-] answered status=201"]
        );
    }
}

//! One log line, in the two forms of oslo.log: `ContextFormatter` with its default format strings,
//! and `JSONFormatter` (oslo_log/formatters.py).

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tracing::Level;

/// What Python's logging calls a place that it does not know.
const UNKNOWN_FILE: &str = "(unknown file)";
/// Events know no function.
const UNKNOWN_FUNCTION: &str = "(unknown function)";

/// What is known of one event when it is written.
#[derive(Debug)]
pub(crate) struct Record {
    /// When it happened.
    pub(crate) time: Timestamp,
    /// How grave it is.
    pub(crate) level: Level,
    /// The target of the event, with `::` between the parts of a module path.
    pub(crate) target: String,
    /// The request ID of the innermost span that has one.
    pub(crate) request_id: Option<String>,
    /// What is said.
    pub(crate) message: String,
    /// Further fields of the event.
    pub(crate) extra: Vec<(&'static str, String)>,
    /// Source file and line.
    pub(crate) place: Option<(&'static str, u32)>,
}

/// What is the same in every line of this process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Process ID.
    pub(crate) id: u32,
    /// Host name of the machine.
    pub(crate) hostname: String,
    /// When logging began.
    pub(crate) started: Timestamp,
    /// The zone that lines are dated in.
    pub(crate) zone: TimeZone,
}

/// Which of oslo.log's two forms is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `logging_context_format_string` and `logging_default_format_string`.
    Line,
    /// `use_json`
    Json,
}

impl Record {
    /// The line without its end, as the operator's parsers expect it.
    pub(crate) fn render(&self, format: Format, process: &Process) -> String {
        match format {
            Format::Line => self.line(process),
            Format::Json => self.json(process).to_string(),
        }
    }

    /// The name of the level as Python's logging has it.
    pub(crate) fn level_name(&self) -> &'static str {
        match self.level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        }
    }

    /// The name of the logger: Python's separate their parts by a dot.
    pub(crate) fn logger(&self) -> String {
        self.target.replace("::", ".")
    }

    fn line(&self, process: &Process) -> String {
        let mut line = format!(
            "{}.{:03} {} {} {} ",
            self.asctime(process),
            self.milliseconds(),
            process.id,
            self.level_name(),
            self.logger(),
        );
        match &self.request_id {
            Some(id) => push(&mut line, format_args!("[None {id} - - - - - -] ")),
            None => line.push_str("[-] "),
        }
        push_on_one_line(&mut line, &self.message);
        for (name, value) in &self.extra {
            push(&mut line, format_args!(" {name}="));
            push_on_one_line(&mut line, value);
        }
        if let (Level::DEBUG | Level::TRACE, Some((file, number))) = (self.level, self.place) {
            push(&mut line, format_args!(" {file}:{number}"));
        }
        line
    }

    fn json(&self, process: &Process) -> Value {
        let (path, number) = self.place.unwrap_or((UNKNOWN_FILE, 0));
        let file = Path::new(path);
        let part = |part: Option<&OsStr>| part.and_then(OsStr::to_str).map(str::to_owned);
        let created = self.time.as_duration().as_secs_f64();
        let relative = self.time.duration_since(process.started).as_secs_f64();
        json!({
            "message": self.message,
            "asctime": self.asctime(process),
            "name": self.logger(),
            "msg": self.message,
            "args": [],
            "levelname": self.level_name(),
            "levelno": self.level_number(),
            "pathname": path,
            "filename": part(file.file_name()),
            "module": part(file.file_stem()),
            "lineno": number,
            "funcname": UNKNOWN_FUNCTION,
            "created": created,
            "msecs": f64::from(self.milliseconds()),
            "relative_created": relative * 1000.0,
            "thread": null,
            "thread_name": std::thread::current().name(),
            "process_name": env!("CARGO_PKG_NAME"),
            "process": process.id,
            "traceback": null,
            "hostname": process.hostname,
            "error_summary": "",
            "context": self.request_id.as_deref().map_or_else(|| json!({}), context),
            "extra": self.extra(),
        })
    }

    /// What oslo.log's adapter puts there, and the further fields.
    fn extra(&self) -> Value {
        let adapters = [
            ("project", env!("CARGO_PKG_NAME")),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        let further = self.extra.iter().map(|(name, value)| (*name, &**value));
        let all = adapters.into_iter().chain(further);
        all.map(|(name, value)| (name.to_owned(), json!(value)))
            .collect()
    }

    fn asctime(&self, process: &Process) -> String {
        let local = self.time.to_zoned_datetime(process.zone.clone());
        local.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn milliseconds(&self) -> i32 {
        self.time.subsec_millisecond().rem_euclid(1000)
    }

    /// Python's numbers; TRACE has the one that oslo.log gives it.
    fn level_number(&self) -> u8 {
        match self.level {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG => 10,
            Level::TRACE => 5,
        }
    }
}

/// A request without a user, as oslo.context's `get_logging_values` has it.
fn context(request_id: &str) -> Value {
    json!({
        "user_name": null,
        "project_name": null,
        "domain_name": null,
        "user_domain_name": null,
        "project_domain_name": null,
        "user": null,
        "project_id": null,
        "system_scope": null,
        "project": null,
        "domain": null,
        "user_domain": null,
        "project_domain": null,
        "is_admin": false,
        "read_only": false,
        "show_deleted": false,
        "auth_token": null,
        "request_id": request_id,
        "global_request_id": null,
        "resource_uuid": null,
        "roles": [],
        "user_identity": "- - - - -",
        "is_admin_project": true,
    })
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text)
        .expect("writing to a string cannot fail");
}

/// Writes control characters as escapes: a line stays one line, whatever a server answered.
fn push_on_one_line(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_ID: &str = "req-8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d10";

    fn process(zone: &str) -> Process {
        Process {
            id: 7,
            hostname: "host1".into(),
            started: "2026-11-23T08:50:12Z".parse().expect("a time"),
            zone: TimeZone::posix(zone).expect("a zone"),
        }
    }

    fn record(level: Level) -> Record {
        Record {
            time: "2026-11-23T08:50:12.105Z".parse().expect("a time"),
            level,
            target: "cinder.keymgr.migration".into(),
            request_id: None,
            message: "Starting migration of ConfKeyManager keys.".into(),
            extra: Vec::new(),
            place: Some(("src/x.rs", 12)),
        }
    }

    #[test]
    fn a_line_is_what_oslo_log_writes_with_its_default_format() {
        let line = |record: Record| record.render(Format::Line, &process("UTC0"));
        let text = "Starting migration of ConfKeyManager keys.";
        let plain = format!("2026-11-23 08:50:12.105 7 INFO cinder.keymgr.migration [-] {text}");
        assert_eq!(line(record(Level::INFO)), plain);

        let mut warning = record(Level::WARN);
        warning.request_id = Some(REQUEST_ID.into());
        let expected = format!(
            "2026-11-23 08:50:12.105 7 WARNING cinder.keymgr.migration \
             [None {REQUEST_ID} - - - - - -] {text}"
        );
        assert_eq!(line(warning), expected);
    }

    #[test]
    fn levels_have_the_names_that_python_gives_them() {
        let names = [
            (Level::ERROR, "ERROR"),
            (Level::WARN, "WARNING"),
            (Level::INFO, "INFO"),
            (Level::DEBUG, "DEBUG"),
            (Level::TRACE, "TRACE"),
        ];
        for (level, name) in names {
            let line = record(level).render(Format::Line, &process("UTC0"));
            assert_eq!(line.split(' ').nth(3), Some(name));
        }
    }

    #[test]
    fn a_debug_line_ends_with_its_place_and_names_its_module_by_dots() {
        let mut debug = record(Level::DEBUG);
        debug.target = "openstack_client::session".into();
        debug.message = "answered".into();
        debug.extra = vec![("status", "201".into())];
        assert_eq!(
            debug.render(Format::Line, &process("UTC0")),
            "2026-11-23 08:50:12.105 7 DEBUG openstack_client.session [-] answered status=201 \
             src/x.rs:12"
        );
    }

    #[test]
    fn times_are_local() {
        let line = record(Level::INFO).render(Format::Line, &process("CET-1"));
        assert!(line.starts_with("2026-11-23 09:50:12.105 "), "{line}");
    }

    #[test]
    fn a_message_of_several_lines_stays_one_line() {
        let mut odd = record(Level::ERROR);
        odd.message = "Forbidden: a\nb\r\u{1b}[31m é".into();
        let line = odd.render(Format::Line, &process("UTC0"));
        assert!(
            line.ends_with("[-] Forbidden: a\\nb\\r\\u{1b}[31m é"),
            "{line}"
        );
        let json = odd.render(Format::Json, &process("UTC0"));
        assert!(!json.contains('\n'), "{json}");
    }

    #[test]
    fn json_has_the_fields_of_oslo_logs_json_formatter() {
        let mut told = record(Level::WARN);
        told.request_id = Some(REQUEST_ID.into());
        let json: Value =
            serde_json::from_str(&told.render(Format::Json, &process("UTC0"))).expect("JSON");
        let mut names: Vec<_> = json.as_object().expect("an object").keys().collect();
        names.sort_unstable();
        let oslo = "args asctime context created error_summary extra filename funcname hostname \
                    levelname levelno lineno message module msecs msg name pathname process \
                    process_name relative_created thread thread_name traceback";
        assert_eq!(names, oslo.split_whitespace().collect::<Vec<_>>());
        assert_eq!(json["asctime"], "2026-11-23 08:50:12");
        assert_eq!(json["msecs"], 105.0);
        assert_eq!(json["levelname"], "WARNING");
        assert_eq!(json["levelno"], 30);
        assert_eq!(json["name"], "cinder.keymgr.migration");
        assert_eq!(json["filename"], "x.rs");
        assert_eq!(json["module"], "x");
        assert_eq!(json["relative_created"], 105.0);
        assert_eq!(json["context"]["request_id"], REQUEST_ID);
    }
}

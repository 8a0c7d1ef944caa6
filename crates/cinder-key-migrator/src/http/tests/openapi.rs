use key_migration::host_rows::HostRowsBuilder;
use key_migration::ids::{ResourceKind, RowRef};
use key_migration::progress::RowTrouble;
use key_migration::verdict::{Attestation, EvidenceBook, Item};

use super::*;

/// A process whose answers leave nothing out.
fn talkative() -> Process {
    let attestation = Attestation {
        by: "R. Operator".into(),
        at: at("2026-11-23T08:00:00Z"),
    };
    let process = process_that_knows(Known {
        book: EvidenceBook {
            attested: [(Item::OtherRegions, attestation)].into(),
            ..EvidenceBook::default()
        },
        last_change: None,
    });
    process.volume.send_modify(|it| {
        blocked_for_a_role(it);
        it.pass.finished_at = Some(at("2026-11-23T08:03:00Z"));
        it.rate_per_second = 1.5;
        it.eta_seconds = Some(7);
        let row = RowTrouble {
            row: RowRef {
                kind: ResourceKind::Snapshot,
                id: "an id".into(),
            },
            failed: false,
            reason: RowReason::Transitional,
            message: "retyping".into(),
            since: at("2026-11-23T08:00:00Z"),
        };
        it.troubles = Arc::new(vec![row]);
    });
    let mut by_host = HostRowsBuilder::default();
    by_host.add(ResourceKind::Volume, Some("a@b"), Some("c@b"), 1, true);
    let census = Census {
        volumes: 1,
        by_host: by_host.build(),
        ..Census::default()
    };
    let counted_at = at("2026-11-23T08:01:02Z");
    process
        .counted
        .send_replace(Some(Counted { counted_at, census }));
    process
}

/// Holds an answer against what the document says of it: no field more, no field less.
struct Held<'a> {
    document: &'a Value,
    /// Of every optional field, whether it was seen with a value.
    seen: BTreeSet<String>,
}

impl Held<'_> {
    fn hold(&mut self, path: &str, value: &Value, schema: &Value) {
        let schema = self.resolved(schema);
        if let Some(options) = schema["oneOf"].as_array() {
            let null = json!({"type": "null"});
            assert!(options.contains(&null), "{path}: {schema}");
            let other = options.iter().find(|option| **option != null);
            if !value.is_null() {
                self.hold(path, value, other.expect("another option"));
            }
            return;
        }
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(
            types.contains(&is.into()),
            "{path}: {value} is no {types:?}"
        );
        if !value.is_null() {
            self.seen.insert(path.to_owned());
        }
        match value {
            Value::Object(fields) => self.hold_fields(path, fields, &schema),
            Value::Array(items) => {
                for item in items {
                    self.hold(&format!("{path}[]"), item, &schema["items"]);
                }
            }
            Value::String(text) => {
                if let Some(names) = schema["enum"].as_array() {
                    assert!(names.contains(value), "{path}: {text}");
                }
                if schema["format"] == "date-time" {
                    text.parse::<Timestamp>().expect(path);
                }
            }
            _ => {}
        }
    }

    fn hold_fields(&mut self, path: &str, fields: &serde_json::Map<String, Value>, schema: &Value) {
        let described = schema["properties"].as_object().expect(path);
        let names = |fields: &serde_json::Map<String, Value>| -> BTreeSet<String> {
            fields.keys().cloned().collect()
        };
        assert_eq!(names(fields), names(described), "{path}");
        let required = schema["required"].as_array().expect(path);
        assert_eq!(required.len(), described.len(), "{path}: {required:?}");
        for (name, value) in fields {
            self.hold(&format!("{path}.{name}"), value, &described[name]);
        }
    }

    fn resolved(&self, schema: &Value) -> Value {
        match schema["$ref"].as_str() {
            None => schema.clone(),
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("in the document");
                let found = self.document.pointer(pointer);
                found.expect(reference).clone()
            }
        }
    }

    /// Every field that the document has, as deep as it goes.
    fn described(&self, path: &str, schema: &Value, all: &mut BTreeSet<String>) {
        let schema = self.resolved(schema);
        all.insert(path.to_owned());
        for option in schema["oneOf"].as_array().into_iter().flatten() {
            self.described(path, option, all);
        }
        if let Some(fields) = schema["properties"].as_object() {
            for (name, schema) in fields {
                self.described(&format!("{path}.{name}"), schema, all);
            }
        }
        if schema["type"] == "array" {
            self.described(&format!("{path}[]"), &schema["items"], all);
        }
    }
}

async fn document(process: &Process) -> Value {
    let (code, text) = process.get("/openapi.json").await;
    assert_eq!(code, StatusCode::OK);
    serde_json::from_str(&text).expect("JSON")
}

fn schema_of<'a>(document: &'a Value, path: &str) -> &'a Value {
    let content = &document["paths"][path]["get"]["responses"]["200"]["content"];
    &content["application/json"]["schema"]
}

#[tokio::test]
async fn the_document_says_of_the_real_answers_what_they_are_field_by_field() {
    for (process, leaves_nothing_out) in [(talkative(), true), (process(), false)] {
        let document = document(&process).await;
        assert!(
            document["openapi"]
                .as_str()
                .expect("text")
                .starts_with("3.1")
        );
        for path in ["/v1/status", "/v1/rows"] {
            let (_, answer) = process.get(path).await;
            let answer = serde_json::from_str(&answer).expect("JSON");
            let schema = schema_of(&document, path);
            let mut held = Held {
                document: &document,
                seen: BTreeSet::new(),
            };
            held.hold("", &answer, schema);
            if leaves_nothing_out {
                let mut described = BTreeSet::new();
                held.described("", schema, &mut described);
                assert_eq!(held.seen, described, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn every_path_of_the_document_is_served_and_in_the_form_that_it_says() {
    let process = process();
    process.reached.send_replace(true);
    let document = document(&process).await;
    let paths = document["paths"].as_object().expect("paths");
    let names: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    let all = [
        "/",
        "/healthcheck",
        "/livez",
        "/metrics",
        "/openapi.json",
        "/readyz",
        "/v1/events",
        "/v1/rows",
        "/v1/status",
    ];
    assert_eq!(names, all.into());
    for (path, described) in paths {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = process.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let content = &described["get"]["responses"]["200"]["content"];
        let (kind, _) = content.as_object().expect(path).iter().next().expect(path);
        let real = answer.headers()["content-type"].to_str().expect("text");
        assert!(
            real.starts_with(kind.as_str()),
            "{path}: {real}, not {kind}"
        );
    }
}

#[tokio::test]
async fn closed_lists_are_listed_whole() {
    let document = document(&process()).await;
    let schemas = &document["components"]["schemas"];
    let listed = |schema: &str, field: &str| schemas[schema]["properties"][field]["enum"].clone();
    let states = ServiceState::ALL.map(ServiceState::as_str);
    assert_eq!(listed("ServiceStatus", "state"), json!(states));
    let reasons = Reason::ALL.map(Reason::as_str);
    assert_eq!(listed("StatedReason", "code"), json!(reasons));
    let rows = RowReason::ALL.map(RowReason::as_str);
    assert_eq!(listed("Row", "reason"), json!(rows));
}

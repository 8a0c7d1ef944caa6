//! `GET /v1/secrets`: filters, order, pages (barbican
//! `api/controllers/secrets.py`, `model/repositories.py`).

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::policy::may_list;
use super::secrets::{instant, metadata};
use super::vault::{Secret, Vault};
use super::{Call, Refusal, validation};
use crate::answer;

const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

pub(super) fn list(call: &Call<'_>, vault: &Vault) -> Result<Response, Refusal> {
    if !may_list(call.shared.settings.role_world, call.caller) {
        return Err(Refusal::forbidden("Secret(s) retrieval"));
    }
    let query = call.request.query();
    let asked = |key: &str| {
        let found = query.iter().find(|(known, _)| known == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let sort = validation::sort_keys(asked("sort").unwrap_or_default())?;
    let now = call.shared.clock.now();
    let mut found: Vec<&Secret> = match asked("acl_only") {
        Some(only) if only.eq_ignore_ascii_case("true") => {
            vault.readable_by(&call.caller.user_id, now)
        }
        _ => vault.of_project(&call.caller.project_id, now).collect(),
    };
    let filter = Filter::new(&asked)?;
    found.retain(|secret| filter.lets_pass(secret));
    for (key, ascending) in sort.iter().rev() {
        found.sort_by(|left, right| {
            let order = sort_value(left, key).cmp(&sort_value(right, key));
            if *ascending { order } else { order.reverse() }
        });
    }
    let offset = asked("offset")
        .and_then(|text| text.parse::<i64>().ok())
        .unwrap_or(0)
        .max(0);
    let limit = asked("limit").and_then(|text| text.parse::<i64>().ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    Ok(answer::json(
        StatusCode::OK,
        &page(call, &found, offset, limit, &query),
    ))
}

fn page(
    call: &Call<'_>,
    found: &[&Secret],
    offset: i64,
    limit: i64,
    query: &[(String, String)],
) -> Value {
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let start = usize::try_from(offset.min(total)).unwrap_or(usize::MAX);
    let end = usize::try_from(offset.saturating_add(limit).min(total)).unwrap_or(usize::MAX);
    let secrets: Vec<Value> = found[start..end]
        .iter()
        .map(|secret| metadata(call, secret))
        .collect();
    let mut body = json!({"total": total});
    if !secrets.is_empty() {
        let mut others = url::form_urlencoded::Serializer::new(String::new());
        others.extend_pairs(
            query
                .iter()
                .filter(|(key, _)| key != "limit" && key != "offset"),
        );
        let others = others.finish();
        let others = if others.is_empty() {
            others
        } else {
            format!("&{others}")
        };
        let base = call.shared.host_href();
        let link = |at: i64| {
            json!(format!(
                "{base}/v1/secrets?limit={limit}&offset={at}{others}"
            ))
        };
        if offset > 0 {
            body["previous"] = link((offset - limit).max(0));
        }
        if total > offset + limit {
            body["next"] = link(offset + limit);
        }
    }
    body["secrets"] = Value::Array(secrets);
    body
}

/// What a listing is narrowed to. The texts are patterns of SQL's LIKE.
struct Filter {
    name: Option<String>,
    alg: Option<String>,
    mode: Option<String>,
    bits: Option<u16>,
    secret_type: Option<String>,
    created: Vec<Bound>,
    updated: Vec<Bound>,
    expiration: Vec<Bound>,
}

type Bound = (validation::Relation, Timestamp);

impl Filter {
    fn new<'a>(asked: &impl Fn(&str) -> Option<&'a str>) -> Result<Self, Refusal> {
        let text = |key: &str| asked(key).map(ToOwned::to_owned);
        let bounds = |key: &str| validation::date_filter(asked(key).unwrap_or_default());
        Ok(Self {
            // Barbican decodes the name a second time.
            name: asked("name").map(decode),
            alg: text("alg"),
            mode: text("mode"),
            bits: asked("bits")
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits > 0),
            secret_type: text("secret_type"),
            created: bounds("created")?,
            updated: bounds("updated")?,
            expiration: bounds("expiration")?,
        })
    }

    fn lets_pass(&self, secret: &Secret) -> bool {
        let matches = |pattern: &Option<String>, text: &Option<String>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| text.as_ref().is_some_and(|text| like(pattern, text)))
        };
        let within = |bounds: &[Bound], at: Option<Timestamp>| {
            bounds
                .iter()
                .all(|(relation, bound)| at.is_some_and(|at| relation.holds(at, *bound)))
        };
        matches(&self.name, &secret.new.name)
            && matches(&self.alg, &secret.new.algorithm)
            && matches(&self.mode, &secret.new.mode)
            && (self.bits.is_none() || self.bits == secret.new.bit_length)
            && self
                .secret_type
                .as_deref()
                .is_none_or(|kind| kind == secret.secret_type())
            && within(&self.created, Some(secret.created))
            && within(&self.updated, Some(secret.updated))
            && within(&self.expiration, secret.new.expiration)
    }
}

fn sort_value(secret: &Secret, key: &str) -> String {
    match key {
        "created" => format!("{:020}", secret.created.as_second()),
        "updated" => format!("{:020}", secret.updated.as_second()),
        "expiration" => secret.new.expiration.map_or_else(String::new, instant),
        "name" => secret.new.name.clone().unwrap_or_default().to_lowercase(),
        "algorithm" => secret.new.algorithm.clone().unwrap_or_default(),
        "bit_length" => format!("{:05}", secret.new.bit_length.unwrap_or_default()),
        "mode" => secret.new.mode.clone().unwrap_or_default(),
        "secret_type" => secret.secret_type().to_owned(),
        _ => String::new(),
    }
}

fn decode(text: &str) -> String {
    let pair = url::form_urlencoded::parse(text.as_bytes()).next();
    pair.map_or_else(String::new, |(name, value)| match value.is_empty() {
        true => name.into_owned(),
        false => format!("{name}={value}"),
    })
}

/// SQL's LIKE as MariaDB's default collation does it: `%`, `_`, a backslash
/// before either, and no regard to case.
fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    like_from(&pattern, &text)
}

fn like_from(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        (['%', rest @ ..], _) => (0..=text.len()).any(|skip| like_from(rest, &text[skip..])),
        (['\\', literal, rest @ ..], [first, tail @ ..]) => {
            literal == first && like_from(rest, tail)
        }
        (['_', rest @ ..], [_, tail @ ..]) => like_from(rest, tail),
        ([literal, rest @ ..], [first, tail @ ..]) => literal == first && like_from(rest, tail),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_name_is_matched_as_a_pattern_without_regard_to_case() {
        assert!(like("cinder-%", "Cinder-key"));
        assert!(like("a_c", "abc"));
        assert!(like("%", ""));
        assert!(like(r"a\_c", "a_c"));
        assert!(!like(r"a\_c", "abc"));
        assert!(!like("abc", "abcd"));
        assert!(!like("abc%d", "abc"));
    }
}

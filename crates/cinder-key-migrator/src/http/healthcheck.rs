//! `/healthcheck`, as oslo.middleware serves it (oslo_middleware/healthcheck), so that what asks
//! OpenStack's own services can ask here: `OK` and 200, or the reasons and 503; as text, HTML or
//! JSON; HEAD without a body, and with 204 for 200. Of its options there are none: no details, no
//! backends.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{Html, IntoResponse, Json, Response};
use serde_json::json;

use super::snapshot::View;

pub(super) async fn healthcheck(
    State(view): State<Arc<View>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let troubles = view.troubles();
    let code = match (troubles.is_empty(), &method) {
        (true, &Method::HEAD) => StatusCode::NO_CONTENT,
        (true, _) => StatusCode::OK,
        (false, _) => StatusCode::SERVICE_UNAVAILABLE,
    };
    if method == Method::HEAD {
        return code.into_response();
    }
    let reasons = if troubles.is_empty() {
        vec!["OK".to_owned()]
    } else {
        troubles
    };
    let accept = headers.get_all(ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    match Form::preferred(&accept.join(",")) {
        Form::Text => (code, reasons.join("\n")).into_response(),
        Form::Html => (code, Html(page(&reasons))).into_response(),
        Form::Json => {
            (code, Json(json!({ "detailed": false, "reasons": reasons }))).into_response()
        }
    }
}

/// The reasons are texts of this program's own, without a character that means something in HTML.
fn page(reasons: &[String]) -> String {
    let rows: String = reasons
        .iter()
        .map(|reason| format!("<tr><td>{reason}</td></tr>\n"))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Healthcheck Status</title></head>\n\
         <body>\n<table>\n<tr><th>Reason</th></tr>\n{rows}</table>\n</body>\n</html>\n"
    )
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

impl Form {
    /// Where two are as welcome, the earlier one is taken.
    const ALL: [Self; 3] = [Self::Text, Self::Html, Self::Json];

    /// What an `Accept` header likes best (RFC 9110, 12.5.1). One that likes none of them gets
    /// text rather than a 406, as it would there.
    fn preferred(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0);
        for form in Self::ALL {
            let quality = form.quality(accept);
            if quality > best.1 {
                best = (form, quality);
            }
        }
        best.0
    }

    /// From 0 to 1; of several ranges that hold it, the narrowest counts.
    fn quality(self, accept: &str) -> f32 {
        let (kind, name) = match self {
            Self::Text => ("text", "text/plain"),
            Self::Html => ("text", "text/html"),
            Self::Json => ("application", "application/json"),
        };
        let any_of_kind = format!("{kind}/*");
        let mut narrowest = (0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let width = match parts.next().unwrap_or_default().to_ascii_lowercase() {
                range if range == name => 3,
                range if range == any_of_kind => 2,
                range if range == "*/*" => 1,
                _ => continue,
            };
            let quality = parts.find_map(|it| it.strip_prefix("q=")?.parse().ok());
            if width > narrowest.0 {
                narrowest = (width, quality.unwrap_or(1.0));
            }
        }
        narrowest.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_the_asker_likes_best() {
        for (accept, form) in [
            ("", Form::Text),
            ("*/*", Form::Text),
            ("image/png", Form::Text),
            ("application/json", Form::Json),
            ("Application/JSON; charset=utf-8", Form::Json),
            ("application/json;q=0.5, text/html;q=0.7", Form::Html),
            ("text/*;q=0.5, application/json", Form::Json),
            ("text/plain;q=0, */*", Form::Html),
            // A browser.
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Form::Html,
            ),
        ] {
            assert_eq!(Form::preferred(accept), form, "{accept}");
        }
    }
}

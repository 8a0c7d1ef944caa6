//! What Keystone and Barbican say when they refuse, as text that may be shown.

use reqwest::StatusCode;
use serde::Deserialize;

use crate::transport::Answer;

/// As much of a refusal as an operator can use.
const LONGEST_TEXT: usize = 500;

/// A part of a secret this long, found in an answer, is enough to withhold the answer's text.
const GIVEAWAY: usize = 8;

/// What an answer said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// `<title>: <description>`, as python-barbicanclient prints it (its client.py); where nothing
    /// of the kind was said, the status line.
    pub(crate) text: String,
    /// Whether it was said in the form that the service uses. Otherwise it comes from something
    /// that stands before the service.
    pub(crate) by_service: bool,
}

/// Barbican's form (barbican/api/hooks.py), or Keystone's and keystonemiddleware's, which put the
/// same into `error`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Barbican {
        title: String,
        description: Option<String>,
    },
    Keystone {
        error: KeystoneError,
    },
}

#[derive(Deserialize)]
struct KeystoneError {
    title: Option<String>,
    message: Option<String>,
}

/// Reads the refusal. `withheld` is what must not appear: a service may quote what it was sent.
pub(crate) fn said(answer: &Answer, withheld: &[&str]) -> Said {
    let status = answer.status;
    if withheld
        .iter()
        .any(|secret| gives_away(&answer.body, secret))
    {
        return Said {
            text: format!(
                "{} (its text repeats a secret and is withheld)",
                line(status)
            ),
            by_service: true,
        };
    }
    let (title, description) = match serde_json::from_slice(&answer.body) {
        Ok(Form::Barbican { title, description }) => (title, description),
        Ok(Form::Keystone { error }) => (
            error.title.unwrap_or_else(|| reason(status).into()),
            error.message,
        ),
        Err(_) => {
            return Said {
                text: line(status),
                by_service: false,
            };
        }
    };
    let text = match description.filter(|description| !description.is_empty()) {
        Some(description) => format!("{title}: {description}"),
        None => title,
    };
    Said {
        text: presentable(&text),
        by_service: true,
    }
}

/// One line of bounded length, without control characters.
pub(crate) fn presentable(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean = words.chars().filter(|c| !c.is_control());
    let mut short: String = clean.clone().take(LONGEST_TEXT).collect();
    if clean.count() > LONGEST_TEXT {
        short.push('…');
    }
    short
}

fn line(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), reason(status))
        .trim_end()
        .into()
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

fn gives_away(text: &[u8], secret: &str) -> bool {
    let secret = secret.as_bytes();
    !secret.is_empty()
        && secret
            .windows(secret.len().min(GIVEAWAY))
            .any(|part| text.windows(part.len()).any(|window| window == part))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("status"),
            headers: HeaderMap::new(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn text(status: u16, body: &str) -> String {
        said(&answer(status, body), &[]).text
    }

    #[test]
    fn a_refusal_reads_as_python_barbicanclient_prints_it() {
        assert_eq!(
            text(
                403,
                r#"{"code": 403, "title": "Forbidden", "description": "Secret creation attempt not allowed - please review your user/project privileges"}"#
            ),
            "Forbidden: Secret creation attempt not allowed - please review your user/project \
             privileges"
        );
        assert_eq!(text(404, r#"{"title": "Not Found"}"#), "Not Found");
    }

    #[test]
    fn keystone_puts_the_same_into_error() {
        assert_eq!(
            text(
                401,
                r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#
            ),
            "Unauthorized: The request you have made requires authentication."
        );
    }

    #[test]
    fn what_is_no_service_speaks_by_its_status_line() {
        let proxy = said(&answer(503, "<html>no server is available</html>"), &[]);
        assert_eq!(
            proxy,
            Said {
                text: "503 Service Unavailable".into(),
                by_service: false
            }
        );
        assert_eq!(text(599, ""), "599");
    }

    #[test]
    fn a_text_that_repeats_part_of_a_secret_is_withheld() {
        let body = r#"{"title": "Bad Request", "description": "'c2VjcmV0IGtl' is too long"}"#;
        let said = said(&answer(400, body), &["c2VjcmV0IGtleQ=="]);
        assert!(!said.text.contains("c2VjcmV0"), "{}", said.text);
        assert!(said.text.starts_with("400 Bad Request"), "{}", said.text);
    }

    #[test]
    fn texts_are_one_line_of_bounded_length() {
        let text = presentable(&format!("a\r\n\tb\u{1b}[31m{}", "x".repeat(2000)));
        assert!(text.starts_with("a b[31m"), "{text}");
        assert_eq!(text.chars().count(), LONGEST_TEXT + 1);
    }
}

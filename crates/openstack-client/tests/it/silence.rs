//! Nothing secret is logged, at any level, by us or by what we stand on. It takes hold of
//! everything that this process logs, the tests beside it included.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::support::raw::{self, Act};
use crate::support::{
    KEY, PASSWORD, SECRET, barbican, fixed_key, keystone, manager, name, refusal, request,
    token_answer,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_migration::ports::KeyManager;
use openstack_client::{BarbicanConfig, ServerTrust};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

const TOKEN: &str = "gAAAAABtoken-under-test";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A Barbican that stores, then refuses while it quotes what it was sent.
fn barbican_answers(asked: &raw::Heard) -> Act {
    let quoted = String::from_utf8_lossy(&asked.body);
    match asked.target.split('?').next().unwrap_or_default() {
        "POST /v1/secrets" if asked.body.len().is_multiple_of(2) => raw::json(
            400,
            &refusal(400, "Bad Request", &format!("{quoted} is not valid")),
        ),
        "POST /v1/secrets" => raw::json(
            201,
            &json!({"secret_ref": format!("http://b/v1/secrets/{SECRET}")}),
        ),
        "GET /v1/secrets" => Act::Answer(200, Vec::new(), b"{}".to_vec()),
        target if target.ends_with("/payload") => {
            Act::Answer(200, Vec::new(), fixed_key().expose().to_vec())
        }
        target if target.ends_with("/acl") => raw::json(200, &json!({})),
        _ => raw::json(401, &refusal(401, "Unauthorized", &asked.head)),
    }
}

fn keystone_answers(asked: &raw::Heard, endpoint: &str) -> Act {
    if asked.head.contains("/elsewhere/") {
        let quoted = String::from_utf8_lossy(&asked.body);
        return raw::json(
            401,
            &json!({"error": {"code": 401, "title": "Unauthorized", "message": quoted}}),
        );
    }
    token_answer(TOKEN, endpoint)
}

#[tokio::test]
async fn no_password_token_or_key_is_logged_at_any_level_by_anything() {
    let log = Log::default();
    let kept = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || kept.clone())
        .finish()
        .init();

    let (at, _) = raw::serve_tls(barbican_answers).await;
    let endpoint = format!("https://localhost:{}", at.port());
    let (at, _) = raw::serve_tls(move |asked| keystone_answers(asked, &endpoint)).await;
    let trust = ServerTrust::Anything {
        option: "[barbican] verify_ssl".into(),
    };
    let built = |path: &str| {
        let mut keystone = keystone(&format!("https://localhost:{}{path}", at.port()));
        keystone.trust = trust.clone();
        let barbican = BarbicanConfig {
            trust: trust.clone(),
            ..barbican()
        };
        manager(keystone, barbican)
    };

    let mut said = String::new();
    let working = built("/v3");
    let secret = SECRET.parse().expect("a UUID");
    for row in ["1", "12"] {
        said += &format!(
            "{:?}\n",
            working.store(&name(row), &fixed_key(), request()).await
        );
    }
    let readers = ["reader".into()].into_iter().collect();
    working
        .set_readers(secret, &readers, request())
        .await
        .expect("set");
    working.payload(secret, request()).await.expect("read");
    said += &format!("{:?}\n", working.find(&name("1"), request()).await);
    said += &format!("{:?}\n", working.delete(secret, request()).await);
    said += &format!("{:?}\n", working.session().token(request()).await);
    said += &format!("{:?}\n", built("/elsewhere").probe(request()).await);

    let log = String::from_utf8_lossy(&log.0.lock().expect("lock")).into_owned();
    for expected in [
        "POST /v1/secrets: 201 after ",
        "rustls",
        "reqwest",
        "verify_ssl switches",
    ] {
        assert!(log.contains(expected), "the log was not caught: {expected}");
    }
    assert!(said.contains("is withheld"), "{said}");
    let everything = log + &said;
    let bytes = fixed_key().expose().to_vec();
    let debugged = format!("{bytes:?}");
    let base64 = STANDARD.encode(&bytes);
    for secret in [PASSWORD, TOKEN, &KEY[..16], &base64[..12], &debugged[1..40]] {
        let at = everything.find(secret);
        assert_eq!(
            at,
            None,
            "{}",
            &everything[at.unwrap_or(0).saturating_sub(200)..][..220]
        );
    }
}

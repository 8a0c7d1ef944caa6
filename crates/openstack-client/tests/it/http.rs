//! What the HTTP client does and does not do, against servers that misbehave byte by byte.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use key_migration::ports::{KeyManager, SecretError, StoreError};
use key_migration::reasons::Reason;
use openstack_client::{
    Api, BarbicanConfig, BarbicanKeyManager, ConfigError, Operation, Outcome, RequestObserver,
    ServerTrust, Timeouts,
};

use crate::Stage;
use crate::support::raw::{self, Act};
use crate::support::{
    SECRET, barbican, fixed_key, keystone, manager, name, request, timeouts, token_answer,
};

/// A Keystone that lets everybody in, and this address for Barbican.
async fn manager_for(address: SocketAddr, config: BarbicanConfig) -> BarbicanKeyManager {
    let endpoint = format!("http://{address}");
    let address = raw::serve(move |_| token_answer("t", &endpoint)).await;
    manager(keystone(&format!("http://{address}/v3")), config)
}

fn empty_listing() -> Act {
    raw::json(200, &serde_json::json!({"secrets": [], "total": 0}))
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&elsewhere);
    let target = raw::serve(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        empty_listing()
    })
    .await;
    let here = raw::serve(move |_| {
        let location = format!("Location: http://{target}/v1/secrets?x=y");
        Act::Answer(307, vec![location], Vec::new())
    })
    .await;
    let manager = manager_for(here, barbican()).await;
    let Err(StoreError::NotStored(fault)) =
        manager.store(&name("1"), &fixed_key(), request()).await
    else {
        panic!("not stored");
    };
    assert_eq!(fault.reason, Reason::Configuration);
    let points_to = format!("points to http://{target}/v1/secrets");
    assert!(fault.message.ends_with(&points_to), "{fault}");
    assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_probe_succeeds() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.manager.probe(request()).await.expect("both answer");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "http::a_probe_succeeds"]);
    for proxy in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        child.env(proxy, "http://127.0.0.1:1");
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = child.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_reset_leaves_the_outcome_unknown() {
    let manager = manager_for(raw::serve_resets().await, barbican()).await;
    let stored = manager.store(&name("1"), &fixed_key(), request()).await;
    assert!(
        matches!(stored, Err(StoreError::OutcomeUnknown(_))),
        "{stored:?}"
    );
}

#[tokio::test]
async fn an_answer_that_trickles_is_given_up_in_time() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123";
    let address = raw::serve(move |_| Act::Stall(head.to_vec())).await;
    let mut config = barbican();
    config.timeouts = Timeouts {
        total: Duration::from_millis(200),
        ..timeouts()
    };
    let manager = manager_for(address, config).await;
    let payload = manager
        .payload(SECRET.parse().expect("a UUID"), request())
        .await;
    assert_eq!(
        payload.err(),
        Some(SecretError::Failed(format!(
            "Barbican at http://{address}/v1 gave no answer: it did not answer in time"
        )))
    );
}

#[tokio::test]
async fn an_answer_without_announced_length_is_bounded_too() {
    let address = raw::serve(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.resize(3 * 1024 * 1024, b'x');
        Act::Stall(bytes)
    })
    .await;
    let manager = manager_for(address, barbican()).await;
    let payload = manager
        .payload(SECRET.parse().expect("a UUID"), request())
        .await;
    let Err(SecretError::Failed(text)) = payload else {
        panic!("too long");
    };
    assert!(
        text.ends_with("its answer is longer than 1048576 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_http_or_no_json_is_an_error_of_that_call() {
    let address = raw::serve(|_| Act::Stall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())).await;
    let fault = manager_for(address, barbican())
        .await
        .probe(request())
        .await
        .expect_err("no HTTP");
    assert_eq!(fault.reason, Reason::BarbicanFailing);

    let address =
        raw::serve(|_| Act::Answer(201, vec!["X-Subject-Token: t".into()], b"{]".to_vec())).await;
    let manager = manager(keystone(&format!("http://{address}")), barbican());
    let fault = manager.probe(request()).await.expect_err("no JSON");
    assert_eq!(fault.reason, Reason::KeystoneUnreachable);
    assert!(
        fault
            .message
            .ends_with("its answer describes no token for a project"),
        "{fault}"
    );
}

#[tokio::test]
async fn the_headers_say_who_asks_and_no_microversion() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let address = raw::serve(move |asked| {
        kept.lock()
            .expect("lock")
            .push((asked.target.clone(), asked.head.to_lowercase()));
        empty_listing()
    })
    .await;
    let id = request();
    manager_for(address, barbican())
        .await
        .probe(id)
        .await
        .expect("an answer");
    let heard = heard.lock().expect("lock");
    let [(target, head)] = &heard[..] else {
        panic!("one request");
    };
    assert_eq!(target, "GET /v1/secrets?limit=1");
    for header in [
        "x-auth-token: t\r\n".to_owned(),
        format!("x-openstack-request-id: {id}\r\n"),
        concat!(
            "user-agent: cinder-key-migrator/",
            env!("CARGO_PKG_VERSION"),
            "\r\n"
        )
        .into(),
        "accept: application/json\r\n".into(),
    ] {
        assert!(head.contains(&header), "{header} in {head}");
    }
    assert!(!head.contains("openstack-api-version"), "{head}");
}

/// Barbican over TLS with a certificate that nobody knows, and this trust.
async fn over_tls(trust: impl FnOnce(&str) -> ServerTrust) -> BarbicanKeyManager {
    let (address, certificate) = raw::serve_tls(|_| empty_listing()).await;
    let endpoint = format!("https://localhost:{}", address.port());
    let address = raw::serve(move |_| token_answer("t", &endpoint)).await;
    let config = BarbicanConfig {
        trust: trust(&certificate),
        ..barbican()
    };
    manager(keystone(&format!("http://{address}")), config)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let manager = over_tls(|_| ServerTrust::System).await;
    let Err(StoreError::NotStored(fault)) =
        manager.store(&name("1"), &fixed_key(), request()).await
    else {
        panic!("nothing was sent");
    };
    assert_eq!(fault.reason, Reason::BarbicanUnreachable);
    assert!(fault.message.contains("certificate"), "{fault}");
}

#[tokio::test]
async fn a_bundle_of_the_configuration_is_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    let manager = over_tls(|certificate| {
        std::fs::write(&path, certificate).expect("written");
        ServerTrust::Bundle {
            path: path.clone(),
            option: "[barbican] verify_ssl_path".into(),
        }
    })
    .await;
    manager.probe(request()).await.expect("believed");
}

#[tokio::test]
async fn with_verify_ssl_off_any_certificate_will_do() {
    let manager = over_tls(|_| ServerTrust::Anything {
        option: "[barbican] verify_ssl".into(),
    })
    .await;
    manager.probe(request()).await.expect("anything goes");
}

#[test]
fn a_bundle_that_cannot_be_used_is_named_with_its_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").expect("written");
    let build = |path: &std::path::Path| {
        let config = BarbicanConfig {
            trust: ServerTrust::Bundle {
                path: path.into(),
                option: "[barbican] verify_ssl_path".into(),
            },
            ..barbican()
        };
        BarbicanKeyManager::new(keystone("http://k"), config, Arc::new(())).expect_err("unusable")
    };
    let missing = folder.path().join("missing.pem");
    let error = build(&missing);
    assert!(
        matches!(error, ConfigError::UnreadableBundle { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("[barbican] verify_ssl_path: cannot read ")
    );
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error = build(&empty);
    assert!(matches!(error, ConfigError::BadBundle { .. }), "{error}");
    assert!(error.to_string().contains("empty.pem"), "{error}");
}

#[derive(Default)]
struct Seen(Mutex<Vec<(Api, Operation, Outcome)>>);

impl RequestObserver for Seen {
    fn observe(&self, api: Api, operation: Operation, outcome: Outcome, _: Duration) {
        self.0.lock().expect("lock").push((api, operation, outcome));
    }
}

#[tokio::test]
async fn every_request_is_told_of_with_its_outcome() {
    let stage = Stage::with_roles(&["member"]).await;
    let seen = Arc::new(Seen::default());
    let manager = BarbicanKeyManager::new(
        keystone(&stage.cloud.keystone_url()),
        barbican(),
        Arc::clone(&seen) as Arc<dyn RequestObserver>,
    )
    .expect("a configuration");
    let id = manager
        .store(&name("1"), &fixed_key(), request())
        .await
        .expect("stored");
    stage.cloud.revoke_all_tokens();
    manager.delete(id, request()).await.expect("deleted");
    stage.cloud.stop(sandbox_cloud::Service::Barbican).await;
    manager.probe(request()).await.expect_err("nobody there");
    assert_eq!(
        *seen.0.lock().expect("lock"),
        [
            (Api::Keystone, Operation::SignIn, Outcome::Success),
            (Api::Barbican, Operation::Store, Outcome::Success),
            (Api::Barbican, Operation::Delete, Outcome::Unauthorized),
            (Api::Keystone, Operation::SignIn, Outcome::Success),
            (Api::Barbican, Operation::Delete, Outcome::Success),
            (Api::Barbican, Operation::Probe, Outcome::NotSent),
        ]
    );
}

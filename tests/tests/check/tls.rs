//! What others could read on its way.

use anyhow::Result;
use key_migrator_tests::Cloud;
use key_migrator_tests::tls::{Authority, TlsFront, Validity};

use crate::stage::{Stage, text};

#[tokio::test]
async fn a_certificate_must_be_trusted_and_looked_at() -> Result<()> {
    let stage = Stage::set().await?;
    let authority = Authority::new()?;
    let server = authority.certify("127.0.0.1", Validity::Good)?;
    let keystone = TlsFront::before(&stage.cloud.auth_url(), &server, None).await?;
    let barbican = TlsFront::before(&stage.cloud.barbican_endpoint(), &server, None).await?;
    let auth_url = format!("{}/v3", keystone.url());
    let tls = stage
        .conf
        .clone()
        .set("barbican", "barbican_endpoint", &barbican.url());
    let tls = tls.set("keystone_authtoken", "auth_url", &auth_url);
    let bundle = authority.bundle();
    let trusted = tls
        .clone()
        .set("keystone_authtoken", "cafile", text(&bundle));
    let said = stage.check_as(&trusted).await?;
    said.is_all_success();
    assert!(
        said.details("TLS")
            .contains("Both certificates are checked")
    );
    let unchecked = trusted.clone().set("barbican", "verify_ssl", "false");
    let said = stage.check_as(&unchecked).await?;
    said.warns(
        "TLS",
        "[barbican] verify_ssl switches the check",
        "verify_ssl_path",
    );
    let said = stage.check_as(&tls).await?;
    said.fails("Keystone", "invalid peer certificate", "certificate");
    let nowhere = trusted
        .clone()
        .set("keystone_authtoken", "cafile", "/nonexistent.pem");
    let said = stage.check_as(&nowhere).await?;
    said.fails("Configuration", "cafile: cannot read /nonexistent.pem", "");

    // An address that is no loopback one, and that Linux takes for this host all the same.
    let plain = |url: &str| url.replacen("://127.0.0.1:", "://0.0.0.0:", 1);
    let plain_auth_url = plain(&stage.cloud.auth_url());
    let plain_endpoint = plain(&stage.cloud.barbican_endpoint());
    for (section, option, url, mended) in [
        ("keystone_authtoken", "auth_url", &plain_auth_url, &auth_url),
        (
            "barbican",
            "barbican_endpoint",
            &plain_endpoint,
            &barbican.url(),
        ),
    ] {
        let said = stage
            .check_as(&trusted.clone().set(section, option, url))
            .await?;
        let details = format!("Keys or passwords go unencrypted to {url}");
        said.warns("TLS", &details, "endpoints that begin with https://");
        let said = stage
            .check_as(&trusted.clone().set(section, option, mended))
            .await?;
        said.is_all_success();
    }
    let said = stage.check().await?;
    said.is_all_success();
    let details = "What is not encrypted does not leave this host.";
    assert_eq!(said.details("TLS"), details);
    Ok(())
}

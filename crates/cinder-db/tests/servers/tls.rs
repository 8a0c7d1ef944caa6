//! Databases that speak TLS with certificates of a private authority: which parameters of the URL
//! are needed, and what is said where they are wrong.

use anyhow::{Context as _, Result};
use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::reasons::Fault;
use key_migration::rows::Scope;
use key_migrator_tests::services::Services;
use key_migrator_tests::tls::{Authority, Certified, TlsFront, Validity};
use key_migrator_tests::{CinderDatabase, Dialect};
use secrecy::SecretString;

use crate::mariadb::Server;

/// Asks the database at this URL.
async fn ask(url: String) -> Result<u64, DatabaseError> {
    let (config, _) = ConnectionConfig::parse(&SecretString::from(url)).expect("a valid URL");
    let config = config.set_at("cinder.conf:42");
    let scope = Scope::Backups(vec!["h".into()]);
    CinderDb::new(config).count_zero_rows(&scope).await
}

async fn fault(url: String) -> Result<Fault> {
    match ask(url).await {
        Err(DatabaseError::Unreachable(fault) | DatabaseError::Refused(fault)) => Ok(fault),
        other => anyhow::bail!("{other:?}"),
    }
}

fn assert_says(fault: &Fault, message: &str, remedy: &str) {
    assert!(fault.message.contains(message), "{fault:?}");
    assert!(fault.remedy.contains(remedy), "{fault:?}");
    for secret in ["hunter2", "127.0.0.1", "db.example.org", "mysql+"] {
        assert!(!format!("{fault:?}").contains(secret), "{fault:?}");
    }
}

#[tokio::test]
async fn mariadb_is_believed_as_far_as_the_url_says() -> Result<()> {
    let authority = Authority::new()?;
    let ca = authority.bundle();
    let ca = ca.to_str().context("UTF-8")?;
    let good = authority.certify("127.0.0.1", Validity::Good)?;
    let server = Server::start(&authority, &good)?;
    assert_eq!(
        ask(server.url("", "")).await?,
        1,
        "encrypted where it can be"
    );
    assert_eq!(ask(server.url("", &format!("ssl_ca={ca}"))).await?, 1);
    assert_eq!(
        ask(server.url(
            "",
            &format!("ssl_ca={ca}&ssl_verify_cert=true&ssl_verify_identity=true")
        ))
        .await?,
        1
    );
    assert_says(
        &fault(server.url("", "ssl_verify_cert=true")).await?,
        "issued by an authority that is not trusted",
        "let ssl_ca (PostgreSQL: sslrootcert) in cinder.conf:42: [database] connection name a file",
    );

    server
        .present(&authority.certify("127.0.0.1", Validity::Expired)?)
        .await?;
    assert_says(
        &fault(server.url("", &format!("ssl_ca={ca}"))).await?,
        "has expired",
        "renew the certificate of the database server",
    );

    server
        .present(&authority.certify("db.example.org", Validity::Good)?)
        .await?;
    assert_says(
        &fault(server.url("", &format!("ssl_ca={ca}"))).await?,
        "is for another name",
        "ssl_check_hostname=false",
    );
    let chain_only = format!("ssl_ca={ca}&ssl_check_hostname=false");
    assert_eq!(ask(server.url("", &chain_only)).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_account_that_requires_a_certificate_gets_it() -> Result<()> {
    let authority = Authority::new()?;
    let ca = authority.bundle();
    let ca = ca.to_str().context("UTF-8")?;
    let good = authority.certify("127.0.0.1", Validity::Good)?;
    let server = Server::start(&authority, &good)?;
    let Certified { certificate, key } = authority.certify("cinder", Validity::Good)?;
    let shown = format!(
        "ssl_ca={ca}&ssl_cert={}&ssl_key={}",
        certificate.display(),
        key.display()
    );
    assert_eq!(ask(server.url("certified", &shown)).await?, 1);
    assert_says(
        &fault(server.url("certified", &format!("ssl_ca={ca}"))).await?,
        "error 1045",
        "needs ssl_cert and ssl_key",
    );
    assert_says(
        &fault(server.url("certified", "ssl_disabled=true")).await?,
        "error 1045",
        "needs ssl_cert and ssl_key",
    );
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() -> Result<()> {
    let server = Server::without_tls()?;
    assert_eq!(ask(server.url("", "")).await?, 1);
    assert_says(
        &fault(server.url("", "ssl_verify_cert=true")).await?,
        "the server does not offer it",
        "switch TLS on at the database",
    );
    Ok(())
}

#[tokio::test]
async fn postgresql_is_believed_as_far_as_sslmode_says() -> Result<()> {
    let database = CinderDatabase::new(&Services::from_env(), Dialect::Postgres).await?;
    let port = Services::from_env().postgresql.port;
    let authority = Authority::new()?;
    let ca = authority.bundle().display().to_string();
    let url = |front: &TlsFront, parameters: &str| {
        let url = database.connection_url();
        let url = url.replace(&format!(":{port}/"), &format!(":{}/", front.port()));
        format!("{url}?{parameters}")
    };
    let good = authority.certify("127.0.0.1", Validity::Good)?;
    let front = TlsFront::before_postgresql(port, &good, None).await?;
    for parameters in [
        "sslmode=require".to_owned(),
        format!("sslmode=verify-ca&sslrootcert={ca}"),
        format!("sslmode=verify-full&sslrootcert={ca}"),
    ] {
        assert_eq!(ask(url(&front, &parameters)).await?, 0, "{parameters}");
    }
    assert_says(
        &fault(url(&front, "sslmode=verify-full")).await?,
        "issued by an authority that is not trusted",
        "(PostgreSQL: sslrootcert)",
    );
    assert_says(
        &fault(format!("{}?sslmode=require", database.connection_url())).await?,
        "the server does not offer it",
        "PostgreSQL: sslmode) out of cinder.conf:42: [database] connection",
    );

    let other = authority.certify("db.example.org", Validity::Good)?;
    let front = TlsFront::before_postgresql(port, &other, None).await?;
    let full = format!("sslmode=verify-full&sslrootcert={ca}");
    assert_says(
        &fault(url(&front, &full)).await?,
        "is for another name",
        "sslmode=verify-ca",
    );
    let chain_only = format!("sslmode=verify-ca&sslrootcert={ca}");
    assert_eq!(ask(url(&front, &chain_only)).await?, 0);

    let front = TlsFront::before_postgresql(port, &good, Some(&authority.bundle())).await?;
    let Certified { certificate, key } = authority.certify("cinder", Validity::Good)?;
    let shown = format!(
        "{full}&sslcert={}&sslkey={}",
        certificate.display(),
        key.display()
    );
    assert_eq!(ask(url(&front, &shown)).await?, 0);
    assert_says(
        &fault(url(&front, &full)).await?,
        "the server ended it with the alert",
        "sslcert and sslkey",
    );
    Ok(())
}

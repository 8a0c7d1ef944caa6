//! Databases that cannot be used: each ends in an error of its own, in bounded time, and none
//! tells how to sign in.

use cinder_db::{CinderDb, ConnectionConfig};
use key_migration::ports::{CinderDatabase as _, DatabaseError};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::Scope;
use secrecy::SecretString;
use tokio::net::TcpListener;

fn open(url: &str) -> CinderDb {
    let (config, _) = ConnectionConfig::parse(&SecretString::from(url)).expect("a valid URL");
    CinderDb::new(config)
}

async fn ask(db: &CinderDb) -> DatabaseError {
    let scope = Scope::Backups(vec!["h".into()]);
    db.count_zero_rows(&scope)
        .await
        .expect_err("there is no such database")
}

fn assert_fault(fault: &Fault, message: &str) {
    assert_eq!(fault.reason, Reason::DatabaseUnreachable);
    assert!(fault.message.contains(message), "{fault:?}");
    assert!(fault.remedy.contains("[database] connection"), "{fault:?}");
    for secret in ["alice", "hunter2", "127.0.0.1", "mysql"] {
        assert!(!format!("{fault:?}").contains(secret), "{fault:?}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let db = open(&format!("mysql://alice:hunter2@127.0.0.1:{port}/d"));
    let DatabaseError::Unreachable(fault) = ask(&db).await else {
        panic!("not unreachable")
    };
    assert_fault(&fault, "connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_unreachable_after_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let db = open(&format!("mysql://alice:hunter2@127.0.0.1:{port}/d"));
    let DatabaseError::Unreachable(fault) = ask(&db).await else {
        panic!("not unreachable")
    };
    assert_fault(&fault, "did not answer within");
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let db = open(&format!("mysql://alice:hunter2@127.0.0.1:{port}/d"));
    let DatabaseError::Unreachable(fault) = ask(&db).await else {
        panic!("not unreachable")
    };
    assert_fault(&fault, "cannot be reached");
}

#[tokio::test]
async fn a_missing_sqlite_file_is_named_and_not_created() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cinder.sqlite");
    let db = open(&format!("sqlite:///{}", path.display()));
    let DatabaseError::Refused(fault) = ask(&db).await else {
        panic!("not refused")
    };
    assert_fault(
        &fault,
        &format!("the file {} does not exist", path.display()),
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "x".repeat(4096)).expect("writable");
    let db = open(&format!("sqlite:///{}", file.path().display()));
    let DatabaseError::Refused(fault) = ask(&db).await else {
        panic!("not refused")
    };
    assert_fault(&fault, "SQLite error 26");
}

#[tokio::test]
async fn an_sqlite_file_without_cinders_tables_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let db = open(&format!("sqlite:///{}", file.path().display()));
    let DatabaseError::Refused(fault) = ask(&db).await else {
        panic!("not refused")
    };
    assert_fault(&fault, "table backups");
    assert!(fault.remedy.contains("cinder-manage db sync"), "{fault:?}");
}

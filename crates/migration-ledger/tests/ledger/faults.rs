//! W17: what is wrong with the disk is told before anything is sent, and is over once it is mended.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use key_migration::ids::ResourceKind;
use key_migration::ledger::Event;
use key_migration::ports::Ledger;
use key_migration::reasons::{Fault, Reason};
use migration_ledger::MigrationLedger;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::elsewhere::{self, WITH_MOUNTS, WITHOUT_PRIVILEGES, block_on, system};
use crate::support::{
    Home, KEEPER, TestClock, entry, intend, ledger_file, open_rows, refused, request, volume,
};

fn says(fault: &Fault, message: &str, remedy: &str) {
    assert_eq!(fault.reason, Reason::LedgerUnavailable);
    assert!(fault.message.contains(message), "{fault:?}");
    assert!(fault.remedy.contains(remedy), "{fault:?}");
}

#[test]
fn w17_on_a_full_disk_nothing_is_intended_until_there_is_space() {
    let test = "faults::w17_on_a_full_disk_nothing_is_intended_until_there_is_space";
    elsewhere::run(WITH_MOUNTS, test, || block_on(fill_the_disk()));
}

async fn fill_the_disk() {
    let home = Home::new();
    let dir = home.state_dir();
    let path = dir.display().to_string();
    fs::create_dir(&dir).expect("made");
    system("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", &path]);
    let ledger = home.ledger();
    intend(&ledger, "v0").await;

    fill(&dir);
    let mut fault = None;
    for number in 1..1000 {
        let row = volume(&format!("v{number}"));
        ledger.note(KEEPER, entry(&row, Event::GivenUp));
        fault = ledger.intend(KEEPER, &row, request(1)).await.err();
        if fault.is_some() {
            break;
        }
    }
    let fault = fault.expect("the disk is full");
    says(
        &fault,
        &format!("{path} has no space left"),
        &format!("df -h {path}"),
    );
    ledger.note(KEEPER, entry(&volume("v0"), Event::NotStored));
    assert_eq!(ledger.flush().await, Err(fault.clone()));
    ledger.close().await;

    let opened_when_full = home.ledger();
    assert_eq!(refused(&opened_when_full).await, fault);
    opened_when_full.note(KEEPER, entry(&volume("noted"), Event::GivenUp));
    fs::remove_file(dir.join("ballast")).expect("removed");
    intend(&opened_when_full, "last").await;
    let found = opened_when_full
        .recall(KEEPER, &[ResourceKind::Volume])
        .await;
    let found = found.expect("readable");
    assert_eq!(
        found.open[0].row,
        volume("v0"),
        "what was intended is there"
    );
    assert_eq!(found.open.last().expect("one").row, volume("last"));
    let looks = found.second_looks.last().expect("one");
    assert_eq!(
        looks.0,
        volume("noted"),
        "what was noted meanwhile is there"
    );
}

fn fill(dir: &Path) {
    let mut ballast = fs::File::create(dir.join("ballast")).expect("made");
    while ballast.write_all(&[0; 4096]).is_ok() {}
    while ballast.write_all(&[0]).is_ok() {}
}

#[test]
fn w17_on_a_full_disk_what_is_noted_is_written_by_itself_once_there_is_space() {
    let test = "faults::w17_on_a_full_disk_what_is_noted_is_written_by_itself_once_there_is_space";
    elsewhere::run(WITH_MOUNTS, test, || {
        block_on(async {
            let home = Home::new();
            let dir = home.state_dir();
            fs::create_dir(&dir).expect("made");
            let path = dir.display().to_string();
            system("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", &path]);
            fill(&dir);
            let ledger = home.ledger();
            ledger.note(KEEPER, entry(&volume("v1"), Event::Unanswered));
            says(
                &ledger.flush().await.expect_err("full"),
                "no space left",
                "df -h",
            );
            fs::remove_file(dir.join("ballast")).expect("removed");
            while ledger.commits() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
    });
}

#[test]
fn w17_a_read_only_file_system_is_told_and_taken_up_when_it_is_writable() {
    let test = "faults::w17_a_read_only_file_system_is_told_and_taken_up_when_it_is_writable";
    elsewhere::run(WITH_MOUNTS, test, || {
        block_on(async {
            let home = Home::new();
            let dir = home.state_dir();
            fs::create_dir(&dir).expect("made");
            let path = dir.display().to_string();
            system("mount", &["-t", "tmpfs", "tmpfs", &path]);
            system("mount", &["-o", "remount,ro", &path]);
            let ledger = home.ledger();
            let told = format!("{path} is on a file system that is mounted read-only");
            says(&refused(&ledger).await, &told, "mount -o remount,rw");
            system("mount", &["-o", "remount,rw", &path]);
            intend(&ledger, "v1").await;
            ledger.close().await;
            system("mount", &["-o", "remount,ro", &path]);
            says(&refused(&home.ledger()).await, &told, "mount -o remount,rw");
        });
    });
}

#[test]
fn w17_missing_permissions_are_told_and_taken_up_when_they_are_given() {
    let test = "faults::w17_missing_permissions_are_told_and_taken_up_when_they_are_given";
    elsewhere::run(WITHOUT_PRIVILEGES, test, || {
        block_on(async {
            let home = Home::new();
            let dir = home.state_dir();
            fs::create_dir(&dir).expect("made");
            let permit = |path: &Path, mode| {
                fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
            };
            permit(&dir, 0o500);
            let ledger = home.ledger();
            let told = format!("may not write to {}", dir.display());
            let fault = refused(&ledger).await;
            says(&fault, &told, "mkdir -p ");
            system("sh", &["-c", &fault.remedy]);
            intend(&ledger, "v1").await;
            ledger.close().await;

            permit(&ledger_file(&dir), 0o400);
            let ledger = home.ledger();
            let told = format!("may not write to {}", ledger_file(&dir).display());
            let fault = refused(&ledger).await;
            says(&fault, &told, "mkdir -p ");
            system("sh", &["-c", &fault.remedy]);
            assert_eq!(open_rows(&ledger).await, ["v1"]);
        });
    });
}

#[tokio::test]
async fn w17_a_file_in_place_of_the_directory_is_named() {
    let home = Home::new();
    fs::write(home.state_dir(), "").expect("written");
    let ledger = MigrationLedger::new(home.state_dir().join("below"), TestClock::default());
    let told = format!("{} is not a directory", home.state_dir().display());
    says(&refused(&ledger).await, &told, "mv ");
    fs::remove_file(home.state_dir()).expect("removed");
    intend(&ledger, "v1").await;
}

#[tokio::test]
async fn w17_what_is_no_ledger_is_refused_and_left_as_it_is() {
    for content in [&b"short"[..], &[b'x'; 20_000]] {
        let home = Home::new();
        fs::create_dir(home.state_dir()).expect("made");
        let file = ledger_file(&home.state_dir());
        fs::write(&file, content).expect("written");
        let ledger = home.ledger();
        let told = format!("{} is not a ledger", file.display());
        says(
            &refused(&ledger).await,
            &told,
            "found again by name, only slower: mkdir ",
        );
        assert_eq!(fs::read(&file).expect("there"), content);
        follow(&refused(&ledger).await);
        intend(&ledger, "v1").await;
    }
}

/// Types the command at the end of the remedy.
fn follow(fault: &Fault) {
    let (_, command) = fault.remedy.rsplit_once(": ").expect("a command");
    system("sh", &["-c", command]);
}

#[tokio::test]
async fn w17_another_programs_database_is_refused_and_left_as_it_is() {
    let home = Home::new();
    fs::create_dir(home.state_dir()).expect("made");
    let file = ledger_file(&home.state_dir());
    change(&file, "CREATE TABLE volumes (id TEXT)").await;
    let before = fs::read(&file).expect("there");
    says(&refused(&home.ledger()).await, "is not a ledger", "mv ");
    assert_eq!(fs::read(&file).expect("there"), before);
}

#[tokio::test]
async fn w17_a_ledger_of_a_later_version_is_refused_and_left_as_it_is() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.close().await;
    let file = ledger_file(&home.state_dir());
    change(&file, "PRAGMA user_version = 2").await;
    let before = fs::read(&file).expect("there");
    let ledger = home.ledger();
    says(
        &refused(&ledger).await,
        "has format 2, of a later version",
        "run the later version",
    );
    assert_eq!(fs::read(&file).expect("there"), before);
    change(&file, "PRAGMA user_version = 1").await;
    assert_eq!(open_rows(&ledger).await, ["v1"]);
}

#[tokio::test]
async fn w17_a_damaged_ledger_is_told_and_can_be_moved_away() {
    let home = Home::new();
    let ledger = home.ledger();
    for number in 0..200 {
        intend(&ledger, &format!("v{number}")).await;
    }
    ledger.close().await;
    let file = ledger_file(&home.state_dir());
    let mut bytes = fs::read(&file).expect("there");
    bytes[4096..].fill(0xa5);
    fs::write(&file, bytes).expect("written");
    let ledger = home.ledger();
    let fault = refused(&ledger).await;
    says(
        &fault,
        "is damaged",
        "found again by name, only slower: mkdir ",
    );
    follow(&fault);
    intend(&ledger, "v1").await;
    assert_eq!(open_rows(&ledger).await, ["v1"]);
}

#[tokio::test]
async fn w17_a_time_that_nobody_wrote_is_damage_too() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    ledger.close().await;
    change(
        &ledger_file(&home.state_dir()),
        "UPDATE intents SET since = 'soon'",
    )
    .await;
    let found = home.ledger().recall(KEEPER, &[ResourceKind::Volume]).await;
    says(&found.expect_err("unreadable"), "is damaged", "mv ");
}

#[tokio::test]
async fn w17_another_programs_lock_is_waited_for_and_then_told() {
    let home = Home::new();
    let ledger = home.ledger();
    intend(&ledger, "v1").await;
    let mut other = connect(&ledger_file(&home.state_dir())).await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .expect("locked");
    says(
        &refused(&ledger).await,
        "another program keeps the ledger",
        "fuser -v ",
    );
    other.close().await.expect("closed");
    intend(&ledger, "v2").await;
}

#[test]
fn a_file_system_in_memory_is_warned_of_once() {
    let test = "faults::a_file_system_in_memory_is_warned_of_once";
    elsewhere::run(WITH_MOUNTS, test, || {
        let log = Log::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || lines.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        block_on(async {
            let home = Home::new();
            let dir = home.state_dir();
            fs::create_dir(&dir).expect("made");
            let path = dir.display().to_string();
            system("mount", &["-t", "tmpfs", "tmpfs", &path]);
            let ledger = home.ledger();
            intend(&ledger, "v1").await;
            fs::remove_file(ledger_file(&dir)).expect("removed");
            intend(&ledger, "v2").await;
            let text = log.text();
            let warning =
                format!("The ledger is in {path}, on tmpfs: it does not survive a reboot");
            assert_eq!(text.matches(&warning).count(), 1, "{text}");
            assert_eq!(text.matches("was taken away").count(), 1, "{text}");
        });
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("unharmed")).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unharmed").write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn connect(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    let connection = options.create_if_missing(true).connect().await;
    connection.expect("it opens")
}

async fn change(file: &Path, sql: &str) {
    let mut connection = connect(file).await;
    let change = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection);
    change.await.expect("changed");
    connection.close().await.expect("closed");
}

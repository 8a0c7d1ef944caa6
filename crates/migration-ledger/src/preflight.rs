//! A look at the state directory that changes nothing in it: not even SQLite opens the ledger here,
//! as it makes files beside it also for one who only reads.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use key_migration::reasons::Fault;
use rustix::fs::{Access, StatVfsMountFlags};

use crate::faults::Trouble;
use crate::place;
use crate::schema::{self, Format};

/// What is found in a state directory that a ledger can be kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether a ledger is there already.
    pub has_ledger: bool,
    /// The process that keeps it, if one is seen to.
    pub kept_by: Option<u32>,
    /// That files there do not stay, and what to do about it.
    pub volatility: Option<String>,
    /// Whether others than its owner may look into it.
    pub open_to_others: bool,
}

/// Looks whether a ledger can be kept in this directory, which need not exist yet.
///
/// # Errors
/// Always [`Reason::LedgerUnavailable`](key_migration::reasons::Reason::LedgerUnavailable), with
/// what is wrong and what helps.
pub fn examine(state_dir: &Path) -> Result<Place, Fault> {
    look(state_dir).map_err(|trouble| trouble.fault(state_dir))
}

fn look(state_dir: &Path) -> Result<Place, Trouble> {
    let Ok(found) = state_dir.metadata() else {
        return look_where_it_would_be(state_dir);
    };
    if !found.is_dir() {
        return Err(Trouble::NotADirectory(state_dir.to_owned()));
    }
    if let Some(trouble) = place::obstacle(state_dir) {
        return Err(trouble);
    }
    Ok(Place {
        has_ledger: format(state_dir)? == Format::Current,
        kept_by: keeper(state_dir),
        volatility: place::volatility(state_dir),
        open_to_others: found.mode() & 0o077 != 0,
    })
}

/// The directory is made by the first run: in the first directory above it that exists.
fn look_where_it_would_be(state_dir: &Path) -> Result<Place, Trouble> {
    let existing = state_dir.ancestors().find(|path| path.exists());
    let existing: PathBuf = existing.unwrap_or(Path::new("/")).into();
    if !existing.is_dir() {
        return Err(Trouble::NotADirectory(existing));
    }
    let file_system = rustix::fs::statvfs(&existing);
    if file_system.is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        return Err(Trouble::ReadOnly);
    }
    if rustix::fs::access(&existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Err(Trouble::Forbidden(existing));
    }
    Ok(Place {
        has_ledger: false,
        kept_by: None,
        volatility: place::volatility(&existing),
        open_to_others: false,
    })
}

/// What the ledger's first bytes say (<https://www.sqlite.org/fileformat.html>, "The Database
/// Header"). What is still in its log is not seen: then nothing is known of it, as of an empty one.
fn format(state_dir: &Path) -> Result<Format, Trouble> {
    const HEADER: usize = 100;
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let path = place::ledger(state_dir);
    let mut header = Vec::with_capacity(HEADER);
    match File::open(&path) {
        Ok(file) => file.take(HEADER as u64).read_to_end(&mut header),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Format::Empty),
        Err(error) => Err(error),
    }
    .map_err(|error| Trouble::of_io(&error, &path))?;
    if header.is_empty() {
        return Ok(Format::Empty);
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(Trouble::NotALedger);
    }
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        i64::from(u32::from_be_bytes(bytes))
    };
    let (version, application, schema) = (number(60), number(68), number(40));
    schema::judge(application, version, schema)
}

/// The process that holds the lock, as the kernel lists it: to try the lock would be to hold it for
/// a moment, in which a daemon that starts would be refused. One in another PID namespace is not
/// seen.
fn keeper(state_dir: &Path) -> Option<u32> {
    let lock = place::lock(state_dir).metadata().ok()?;
    let inode = format!(":{}", lock.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "FLOCK")?;
        let (pid, file) = (words.get(at + 3)?, words.get(at + 4)?);
        file.ends_with(&inode).then_some(*pid)
    })?;
    held.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::lock::Lock;

    fn place(state_dir: &Path) -> Result<Place, Trouble> {
        look(state_dir)
    }

    #[test]
    fn a_directory_that_is_still_to_be_made_is_looked_for_where_it_would_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("a/b");
        assert!(!place(&missing).expect("fine").has_ledger);
        assert!(!missing.exists() && !dir.path().join("a").exists());
        std::fs::write(dir.path().join("a"), "").expect("written");
        let trouble = place(&missing).expect_err("a file");
        assert_eq!(trouble, Trouble::NotADirectory(dir.path().join("a")));
    }

    #[tokio::test]
    async fn a_ledger_of_any_version_is_known_by_its_first_bytes() {
        let dir = tempfile::tempdir().expect("a directory");
        place::make_ledger(dir.path()).expect("made");
        assert!(!place(dir.path()).expect("empty").has_ledger);
        let connection = schema::connect(dir.path(), Format::Empty).await;
        let mut connection = connection.expect("made");
        let close = sqlx::Connection::close;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await
            .expect("checkpointed");
        assert!(place(dir.path()).expect("a ledger").has_ledger);
        sqlx::raw_sql("PRAGMA user_version = 7; PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await
            .expect("written");
        close(connection).await.expect("closed");
        assert_eq!(place(dir.path()), Err(Trouble::Newer(7)));
        for text in ["no database".to_owned(), "no database".repeat(100)] {
            std::fs::write(place::ledger(dir.path()), text).expect("written");
            assert_eq!(place(dir.path()), Err(Trouble::NotALedger));
        }
    }

    #[test]
    fn a_directory_that_others_may_look_into_is_told_of() {
        let dir = tempfile::tempdir().expect("a directory");
        for (mode, open_to_others) in [(0o700, false), (0o710, true), (0o704, true)] {
            let mode = Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).expect("ours");
            assert_eq!(
                place(dir.path()).expect("fine").open_to_others,
                open_to_others
            );
        }
    }

    #[test]
    fn who_keeps_the_ledger_is_told_without_touching_the_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(place(dir.path()).expect("free").kept_by, None);
        let _held = Lock::take(dir.path()).expect("free");
        let kept_by = place(dir.path()).expect("fine").kept_by;
        assert_eq!(kept_by, Some(std::process::id()));
    }
}

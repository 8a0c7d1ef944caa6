//! What can be wrong with the ledger, and what an operator can type about it.

use std::io;
use std::path::{Path, PathBuf};

use key_migration::reasons::{Fault, Reason};

use crate::place;

/// Why the ledger cannot be read or written. Every one of them may end by itself or by an
/// operator's hand, so the next use tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    DiskFull,
    ReadOnly,
    /// Refused by the permissions of this file or directory.
    Forbidden(PathBuf),
    /// Another process keeps its ledger here; its ID, where that could be read.
    InUse(Option<u32>),
    /// Something else than a ledger's process locks the file: a backup, a shell.
    Busy,
    Corrupted(String),
    NotALedger,
    /// Written by a later version of this program, which numbers its format so.
    Newer(i64),
    /// This is not a directory but has to be one.
    NotADirectory(PathBuf),
    /// Anything else that the system says.
    Failed(String),
    /// It has not answered for so long that it may never.
    Slow,
    /// The task that writes has ended.
    Stopped,
}

impl Trouble {
    /// For the domain: what is wrong with the ledger in this directory, and what helps.
    pub(crate) fn fault(&self, state_dir: &Path) -> Fault {
        let dir = state_dir.display();
        let message = match self {
            Self::DiskFull => format!("{dir} has no space left for the ledger"),
            Self::ReadOnly => format!("{dir} is on a file system that is mounted read-only"),
            Self::Forbidden(path) => format!(
                "this process (user ID {}) may not write to {}",
                rustix::process::geteuid().as_raw(),
                path.display()
            ),
            Self::InUse(Some(pid)) => format!("the ledger in {dir} is locked by process {pid}"),
            Self::InUse(None) => format!("the ledger in {dir} is locked by another process"),
            Self::Busy => format!("another program keeps the ledger in {dir} locked"),
            Self::Corrupted(how) => format!("the ledger in {dir} is damaged: {how}"),
            Self::NotALedger => format!(
                "{} is not a ledger of this program",
                place::ledger(state_dir).display()
            ),
            Self::Newer(version) => format!(
                "the ledger in {dir} has format {version}, of a later version of this program"
            ),
            Self::NotADirectory(path) => format!("{} is not a directory", path.display()),
            Self::Failed(how) => format!("the ledger in {dir} cannot be used: {how}"),
            Self::Slow => format!("the disk under {dir} has not answered for a minute"),
            Self::Stopped => format!("the thread that writes the ledger in {dir} has stopped"),
        };
        Fault::new(Reason::LedgerUnavailable, message, self.remedy(state_dir))
    }

    fn remedy(&self, state_dir: &Path) -> String {
        let dir = quoted(state_dir);
        match self {
            Self::DiskFull => format!("free space, or end the quota: df -h {dir}"),
            Self::ReadOnly => format!(
                "mount -o remount,rw $(findmnt -n -o TARGET -T {dir}), or set [key_migrator] \
                 state_dir to a directory that can be written to"
            ),
            Self::Forbidden(_) => format!(
                "mkdir -p {dir} && chown -R {user} {dir} && chmod -R u+rwX {dir}",
                user = rustix::process::geteuid().as_raw(),
            ),
            Self::InUse(pid) => {
                let who = match pid {
                    Some(pid) => format!("ps -fp {pid}"),
                    None => format!("fuser -v {}", quoted(&place::lock(state_dir))),
                };
                format!(
                    "{who}; stop that process, or give each a [key_migrator] state_dir of its own"
                )
            }
            Self::Busy => format!("fuser -v {}", quoted(&place::ledger(state_dir))),
            Self::Corrupted(_) | Self::NotALedger => format!(
                "move it away, then everything is found again by name, only slower: {}",
                move_away(state_dir)
            ),
            Self::Newer(_) => format!(
                "run the later version, or move the ledger away, then everything is found again by \
                 name, only slower: {}",
                move_away(state_dir)
            ),
            Self::NotADirectory(path) => format!(
                "mv {path} {path}.old, or set [key_migrator] state_dir to a directory",
                path = quoted(path)
            ),
            Self::Failed(_) | Self::Slow => {
                format!(
                    "dmesg | tail; ls -la {dir}; or set [key_migrator] state_dir to another disk"
                )
            }
            Self::Stopped => "restart cinder-key-migrator".to_owned(),
        }
    }

    /// What the system said when it was asked about this path.
    pub(crate) fn of_io(error: &io::Error, path: &Path) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::PermissionDenied => Self::Forbidden(path.to_owned()),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory(place::first_that_is_no_directory(path))
            }
            _ => Self::Failed(format!("{}: {error}", path.display())),
        }
    }

    /// What SQLite said. It does not tell a full disk from a read-only one wherever it meets them,
    /// so where its word is not clear the directory is looked at.
    pub(crate) fn of_sqlite(error: &sqlx::Error, state_dir: &Path) -> Self {
        let code = match error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse().ok()),
            _ => None,
        };
        Self::of_code(code, &error.to_string()).unwrap_or_else(|| {
            place::obstacle(state_dir).unwrap_or_else(|| Self::Failed(error.to_string()))
        })
    }

    /// What SQLite's result code (<https://www.sqlite.org/rescode.html>) says by itself.
    fn of_code(code: Option<i64>, text: &str) -> Option<Self> {
        const BUSY: i64 = 5;
        const LOCKED: i64 = 6;
        const CORRUPT: i64 = 11;
        const FULL: i64 = 13;
        const NOT_A_DATABASE: i64 = 26;
        match code? & 0xff {
            BUSY | LOCKED => Some(Self::Busy),
            CORRUPT => Some(Self::Corrupted(text.to_owned())),
            FULL => Some(Self::DiskFull),
            NOT_A_DATABASE => Some(Self::NotALedger),
            _ => None,
        }
    }
}

/// A command that takes the ledger out of the way and keeps it.
fn move_away(state_dir: &Path) -> String {
    format!(
        "mkdir {aside} && mv {ledger}* {aside}",
        aside = quoted(&state_dir.join("damaged")),
        ledger = quoted(&place::ledger(state_dir)),
    )
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(trouble: &Trouble) -> (String, String) {
        let fault = trouble.fault(Path::new("/var/lib/cinder/key-migrator"));
        assert_eq!(fault.reason, Reason::LedgerUnavailable);
        (fault.message, fault.remedy)
    }

    #[test]
    fn each_trouble_names_the_path_and_a_command() {
        let path = || PathBuf::from("/var/lib/cinder/key-migrator");
        for (trouble, says, command) in [
            (Trouble::DiskFull, "no space", "df -h /var/lib"),
            (
                Trouble::ReadOnly,
                "mounted read-only",
                "mount -o remount,rw",
            ),
            (Trouble::Forbidden(path()), "may not write to", "chown -R "),
            (Trouble::InUse(Some(7)), "locked by process 7", "ps -fp 7;"),
            (Trouble::InUse(None), "locked by another", "fuser -v /var/"),
            (Trouble::Busy, "another program", "fuser -v /var/"),
            (
                Trouble::Corrupted("page 7".into()),
                "damaged: page 7",
                " mv ",
            ),
            (Trouble::NotALedger, "is not a ledger", " mv "),
            (Trouble::Newer(2), "has format 2", "later version"),
            (Trouble::NotADirectory(path()), "not a directory", "mv /var"),
            (
                Trouble::Failed("EIO".into()),
                "cannot be used: EIO",
                "dmesg",
            ),
            (Trouble::Slow, "has not answered", "dmesg"),
            (Trouble::Stopped, "has stopped", "restart"),
        ] {
            let (message, remedy) = told(&trouble);
            assert!(message.contains(says), "{message}");
            assert!(
                message.contains("/var/lib/cinder/key-migrator"),
                "{message}"
            );
            assert!(remedy.contains(command), "{remedy}");
        }
    }

    #[test]
    fn a_damaged_ledger_is_moved_away_with_all_its_files() {
        let (_, remedy) = told(&Trouble::NotALedger);
        let command = "mkdir /var/lib/cinder/key-migrator/damaged && \
            mv /var/lib/cinder/key-migrator/ledger.sqlite* /var/lib/cinder/key-migrator/damaged";
        assert!(remedy.ends_with(command), "{remedy}");
    }

    #[test]
    fn permissions_are_given_to_the_directory_and_to_nothing_before_it() {
        let (message, remedy) = told(&Trouble::Forbidden("/var/lib/cinder".into()));
        assert!(
            message.ends_with("may not write to /var/lib/cinder"),
            "{message}"
        );
        let user = rustix::process::geteuid().as_raw();
        let dir = "/var/lib/cinder/key-migrator";
        let command = format!("mkdir -p {dir} && chown -R {user} {dir} && chmod -R u+rwX {dir}");
        assert_eq!(remedy, command);
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_misread_it() {
        for (path, shown) in [
            ("/var/lib/a-b_c.d", "/var/lib/a-b_c.d"),
            ("/var/my dir", "'/var/my dir'"),
            ("/it's", r"'/it'\''s'"),
            ("/$HOME", "'/$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }

    #[test]
    fn what_the_system_says_is_told_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("written");
        let below = file.join("below");
        for (kind, trouble) in [
            (io::ErrorKind::StorageFull, Trouble::DiskFull),
            (io::ErrorKind::QuotaExceeded, Trouble::DiskFull),
            (io::ErrorKind::ReadOnlyFilesystem, Trouble::ReadOnly),
            (
                io::ErrorKind::PermissionDenied,
                Trouble::Forbidden(below.clone()),
            ),
            (
                io::ErrorKind::NotADirectory,
                Trouble::NotADirectory(file.clone()),
            ),
            (
                io::ErrorKind::AlreadyExists,
                Trouble::NotADirectory(file.clone()),
            ),
        ] {
            assert_eq!(Trouble::of_io(&kind.into(), &below), trouble);
        }
        let other = Trouble::of_io(&io::ErrorKind::TimedOut.into(), &below);
        assert!(matches!(other, Trouble::Failed(how) if how.contains("/file/below: ")));
    }

    #[test]
    fn what_sqlite_says_is_told_apart_by_its_code_alone() {
        for (code, trouble) in [
            (5, Some(Trouble::Busy)),
            (6, Some(Trouble::Busy)),
            (5 | 2 << 8, Some(Trouble::Busy)),
            (11, Some(Trouble::Corrupted("text".into()))),
            (13, Some(Trouble::DiskFull)),
            (26, Some(Trouble::NotALedger)),
            (8, None),
            (10 | 3 << 8, None),
            (14, None),
        ] {
            assert_eq!(Trouble::of_code(Some(code), "text"), trouble, "{code}");
        }
        assert_eq!(Trouble::of_code(None, "database is locked"), None);
    }
}

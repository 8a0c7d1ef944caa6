//! How far a long verification has come, kept in `state_dir/verify-progress.json` so that one that
//! was interrupted is continued.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::Timestamp;
use key_migration::ids::{ResourceKind, RowId, RowRef};
use key_migration::verdict::MAX_AGE;
use serde::{Deserialize, Serialize};

use super::tally::Tally;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Whose rows: what must be the same for one to be continued.
    pub scope: String,
    /// When the first part began: what changed after that may not have been seen.
    pub started_at: Timestamp,
    /// Rows at zeros when it began: they may be migrated behind its back.
    #[serde(default)]
    pub rows_at_zeros: u64,
    /// The last row that was looked at, its kind and ID.
    position: Option<(String, String)>,
    /// What came of it.
    pub tally: Tally,
}

impl Course {
    /// One that begins now.
    #[must_use]
    pub fn new(scope: String, now: Timestamp) -> Self {
        Self {
            scope,
            started_at: now,
            rows_at_zeros: 0,
            position: None,
            tally: Tally::default(),
        }
    }

    /// So many rows were at zeros when it began.
    #[must_use]
    pub fn beside(self, rows_at_zeros: u64) -> Self {
        Self {
            rows_at_zeros,
            ..self
        }
    }

    /// The last row that was looked at.
    #[must_use]
    pub fn position(&self) -> Option<RowRef> {
        let (kind, id) = self.position.as_ref()?;
        let kind = KINDS.into_iter().find(|known| known.as_str() == kind)?;
        let id = RowId::from(id.as_str());
        Some(RowRef { kind, id })
    }

    pub(super) fn is_at(&mut self, row: &RowRef) {
        self.position = Some((row.kind.to_string(), row.id.to_string()));
    }
}

/// The kinds of row in the order in which they are verified.
pub(super) const KINDS: [ResourceKind; 3] = [
    ResourceKind::Volume,
    ResourceKind::Snapshot,
    ResourceKind::Backup,
];

/// The file that a course is kept in.
#[derive(Clone, Debug)]
pub struct CourseFile {
    path: PathBuf,
}

impl CourseFile {
    /// That of a state directory. Nothing is read or made yet.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("verify-progress.json"),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was interrupted, if it was about the same rows and is so young that its end will still
    /// be evidence. What cannot be read is begun anew.
    #[must_use]
    pub fn interrupted(&self, scope: &str, now: Timestamp) -> Option<Course> {
        let text = fs::read(&self.path).ok()?;
        let course: Course = serde_json::from_slice(&text).ok()?;
        let age = now.duration_since(course.started_at);
        (course.scope == scope && age < MAX_AGE && course.position().is_some()).then_some(course)
    }

    /// Writes it, in place of what was there.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(&self, course: &Course) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(course)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Removes it: there is nothing to be continued.
    ///
    /// # Errors
    /// What the system says, unless there is no such file.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn what_was_interrupted_is_continued_for_the_same_rows_and_for_a_day() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = CourseFile::new(&dir.path().join("state"));
        let start = Timestamp::UNIX_EPOCH;
        let hours = |hours| start + SignedDuration::from_hours(hours);
        let mut course = Course::new("all hosts".into(), start);
        assert_eq!(file.interrupted("all hosts", start), None);
        file.keep(&course).expect("kept");
        // Nothing was done yet.
        assert_eq!(file.interrupted("all hosts", start), None);
        let row = RowRef {
            kind: ResourceKind::Snapshot,
            id: "7b".into(),
        };
        course.is_at(&row);
        course.tally.not_migrated = 3;
        file.keep(&course).expect("kept");
        let read = file.interrupted("all hosts", hours(23)).expect("a course");
        assert_eq!((read.position(), &read), (Some(row), &course));
        assert_eq!(file.interrupted("host1", hours(23)), None);
        assert_eq!(file.interrupted("all hosts", hours(24)), None);
        fs::write(file.path(), "{").expect("written");
        assert_eq!(file.interrupted("all hosts", start), None);
        file.remove().expect("removed");
        file.remove().expect("nothing to remove");
    }
}

//! Whether secrets in the configuration can be read by everybody on this machine.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use oslo_config::Config;

/// Read a file, for everybody.
const READ: u32 = 0o004;
/// Reach what is in a directory, for everybody.
const REACH: u32 = 0o001;

/// A file with secrets that everybody can read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exposed {
    file: PathBuf,
    mode: u32,
}

impl Exposed {
    /// What closes it.
    pub(crate) fn remedy(&self) -> String {
        format!("chmod o-rwx {}", self.file.display())
    }
}

/// What is wrong, without what closes it.
impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} holds secrets and can be read by everybody (mode {:04o})",
            self.file.display(),
            self.mode
        )
    }
}

/// The files that hold a key, a password or a database URL and that everybody can read. A file in
/// a directory that others cannot enter is closed to them whatever its own mode.
pub(super) fn read(conf: &Config) -> Vec<Exposed> {
    let files = conf.files_with_secrets().into_iter();
    files.filter_map(exposed).collect()
}

/// What cannot be looked at is passed over: it was read a moment ago, and others do not see more.
fn exposed(file: &Path) -> Option<Exposed> {
    let real = file.canonicalize().ok()?;
    let mode_of = |path: &Path| path.metadata().ok().map(|it| it.mode() & 0o7777);
    let mode = mode_of(&real).filter(|mode| mode & READ != 0)?;
    let mut folders = real.ancestors().skip(1);
    let reached = folders.all(|folder| mode_of(folder).is_some_and(|mode| mode & REACH != 0));
    reached.then(|| Exposed {
        file: file.to_owned(),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    fn chmod(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("own files");
    }

    #[test]
    fn a_file_is_exposed_where_others_may_read_it_and_reach_it() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("cinder.conf");
        std::fs::write(&file, "").expect("a writable directory");
        for (of_folder, of_file, is_exposed) in [
            (0o755, 0o644, true),
            (0o711, 0o604, true),
            (0o755, 0o640, false),
            (0o755, 0o660, false),
            (0o700, 0o644, false),
            (0o750, 0o644, false),
        ] {
            chmod(folder.path(), of_folder);
            chmod(&file, of_file);
            assert_eq!(
                exposed(&file).is_some(),
                is_exposed,
                "{of_folder:o} {of_file:o}"
            );
        }
        assert_eq!(exposed(&folder.path().join("missing.conf")), None);
    }

    #[test]
    fn a_link_is_as_open_as_what_it_leads_to() {
        let folder = tempfile::tempdir().expect("a directory");
        chmod(folder.path(), 0o755);
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&file, "").expect("a writable directory");
        std::os::unix::fs::symlink(&file, &link).expect("a writable directory");
        chmod(&file, 0o640);
        assert_eq!(exposed(&link), None);
        chmod(&file, 0o644);
        let found = exposed(&link).expect("it is open");
        let link = link.display();
        assert_eq!(
            found.to_string(),
            format!("{link} holds secrets and can be read by everybody (mode 0644)")
        );
        assert_eq!(found.remedy(), format!("chmod o-rwx {link}"));
    }
}

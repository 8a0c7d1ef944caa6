//! `fixed-key audit`, `fixed-key remove` and `fixed-key restore`.

mod audit;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgMatches, Subcommand};
use key_migration::verdict::Item;

pub(crate) use self::audit::Audit;
use self::audit::{AuditArgs, ITEMS};
use super::{ConfigArgs, origin};
use crate::settings::Origin;

#[derive(Debug, Subcommand)]
pub(super) enum FixedKeyArgs {
    /// Look at everything that may still need the fixed key, and say whether it may go
    ///
    /// Looks at all hosts' rows, at backups whose row has no key, at Glance's images, at the image
    /// metadata of volumes, and at Nova's instances where --nova-config-file is given. What is found
    /// is kept in state_dir/evidence, which the daemon's status and metrics show, too. Nothing else
    /// is changed. The exit status is 0 if the key may go, 1 if not or not yet known, and 2 if it
    /// failed.
    #[command(after_long_help = ITEMS)]
    Audit(AuditArgs),
    /// Remove option fixed_key from files, after a backup; a dry run without --execute
    ///
    /// Every other byte of a file is kept, and its owner and mode. A folder stands for the files in
    /// it that set the option. It is refused unless nothing needs the fixed key any more: the rows
    /// are counted anew, the rest is what `fixed-key audit` and `verify` have found. The key may
    /// then leave the configuration files; it may never be destroyed.
    ///
    /// The exit status is 0 if everything was done (or would be), 1 if it is refused or a file has
    /// changed meanwhile, and 2 if it failed.
    Remove(RemoveArgs),
    /// Put back what `fixed-key remove` took out, from its backup; a dry run without --execute
    ///
    /// The file becomes what it was, to the last byte. It is refused if the file is not what the
    /// removal left. No configuration is read for this. The exit status is as that of remove.
    Restore(RestoreArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// Remove it; otherwise say only what would be done
    #[arg(long)]
    execute: bool,
    /// Remove it although this stands in the way; may be repeated, one for each blocker
    #[arg(long, value_name = "CODE", value_parser = PossibleValuesParser::new(Item::codes()))]
    force: Vec<String>,
    /// Keep the backups in this folder instead of beside the files
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// Files, or folders with files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// Restore it; otherwise say only what would be done
    #[arg(long)]
    execute: bool,
    /// Look for the backups in this folder instead of beside the files
    #[arg(long, value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// Restore the one file from this backup instead of the latest
    #[arg(long, value_name = "BACKUP", conflicts_with = "backup_dir")]
    backup: Option<PathBuf>,
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What to do about the fixed key.
#[derive(Debug)]
pub(crate) enum FixedKey {
    /// `audit`
    Audit(Audit),
    /// `remove`
    Remove(Remove),
    /// `restore`
    Restore(Restore),
}

/// What to remove.
#[derive(Debug)]
pub(crate) struct Remove {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--execute`
    pub(crate) execute: bool,
    /// The codes of `--force`.
    pub(crate) force: Vec<String>,
    /// `--backup-dir`
    pub(crate) backup_dir: Option<PathBuf>,
    /// Files and folders.
    pub(crate) files: Vec<PathBuf>,
}

/// What to restore.
#[derive(Debug)]
pub(crate) struct Restore {
    /// `--execute`
    pub(crate) execute: bool,
    /// `--backup-dir`
    pub(crate) backup_dir: Option<PathBuf>,
    /// `--backup`
    pub(crate) backup: Option<PathBuf>,
    /// The files.
    pub(crate) files: Vec<PathBuf>,
}

impl FixedKeyArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> FixedKey {
        let (_, matches) = matches.subcommand().expect("clap asks for a command");
        match self {
            Self::Audit(args) => FixedKey::Audit(args.command(matches)),
            Self::Remove(args) => FixedKey::Remove(Remove {
                origin: origin(args.config, Vec::new(), matches),
                execute: args.execute,
                force: args.force,
                backup_dir: args.backup_dir,
                files: args.files,
            }),
            Self::Restore(args) => FixedKey::Restore(Restore {
                execute: args.execute,
                backup_dir: args.backup_dir,
                backup: args.backup,
                files: args.files,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::cli::tests::parsed;

    #[test]
    fn a_blocker_is_overridden_by_its_code_and_by_nothing_else() {
        let line = "ckm fixed-key remove --force volumes_remaining --force images_not_examined /f";
        let Ok(Command::FixedKey(FixedKey::Remove(remove))) = parsed(line) else {
            panic!("a removal");
        };
        assert_eq!(remove.force, ["volumes_remaining", "images_not_examined"]);
        assert!(!remove.execute);
        let error = parsed("ckm fixed-key remove --force all /f").expect_err("no code");
        let told = error.to_string();
        assert!(told.contains("payloads_not_verified"), "{told}");
        assert!(parsed("ckm fixed-key remove --execute").is_err());
        assert!(parsed("ckm fixed-key restore --backup /b --backup-dir /d /f").is_err());
    }
}

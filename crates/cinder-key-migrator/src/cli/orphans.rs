//! `orphans list` and `orphans purge`.

use clap::{ArgMatches, Subcommand};
use key_migration::ids::SecretId;

use super::{ConfigArgs, Format, origin};
use crate::settings::Origin;

#[derive(Debug, Subcommand)]
pub(super) enum OrphansArgs {
    /// List them by class
    ///
    /// A secret is listed if its name is one that this program gives and no row that is not deleted
    /// refers to it. The exit status is 0, or 2 if it failed.
    #[command(after_long_help = CLASSES)]
    List(OrphansListArgs),
    /// Delete those that nothing needs, or those that are named; a dry run without --execute
    ///
    /// Without an ID, of the classes superseded and row_deleted. Deleted is only what Cinder's own
    /// user stored, what is older than 24 hours, and whose row was not deleted within 24 hours;
    /// what has no open intent and no consumers; and what still is so at the last moment, under the
    /// row's lock. The exit status is 0 if everything that was asked for was deleted (or would be),
    /// 1 if a secret that was named is kept, and 2 if it failed.
    #[command(after_long_help = CLASSES)]
    Purge(OrphansPurgeArgs),
}

const CLASSES: &str = "\
Classes:
  pending              it is going to be used: its row is at zeros, or an intent is open for it
  superseded           its row holds another key, or none
  row_deleted          its row is deleted
  referred_by_deleted  only deleted rows refer to it; purged only if it is named
  unknown_row          its row is not in this database: another region may share Barbican and the
                       project; purged only if it is named
  foreign              another user stored it, or it is not ACTIVE; never purged";

#[derive(Debug, clap::Args)]
pub(super) struct OrphansListArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct OrphansPurgeArgs {
    /// Delete; otherwise say only what would be deleted, and why the rest is kept
    #[arg(long)]
    execute: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// These secrets only
    #[arg(value_name = "ID")]
    ids: Vec<SecretId>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What to do with secrets that nothing refers to.
#[derive(Debug)]
pub(crate) struct Orphans {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--format`
    pub(crate) format: Format,
    /// `None` for `list`.
    pub(crate) purge: Option<Purge>,
}

/// What to delete.
#[derive(Debug)]
pub(crate) struct Purge {
    /// `--execute`
    pub(crate) execute: bool,
    /// The secrets that are named; empty for all that may be deleted unnamed.
    pub(crate) named: Vec<SecretId>,
}

impl OrphansArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Orphans {
        let (_, matches) = matches.subcommand().expect("clap asks for a command");
        match self {
            OrphansArgs::List(list) => Orphans {
                origin: origin(list.config, Vec::new(), matches),
                format: list.format,
                purge: None,
            },
            OrphansArgs::Purge(purge) => {
                let mut named = Vec::new();
                for id in purge.ids {
                    if !named.contains(&id) {
                        named.push(id);
                    }
                }
                Orphans {
                    origin: origin(purge.config, Vec::new(), matches),
                    format: purge.format,
                    purge: Some(Purge {
                        execute: purge.execute,
                        named,
                    }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use oslo_config::Input;

    use crate::cli::Command;
    use crate::cli::tests::parsed;

    #[test]
    fn a_secret_to_purge_counts_once_and_must_be_a_uuid() {
        let id = "8c2f9a24-4ac8-4ad5-a2a0-2a4a8f6f9d10";
        let line = format!("ckm orphans purge {id} --config-file /a --execute {id}");
        let Ok(Command::Orphans(orphans)) = parsed(&line) else {
            panic!("a command about orphans");
        };
        let purge = orphans.purge.expect("to be purged");
        assert_eq!(purge.named, [id.parse().expect("a UUID")]);
        assert!(purge.execute);
        assert_eq!(orphans.origin.inputs, [Input::File("/a".into())]);
        assert!(parsed("ckm orphans purge 7b").is_err());
        assert!(parsed("ckm orphans").is_err());
    }
}

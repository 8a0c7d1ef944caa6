//! `fixed-key audit`.

use std::path::PathBuf;

use clap::ArgMatches;
use key_migration::verdict::Item;

use super::super::{ConfigArgs, Format, origin};
use crate::settings::Origin;

/// What `--help` says of them.
pub(super) const ITEMS: &str = "\
Items that a person may answer for with --attest:
  old_backups      no backup from before its key was recorded needs the fixed key, or none is needed
  images           no Glance image has an all-zeros cinder_encryption_key_id
  ephemeral_disks  no instance of Nova has an all-zeros ephemeral_key_uuid
  configuration    every node has the same fixed key, and none is on ConfKeyManager any more
  backup_records   no exported backup record with an all-zeros key will be imported again
  database_dumps   no dump of Cinder's database from before will be restored
  other_regions    no other region or cloud uses this fixed key
  barbican_backup  a backup of Barbican's database and master key exists, and restoring it was tested
What was found in the way stays in the way, whatever is attested.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AuditArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Answer for this item; may be repeated
    #[arg(long, value_name = "ITEM", value_parser = attestable)]
    attest: Vec<Item>,
    /// Who answers (default: SUDO_USER, else USER)
    #[arg(long, value_name = "NAME", requires = "attest")]
    attested_by: Option<String>,
    /// The nova.conf of a cell, which says where its database is; may be repeated, once for each
    /// cell
    #[arg(long, value_name = "FILE")]
    nova_config_file: Vec<PathBuf>,
    /// Look for other fixed keys, and for services on ConfKeyManager, in this folder; may be
    /// repeated, also for copies from other nodes
    #[arg(long, value_name = "DIR")]
    config_tree: Vec<PathBuf>,
    /// Files and folders of configuration, looked at as those of --config-tree
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Look at everything.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--format`
    pub(crate) format: Format,
    /// `--attest`
    pub(crate) attest: Vec<Item>,
    /// `--attested-by`, or whom the environment names.
    pub(crate) attested_by: Option<String>,
    /// `--nova-config-file`
    pub(crate) nova_config_files: Vec<PathBuf>,
    /// `--config-tree`, and the files and folders that are named without it.
    pub(crate) trees: Vec<PathBuf>,
}

impl AuditArgs {
    /// What it asks for; the matches are those of `audit`.
    pub(super) fn command(self, matches: &ArgMatches) -> Audit {
        Audit {
            origin: origin(self.config, Vec::new(), matches),
            format: self.format,
            attest: self.attest,
            attested_by: self.attested_by.or_else(this_user),
            nova_config_files: self.nova_config_file,
            trees: [self.config_tree, self.files].concat(),
        }
    }
}

fn attestable(name: &str) -> Result<Item, String> {
    match Item::named(name) {
        Some(item) if item.may_be_attested() => Ok(item),
        Some(_) => Err("this is looked at, and nobody can answer for it".to_owned()),
        None => {
            let items = Item::ALL.into_iter().filter(|item| item.may_be_attested());
            let names: Vec<_> = items.map(Item::as_str).collect();
            Err(format!("expected one of {}", names.join(", ")))
        }
    }
}

/// Whoever became root with sudo, or else who runs this.
fn this_user() -> Option<String> {
    let named = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    named("SUDO_USER").or_else(|| named("USER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::parsed;
    use crate::cli::{Command, FixedKey};

    #[test]
    fn what_is_looked_at_cannot_be_attested() {
        let line = "ckm fixed-key audit --attest images --attest other_regions --attested-by ada";
        let Ok(Command::FixedKey(FixedKey::Audit(audit))) = parsed(line) else {
            panic!("an audit");
        };
        assert_eq!(audit.attest, [Item::Images, Item::OtherRegions]);
        assert_eq!(audit.attested_by.as_deref(), Some("ada"));
        for line in [
            "ckm fixed-key audit --attest volumes",
            "ckm fixed-key audit --attest payloads",
            "ckm fixed-key audit --attest everything",
            "ckm fixed-key audit --attested-by ada",
            "ckm fixed-key",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_help_names_every_item_that_may_be_attested() {
        for item in Item::ALL {
            let line = ITEMS
                .lines()
                .find(|line| line.split_whitespace().next() == Some(item.as_str()));
            assert_eq!(line.is_some(), item.may_be_attested(), "{item:?}");
            assert!(line.is_none_or(|line| line.ends_with(item.statement())));
        }
    }
}

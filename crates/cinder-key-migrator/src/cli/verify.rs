//! `verify`.

use std::path::PathBuf;

use clap::ArgMatches;
use key_migration::ids::RowId;

use super::{ConfigArgs, Format, origin};
use crate::settings::Origin;

pub(super) const REPORT: &str = "\
A row counts as migrated if its secret has a name that this program gives, if this host's ledger names
it, or if it has no name and Cinder's own user stored it, as Cinder's migrator does. Rows with keys of
their owners are counted as not migrated.

The report (-f json, --report):
  scope           \"all hosts\", the host's name, or \"named rows\"
  started_at, finished_at, resumed, complete
  sample          null, or {\"size\", \"of\"}: how many rows were drawn, of how many
  rows            counts: examined, verified (of these: migrated_here, migrated_upstream),
                  mended (now), not_migrated, changed (meanwhile), wrong (of these: mendable)
  findings_total  how many findings there are; at most 10000 are listed
  findings        list of {resource, resource_id, host, secret_id, code, message, remedy}

Codes:
  missing             Barbican knows no such secret, or it has no payload
  unreadable          the secret is there and cannot be read
  wrong_key           it holds something else than the fixed key
  swapped             it was stored for another row
  acl_incomplete      somebody who needs the key may not read it; where nothing else is wrong,
                      --mend-acl lets them
  shared              rows of several owners refer to it
  snapshot_elsewhere  a snapshot refers to neither its volume's secret nor one of its own
  malformed           what the row holds is not the ID of a secret
  at_zeros            the row was named, and still uses the fixed key
  no_such_row         the row was named, and is not there";

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Look at the rows of every host, and of none: what the removal of fixed_key asks for
    #[arg(long, conflicts_with = "ids")]
    all_hosts: bool,
    /// Look at N rows drawn at random; that is no evidence for the removal of fixed_key
    #[arg(long, value_name = "N", conflicts_with_all = ["ids", "restart"],
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: Option<u32>,
    /// Begin anew where an earlier run was interrupted
    #[arg(long, conflicts_with = "ids")]
    restart: bool,
    /// Let users read the secret who need a row's key and may not, where nothing else is wrong with
    /// the row; nobody is taken off an ACL; a dry run without --execute
    #[arg(long, conflicts_with = "sample")]
    mend_acl: bool,
    /// Mend; otherwise say only what would be mended
    #[arg(long, requires = "mend_acl")]
    execute: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Write the report to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// These volumes, snapshots and backups only, on any host
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What to verify, and where to tell it.
#[derive(Debug)]
pub(crate) struct Verify {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// Which rows.
    pub(crate) wanted: Wanted,
    /// What becomes of an ACL that lacks somebody.
    pub(crate) incomplete_acls: IncompleteAcls,
    /// `--format`
    pub(crate) format: Format,
    /// `--report`
    pub(crate) report: Option<PathBuf>,
}

/// What becomes of an ACL that lacks somebody who needs the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncompleteAcls {
    /// It is told.
    Told,
    /// It is told that it would be completed: `--mend-acl`.
    WouldBeMended,
    /// It is completed: `--mend-acl --execute`.
    Mended,
}

/// Which rows to look at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them.
    All {
        /// `--all-hosts`
        all_hosts: bool,
        /// `--restart`
        restart: bool,
    },
    /// Some of them.
    Sample {
        /// `--all-hosts`
        all_hosts: bool,
        /// `--sample`
        size: u32,
    },
    /// Those that are named, each once.
    Named(Vec<RowId>),
}

impl VerifyArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Verify {
        let all_hosts = self.all_hosts;
        let mut named: Vec<RowId> = Vec::new();
        for id in self.ids.into_iter().map(RowId::from) {
            if !named.contains(&id) {
                named.push(id);
            }
        }
        let wanted = match self.sample {
            _ if !named.is_empty() => Wanted::Named(named),
            Some(size) => Wanted::Sample { all_hosts, size },
            None => Wanted::All {
                all_hosts,
                restart: self.restart,
            },
        };
        let incomplete_acls = match (self.mend_acl, self.execute) {
            (false, _) => IncompleteAcls::Told,
            (true, false) => IncompleteAcls::WouldBeMended,
            (true, true) => IncompleteAcls::Mended,
        };
        Verify {
            origin: origin(self.config, Vec::new(), matches),
            wanted,
            incomplete_acls,
            format: self.format,
            report: self.report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::cli::tests::parsed;

    fn wanted(line: &str) -> Option<Wanted> {
        match parsed(line) {
            Ok(Command::Verify(verify)) => Some(verify.wanted),
            _ => None,
        }
    }

    #[test]
    fn all_rows_a_sample_or_those_named_are_verified_and_nothing_in_between() {
        let all = |all_hosts, restart| Wanted::All { all_hosts, restart };
        assert_eq!(wanted("ckm verify"), Some(all(false, false)));
        let line = "ckm verify --all-hosts --restart";
        assert_eq!(wanted(line), Some(all(true, true)));
        let sample = Wanted::Sample {
            all_hosts: true,
            size: 3,
        };
        assert_eq!(wanted("ckm verify --sample 3 --all-hosts"), Some(sample));
        let named = Wanted::Named(vec!["7b".into(), "5f".into()]);
        assert_eq!(wanted("ckm verify 7b 5f 7b"), Some(named));
        for line in [
            "ckm verify --all-hosts 7b",
            "ckm verify --sample 3 7b",
            "ckm verify --sample 0",
            "ckm verify --sample 3 --restart",
            "ckm verify --sample 3 --mend-acl",
            "ckm verify --execute",
        ] {
            assert_eq!(wanted(line), None, "{line}");
        }
    }

    #[test]
    fn acls_are_mended_where_that_is_asked_for_twice() {
        for (line, expected) in [
            ("ckm verify 7b", IncompleteAcls::Told),
            ("ckm verify --mend-acl", IncompleteAcls::WouldBeMended),
            ("ckm verify --mend-acl --execute 7b", IncompleteAcls::Mended),
        ] {
            let Ok(Command::Verify(verify)) = parsed(line) else {
                panic!("{line}");
            };
            assert_eq!(verify.incomplete_acls, expected, "{line}");
        }
    }
}

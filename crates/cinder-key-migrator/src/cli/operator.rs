//! `status`, `plan`, `rows`, `migrate`, `revert`, `release` and `completions`.

use clap::{ArgMatches, ValueEnum};
use clap_complete::Shell;
use key_migration::ids::RowId;

use super::{ConfigArgs, Format, ServiceArg, origin};
use crate::settings::{Listen, Origin};

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Go on showing it, with a progress bar on a terminal, until nothing is left or Ctrl-C
    #[arg(long, conflicts_with = "format")]
    watch: bool,
    /// Ask this daemon, too: http://HOST:PORT, HOST:PORT or unix:PATH; may be repeated
    #[arg(long, value_name = "URL", value_parser = daemon_address)]
    daemon: Vec<Listen>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Shows where the migration stands.
#[derive(Debug)]
pub(crate) struct Status {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--format`
    pub(crate) format: Format,
    /// `--watch`
    pub(crate) watch: bool,
    /// `--daemon`
    pub(crate) daemons: Vec<Listen>,
}

impl StatusArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Status {
        Status {
            origin: origin(self.config, Vec::new(), matches),
            format: self.format,
            watch: self.watch,
            daemons: self.daemon,
        }
    }
}

fn daemon_address(text: &str) -> Result<Listen, String> {
    let address = text.strip_prefix("http://").unwrap_or(text);
    let address = address.strip_suffix('/').unwrap_or(address);
    let parsed = address.parse();
    parsed.map_err(|_| "expected http://HOST:PORT, HOST:PORT or unix:PATH".to_owned())
}

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// Plan for this service only; may be repeated (default: option services of section
    /// key_migrator)
    #[arg(long, value_name = "SERVICE")]
    service: Vec<ServiceArg>,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Says what a run would do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the configuration is, and for which services.
    pub(crate) origin: Origin,
    /// `--format`
    pub(crate) format: Format,
}

impl PlanArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Plan {
        Plan {
            origin: origin(self.config, self.service, matches),
            format: self.format,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct RowsArgs {
    /// Which rows
    #[arg(long, value_name = "STATE")]
    state: RowState,
    /// How to print them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Print at most this many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Which rows to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowState {
    /// At all zeros, on any host
    Zero,
    /// At all zeros and waiting: Cinder is at work on them, they are held, or the daemon of this
    /// host waits for something
    Deferred,
    /// At all zeros and failed, as the daemon of this host tells, or sure to fail
    Failed,
    /// At all zeros on a host or cluster whose Cinder service is not up: nobody migrates them
    Unowned,
}

/// Lists rows.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--state`
    pub(crate) state: RowState,
    /// `--format`
    pub(crate) format: Format,
    /// `--limit`
    pub(crate) limit: usize,
}

impl RowsArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Rows {
        Rows {
            origin: origin(self.config, Vec::new(), matches),
            state: self.state,
            format: self.format,
            limit: self.limit,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct MigrateArgs {
    /// Volumes and backups; a volume takes its snapshots along
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct HoldArgs {
    /// Do it; otherwise say only what would be done
    #[arg(long)]
    execute: bool,
    /// Volumes and backups; a volume takes its snapshots along
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Does something with rows that the operator names.
#[derive(Debug)]
pub(crate) struct Named {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// The rows.
    pub(crate) ids: Vec<RowId>,
    /// `--execute`; always so for `migrate`.
    pub(crate) execute: bool,
}

impl MigrateArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Named {
        Named {
            origin: origin(self.config, Vec::new(), matches),
            ids: each_once(self.ids),
            execute: true,
        }
    }
}

impl HoldArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Named {
        Named {
            origin: origin(self.config, Vec::new(), matches),
            ids: each_once(self.ids),
            execute: self.execute,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: Shell,
}

fn each_once(ids: Vec<String>) -> Vec<RowId> {
    let mut once: Vec<RowId> = Vec::new();
    for id in ids.into_iter().map(RowId::from) {
        if !once.contains(&id) {
            once.push(id);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use crate::cli::Command;
    use crate::cli::tests::parsed;

    #[test]
    fn a_daemon_is_named_by_url_address_or_socket() {
        let line = "ckm status --daemon http://h:1/ --daemon [::1]:2 --daemon unix:/run/s";
        let Ok(Command::Status(status)) = parsed(line) else {
            panic!("a command that shows");
        };
        let daemons: Vec<_> = status.daemons.iter().map(ToString::to_string).collect();
        assert_eq!(daemons, ["h:1", "[::1]:2", "unix:/run/s"]);
        assert!(parsed("ckm status --daemon https://h:1").is_err());
        assert!(parsed("ckm status --watch -f json").is_err());
    }

    #[test]
    fn rows_are_named_and_count_once() {
        let Ok(Command::Revert(revert)) = parsed("ckm revert a b a --execute") else {
            panic!("a command that reverts");
        };
        assert_eq!(revert.ids, ["a".into(), "b".into()]);
        assert!(revert.execute);
        for line in [
            "migrate",
            "revert --execute",
            "release",
            "rows",
            "rows --state x",
        ] {
            assert!(parsed(&format!("ckm {line}")).is_err(), "{line}");
        }
    }
}

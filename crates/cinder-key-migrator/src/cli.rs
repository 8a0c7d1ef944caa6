//! The command line.

use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use key_migration::ids::{SecretId, Service};
use oslo_config::Input;

use crate::settings::Origin;

/// Gives Cinder volumes, snapshots and backups that use the fixed encryption key Barbican secrets
/// of their own.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: CommandArgs,
}

#[derive(Debug, Subcommand)]
enum CommandArgs {
    /// Migrate the keys of this host, and go on until stopped
    ///
    /// With --once the exit status is 0 if nothing is left on this host, 1 if something is left,
    /// and 2 if it failed.
    Run(RunArgs),
    /// Ask the running daemon whether it is alive
    ///
    /// Takes the same --service and --config options as the run that it asks after. The exit
    /// status is 0 if that is alive, else 1.
    Healthcheck(HealthcheckArgs),
    /// Show and delete secrets that were stored for a row and that no row refers to
    #[command(subcommand, arg_required_else_help = true)]
    Orphans(OrphansArgs),
}

#[derive(Debug, Subcommand)]
enum OrphansArgs {
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
struct OrphansListArgs {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
struct OrphansPurgeArgs {
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

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Serve this service only; may be repeated (default: option services of section key_migrator)
    #[arg(long, value_name = "SERVICE")]
    service: Vec<ServiceArg>,
    /// Walk over all rows of this host once, then exit
    #[arg(long)]
    once: bool,
    /// Migrate at most this many keys of each service
    #[arg(long, value_name = "N", requires = "once")]
    limit: Option<u64>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
struct HealthcheckArgs {
    /// The daemon serves this service only; may be repeated
    #[arg(long, value_name = "SERVICE")]
    service: Vec<ServiceArg>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// Read this file instead of those that Cinder finds; may be repeated, later ones win
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// Read the *.conf files of this directory, in the order of their names; may be repeated
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ServiceArg {
    /// cinder-volume: volumes and their snapshots
    Volume,
    /// cinder-backup: backups
    Backup,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// `run`
    Run(Run),
    /// `healthcheck`
    Healthcheck(Origin),
    /// `orphans`
    Orphans(Orphans),
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

/// How to run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--once`
    pub(crate) once: bool,
    /// `--limit`
    pub(crate) limit: Option<u64>,
}

/// Reads the command line.
///
/// # Errors
/// Those of clap, which are also how it shows help and version.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Command, clap::Error> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let (_, matches) = matches.subcommand().expect("clap asks for a command");
    Ok(match cli.command {
        CommandArgs::Run(run) => Command::Run(Run {
            origin: origin(run.config, run.service, matches),
            once: run.once,
            limit: run.limit,
        }),
        CommandArgs::Healthcheck(args) => {
            Command::Healthcheck(origin(args.config, args.service, matches))
        }
        CommandArgs::Orphans(args) => Command::Orphans(orphans(args, matches)),
    })
}

fn orphans(args: OrphansArgs, matches: &ArgMatches) -> Orphans {
    let (_, matches) = matches.subcommand().expect("clap asks for a command");
    match args {
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

/// Files and directories in the order in which they were given: later ones win.
fn origin(config: ConfigArgs, services: Vec<ServiceArg>, matches: &ArgMatches) -> Origin {
    let places = |name| matches.indices_of(name).into_iter().flatten();
    let files = config.config_file.into_iter().map(Input::File);
    let directories = config.config_dir.into_iter().map(Input::Directory);
    let mut inputs: Vec<_> = places("config_file")
        .zip(files)
        .chain(places("config_dir").zip(directories))
        .collect();
    inputs.sort_by_key(|(place, _)| *place);
    let mut named = Vec::new();
    for service in services {
        let service = match service {
            ServiceArg::Volume => Service::Volume,
            ServiceArg::Backup => Service::Backup,
        };
        if !named.contains(&service) {
            named.push(service);
        }
    }
    Origin {
        inputs: inputs.into_iter().map(|(_, input)| input).collect(),
        services: named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        parse(line.split(' ').map(Into::into))
    }

    #[test]
    fn files_and_directories_keep_their_order() {
        let line = "ckm run --config-dir /d --config-file /a --config-file /b --config-dir /e";
        let Ok(Command::Run(run)) = parsed(line) else {
            panic!("a command that runs");
        };
        assert_eq!(
            run.origin.inputs,
            [
                Input::Directory("/d".into()),
                Input::File("/a".into()),
                Input::File("/b".into()),
                Input::Directory("/e".into()),
            ]
        );
    }

    #[test]
    fn a_service_counts_once() {
        let line = "ckm run --service backup --service volume --service backup --once --limit 3";
        let Ok(Command::Run(run)) = parsed(line) else {
            panic!("a command that runs");
        };
        assert_eq!(run.origin.services, [Service::Backup, Service::Volume]);
        assert!(run.once);
        assert_eq!(run.limit, Some(3));
    }

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

    #[test]
    fn a_limit_without_once_is_refused() {
        assert!(parsed("ckm run --limit 3").is_err());
        assert!(parsed("ckm run --service scheduler").is_err());
        assert!(parsed("ckm").is_err());
    }
}

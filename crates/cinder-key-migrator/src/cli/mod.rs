//! The command line; what belongs to one command alone is in a file of its own.

mod check;
mod fixed_key;
mod operator;
mod orphans;
mod verify;

use std::path::PathBuf;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use key_migration::ids::Service;
use oslo_config::Input;

pub(crate) use self::check::Check;
use self::check::CheckArgs;
use self::fixed_key::FixedKeyArgs;
pub(crate) use self::fixed_key::{Audit, FixedKey, Remove, Restore};
use self::operator::{CompletionsArgs, HoldArgs, MigrateArgs, PlanArgs, RowsArgs, StatusArgs};
pub(crate) use self::operator::{Named, Plan, RowState, Rows, Status};
use self::orphans::OrphansArgs;
pub(crate) use self::orphans::{Orphans, Purge};
use self::verify::VerifyArgs;
pub(crate) use self::verify::{IncompleteAcls, Verify, Wanted};
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
    /// Show where the migration stands: this host's daemon, all hosts, and the fixed key
    ///
    /// Works without a daemon: what only that knows is left out. The exit status is 0, or 2 if the
    /// database could not be asked.
    Status(StatusArgs),
    /// Say what `run` would do on this host, and how long it might take; writes nothing
    ///
    /// The exit status is that of `run --once`: 0 if nothing is left to do on this host, 1 if
    /// something is, and 2 if it could not be found out.
    Plan(PlanArgs),
    /// List rows that use the fixed key, with what to do about them
    ///
    /// The exit status is 0, or 2 if it failed.
    Rows(RowsArgs),
    /// Migrate these volumes and backups now, wherever they are: the first volume of a careful
    /// operator
    ///
    /// Rows of any host, of no host, and of services that are gone are taken, with the guards of
    /// `run`. The exit status is 0 if each of them has its own secret, 1 if not, and 2 if it failed.
    Migrate(MigrateArgs),
    /// Set volumes and backups back to the fixed key and hold them there; a dry run without
    /// --execute
    ///
    /// Only while option fixed_key is set, and only a row whose secret holds that very key. The secret is kept, and is used again after `release`. The daemon that shares this
    /// host's state_dir leaves the row alone until then; Cinder's own migrator does not know of
    /// that, and migrates it at the next start of its service. The exit status is 0 if each of them
    /// was set back (or would be), 1 if not, and 2 if it failed.
    Revert(HoldArgs),
    /// Let rows be migrated again that `revert` holds; a dry run without --execute
    ///
    /// The exit status is 0 if each of them was held, 1 if not, and 2 if it failed.
    Release(HoldArgs),
    /// Look whether everything is ready, before anything is changed
    ///
    /// Changes nothing, neither in the database nor in Barbican nor on disk; with --probe one secret
    /// of random bytes is stored and deleted. The exit status is 0 if all is well, 1 if something
    /// should be looked at, and 2 if something fails.
    Check(CheckArgs),
    /// Show and delete secrets that were stored for a row and that no row refers to
    #[command(subcommand, arg_required_else_help = true)]
    Orphans(OrphansArgs),
    /// Print a script that completes this command line in a shell
    Completions(CompletionsArgs),
    /// Find out whether the fixed key may leave the configuration files, take it out, and put it back
    #[command(subcommand, arg_required_else_help = true)]
    FixedKey(FixedKeyArgs),
    /// Read the secret of every migrated row again, and compare it with the fixed key
    ///
    /// Looks at the rows of this host, unless told otherwise, and changes nothing in Cinder's
    /// database or Barbican, but for readers that --mend-acl --execute adds. The exit status is 0 if all is right, 1 if something is not, and 2 if
    /// it failed or was interrupted; a run over all rows is continued by the next one.
    #[command(after_long_help = verify::REPORT)]
    Verify(VerifyArgs),
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
    /// `status`
    Status(Status),
    /// `plan`
    Plan(Plan),
    /// `rows`
    Rows(Rows),
    /// `migrate`
    Migrate(Named),
    /// `revert`
    Revert(Named),
    /// `release`
    Release(Named),
    /// `check`
    Check(Check),
    /// `orphans`
    Orphans(Orphans),
    /// `completions`
    Completions(clap_complete::Shell),
    /// `fixed-key`
    FixedKey(FixedKey),
    /// `verify`
    Verify(Verify),
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
        CommandArgs::Status(args) => Command::Status(args.command(matches)),
        CommandArgs::Plan(args) => Command::Plan(args.command(matches)),
        CommandArgs::Rows(args) => Command::Rows(args.command(matches)),
        CommandArgs::Migrate(args) => Command::Migrate(args.command(matches)),
        CommandArgs::Revert(args) => Command::Revert(args.command(matches)),
        CommandArgs::Release(args) => Command::Release(args.command(matches)),
        CommandArgs::Check(args) => Command::Check(args.command(matches)),
        CommandArgs::Orphans(args) => Command::Orphans(args.command(matches)),
        CommandArgs::Completions(args) => Command::Completions(args.shell),
        CommandArgs::FixedKey(args) => Command::FixedKey(args.command(matches)),
        CommandArgs::Verify(args) => Command::Verify(args.command(matches)),
    })
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

/// Prints the script that completes the command line.
pub(crate) fn print_completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        env!("CARGO_PKG_NAME"),
        &mut script,
    );
    // Who closes standard output wants no more of it.
    _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parsed(line: &str) -> Result<Command, clap::Error> {
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
    fn a_limit_without_once_is_refused() {
        assert!(parsed("ckm run --limit 3").is_err());
        assert!(parsed("ckm run --service scheduler").is_err());
        assert!(parsed("ckm").is_err());
    }

    #[test]
    fn every_command_of_the_manual_is_one() {
        let manuals = [
            include_str!("../../../../docs/operations.md"),
            include_str!("../../../../README.md"),
            include_str!("../../../../docs/runbook.md"),
            include_str!("../../../../docs/upgrade.md"),
            include_str!("../../../../deploy/README.md"),
            include_str!("../../../../deploy/prometheus/cinder-key-migrator.rules"),
        ];
        let mut commands = 0;
        for manual in manuals {
            let text = manual.replace("\\\n", " ");
            let inline = text.replace('\n', " ");
            let inline = inline.split('`').skip(1).step_by(2);
            let named = |line: &&str| line.starts_with("cinder-key-migrator ");
            for line in text.lines().chain(inline).filter(named) {
                let command = line.split('#').next().unwrap_or_default();
                let words: Vec<_> = command
                    .split(['<', '>'])
                    .enumerate()
                    .map(|(number, part)| if number % 2 == 0 { part } else { "7b" })
                    .collect();
                let words = words.concat();
                let arguments = words.split_whitespace().map(Into::into);
                assert!(parse(arguments).is_ok(), "{line}");
                commands += 1;
            }
        }
        assert!(commands > 10, "{commands}");
    }
}

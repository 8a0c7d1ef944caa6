//! `check`.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{ConfigArgs, Format, ServiceArg, origin};
use crate::settings::Origin;

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Store a secret of random bytes in Barbican and delete it: only so the role is proved
    #[arg(long)]
    probe: bool,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Compare with this configuration of nova-compute, instead of the one it would find on this
    /// host; may be repeated, later ones win
    #[arg(long, value_name = "FILE")]
    nova_config_file: Vec<PathBuf>,
    /// Look at this service only; may be repeated (default: option services of section
    /// key_migrator)
    #[arg(long, value_name = "SERVICE")]
    service: Vec<ServiceArg>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What to look at.
#[derive(Debug)]
pub(crate) struct Check {
    /// Where the configuration is.
    pub(crate) origin: Origin,
    /// `--probe`
    pub(crate) probe: bool,
    /// `--format`
    pub(crate) format: Format,
    /// `--nova-config-file`
    pub(crate) nova: Vec<PathBuf>,
}

impl CheckArgs {
    /// What it asks for.
    pub(super) fn command(self, matches: &ArgMatches) -> Check {
        Check {
            origin: origin(self.config, self.service, matches),
            probe: self.probe,
            format: self.format,
            nova: self.nova_config_file,
        }
    }
}

#[cfg(test)]
mod tests {
    use key_migration::ids::Service;

    use crate::cli::Command;
    use crate::cli::tests::parsed;

    #[test]
    fn nothing_is_stored_unless_it_is_asked_for() {
        for (line, probe) in [("ckm check", false), ("ckm check --probe", true)] {
            let Ok(Command::Check(check)) = parsed(line) else {
                panic!("a check");
            };
            assert_eq!(check.probe, probe);
        }
        let line = "ckm check --service backup --nova-config-file /n --nova-config-file /m";
        let Ok(Command::Check(check)) = parsed(line) else {
            panic!("a check");
        };
        assert_eq!(check.origin.services, [Service::Backup]);
        assert_eq!(check.nova, ["/n", "/m"].map(std::path::PathBuf::from));
    }
}

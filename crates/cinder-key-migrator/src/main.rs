#![doc = include_str!("../README.md")]

mod cli;
mod clock;
mod commands;
mod daemon;
mod exit;
mod hardening;
mod holds;
mod http;
mod logging;
mod settings;

use std::process::ExitCode;

use crate::exit::Failure;

fn main() -> ExitCode {
    hardening::harden();
    let command = cli::parse(std::env::args_os()).map_err(Failure::Usage);
    let ended = command.and_then(commands::run);
    ended.unwrap_or_else(|failure| failure.report())
}

//! The benchmarks: what the program reaches beside what Barbican can serve and beside Cinder's own
//! migrator, all in one run. Prints Markdown, which `docs/performance.md` holds.
//!
//! Everything is measured side by side and in turns on one machine, and given as the median with
//! the least and the most: on a machine that others use too, the ratios hold where the figures do
//! not.

mod cpu;
mod crowd;
mod delayed;
mod limit;
mod machine;
mod million;
mod pages;
mod placement;
mod run;
mod services;
mod shared;
mod spread;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use crate::placement::Placement;

/// Measure this program beside a load generator and beside Cinder's own migrator.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// The folder with the Python environment and what is kept between runs
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.services"))]
    home: PathBuf,
    /// What to measure; everything by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Paired runs, of which the median is given
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Volumes with a snapshot each, in each run on the real Barbican
    #[arg(long, default_value_t = 300)]
    keys: usize,
    /// Numbers of Barbican workers, each measured on its own
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    workers: Vec<u32>,
    /// Keys that the load generator keeps in flight; what is best is found out by default
    #[arg(long)]
    in_flight: Option<usize>,
    /// Volumes at zeros where each request takes 25 ms
    #[arg(long, default_value_t = 10_000)]
    delayed_rows: usize,
    /// Of these, how many Cinder's own migrator does in each run, at its steady rate
    #[arg(long, default_value_t = 400)]
    upstream_sample: usize,
    /// Rows of each table where there are very many
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Let Cinder's own migrator do all of them once, which takes a quarter of an hour
    #[arg(long)]
    upstream_whole: bool,
}

/// A part of the benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Real Barbican, real MariaDB: the limit, Cinder's own migrator, this program
    Shared,
    /// The same, where Barbican has processors of its own
    Apart,
    /// Emulated Barbican with 25 ms a request, 10,000 rows
    Delayed,
    /// The same with 3,000 rows, alone and beside 2,000 clients that take what they can
    Crowd,
    /// A million rows a table: counts, memory, pages, start
    Million,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.pairs > 0, "--pairs must be 1 or more");
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    println!("{}", machine::description(&arguments.home).await?);
    if wanted(Part::Shared) {
        println!(
            "{}",
            shared::measure(&arguments, Placement::Together).await?
        );
    }
    if wanted(Part::Apart) {
        println!("{}", shared::measure(&arguments, Placement::Apart).await?);
    }
    if wanted(Part::Delayed) {
        println!("{}", delayed::measure(&arguments).await?);
    }
    if wanted(Part::Crowd) {
        println!("{}", crowd::measure(&arguments).await?);
    }
    if wanted(Part::Million) {
        println!("{}", million::measure(&arguments).await?);
    }
    Ok(())
}

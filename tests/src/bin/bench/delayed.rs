//! Where each request takes 25 ms, as on a Barbican that is far away or stores keys in hardware:
//! the emulated cloud, whose own work is next to nothing, and the real MariaDB.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::civil::DateTime;
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{Cloud, EmulatedCloud, RoleWorld, Services};

use crate::Arguments;
use crate::limit::per_second;
use crate::run::{Ground, is_key_line, key_instants};
use crate::services::Started;
use crate::spread::Spread;

const LATENCY: Duration = Duration::from_millis(25);

/// Keys among which the rate of a whole run of Cinder's own migrator is compared.
const STRETCH: usize = 1000;

/// Measures, and tells as Markdown.
pub(crate) async fn measure(arguments: &Arguments) -> Result<String> {
    let rows = arguments.delayed_rows;
    let started = Started::with_workers(&arguments.home, 1).await?;
    let services = &started.services;
    let process = started.pid()?;
    let (mut upstream, mut program) = (Vec::new(), Vec::new());
    for number in 0..arguments.pairs {
        let sample = arguments.upstream_sample.min(rows - 1);
        upstream.push(upstream_rate(services, rows, sample).await?);
        let (ground, _cloud) = ground(services, rows).await?;
        let run = ground.run_program(process).await?;
        program.push(per_second(rows, run.migrating));
        eprintln!(
            "bench: 25 ms, turn {number}: upstream {:.1}, program {:.1} keys/s",
            upstream[number], program[number]
        );
    }
    let ratios = program
        .iter()
        .zip(&upstream)
        .map(|(one, other)| one / other);
    let mut text = format!(
        "### 25 ms a request, {rows} rows\n\n\
         Emulated Keystone and Barbican that answer each request after 25 ms, real MariaDB, \
         volumes with a snapshot each. Medians (least to most) of {pairs} turns; Cinder's own \
         migrator does {sample} keys of each of its databases.\n\n\
         | upstream, keys/s | program, keys/s | program / upstream |\n|---|---|---|\n\
         | {:.1} | {:.1} | {:.1} |\n",
        Spread::of(upstream.iter().copied()),
        Spread::of(program.iter().copied()),
        Spread::of(ratios),
        pairs = arguments.pairs,
        sample = arguments.upstream_sample,
    );
    if arguments.upstream_whole {
        tell_whole(&mut text, services, process, rows).await?;
    }
    started.stop().await?;
    Ok(text)
}

/// The rate at which Cinder's own migrator does the first keys of so many rows.
async fn upstream_rate(services: &Services, rows: usize, sample: usize) -> Result<f64> {
    let (ground, _cloud) = ground(services, rows).await?;
    let mut upstream = Upstream::start(services, &ground.conf).await?;
    upstream.begin(UpstreamService::Volume).await?;
    let lines = upstream.lines_where(is_key_line, sample + 1).await?;
    upstream.kill().await?;
    let begun = key_instants(&lines)?;
    rate(&begun[..=sample])
}

/// All of it, once, to show that the rate does not depend on how much is done or left.
async fn tell_whole(
    text: &mut String,
    services: &Services,
    process: u32,
    rows: usize,
) -> Result<()> {
    let (ground, _cloud) = ground(services, rows).await?;
    let run = ground.run_upstream(services, process).await?;
    let stretches = run
        .begun
        .chunks(STRETCH)
        .filter(|keys| keys.len() > 1)
        .map(rate);
    let stretches = Spread::of(stretches.collect::<Result<Vec<_>>>()?);
    writeln!(
        text,
        "\nA whole run of Cinder's own migrator over {rows} rows took {:.0} s from its first key, \
         {:.1} keys/s; among stretches of {STRETCH} keys {stretches:.1}.",
        run.migrating.as_secs_f64(),
        per_second(rows, run.migrating),
    )?;
    Ok(())
}

/// Rows, and a cloud that begins to be slow once everything is prepared.
pub(crate) async fn ground(services: &Services, rows: usize) -> Result<(Ground, EmulatedCloud)> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let owner_id = cloud.create_owner().await?.user_id;
    let ground = Ground::new(services, &cloud, &owner_id, rows).await?;
    cloud.emulation().set_latency(LATENCY);
    Ok((ground, cloud))
}

/// Keys a second between the first and the last of these.
fn rate(begun: &[DateTime]) -> Result<f64> {
    let (first, last) = begun
        .first()
        .zip(begun.last())
        .context("no key was begun")?;
    Ok(per_second(
        begun.len() - 1,
        first.duration_until(*last).unsigned_abs(),
    ))
}

//! Real Keystone, Barbican and MariaDB, all on this machine: the limit, Cinder's own migrator and
//! the program in turns, for several numbers of Barbican workers.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use key_migrator_tests::{Cloud, RealCloud, RoleWorld};

use crate::Arguments;
use crate::cpu::Cpu;
use crate::limit::{self, Generator, Sweep, per_second};
use crate::placement::Placement;
use crate::run::{Ground, Run};
use crate::services::Started;
use crate::spread::Spread;

/// One turn of each.
struct Turn {
    limit: f64,
    limit_took: Duration,
    limit_cpu: Cpu,
    upstream: Run,
    program: Run,
}

/// Measures, and tells as Markdown.
pub(crate) async fn measure(arguments: &Arguments, placement: Placement) -> Result<String> {
    let _confined = placement.confine()?;
    let mut text = heading(arguments, placement);
    let mut details = String::new();
    for &workers in &arguments.workers {
        let started = placement.start(&arguments.home, workers).await?;
        let cloud = started.services.cloud(RoleWorld::AsShipped);
        let owner_id = cloud.create_owner().await?.user_id;
        let in_flight = match arguments.in_flight {
            Some(in_flight) => in_flight,
            None => {
                let sweep = limit::sweep(&cloud, &owner_id, arguments.keys).await?;
                tell_sweep(&mut details, workers, &sweep);
                sweep.best
            }
        };
        let mut turns = Vec::new();
        for number in 0..arguments.pairs {
            let turn = turn(&started, &cloud, &owner_id, arguments.keys, in_flight).await?;
            eprintln!(
                "bench: {workers} workers, turn {number}: limit {:.1}, upstream {:.1}, program {:.1} keys/s",
                turn.limit,
                per_second(arguments.keys, turn.upstream.migrating),
                per_second(arguments.keys, turn.program.migrating),
            );
            turns.push(turn);
        }
        tell(&mut text, &mut details, workers, arguments.keys, &turns)?;
        started.stop().await?;
    }
    Ok(format!("{text}\n{details}"))
}

async fn turn(
    started: &Started,
    cloud: &RealCloud,
    owner_id: &str,
    keys: usize,
    in_flight: usize,
) -> Result<Turn> {
    let (services, process) = (&started.services, started.pid()?);
    let own = std::process::id();

    // Half of the generator's keys before the program and half after it: what the machine gives
    // changes within minutes.
    let half = keys.div_ceil(2);
    let before = Generator::new(cloud, owner_id, half).await?;
    let after = Generator::new(cloud, owner_id, half).await?;
    let ground = Ground::new(services, cloud, owner_id, keys).await?;

    let start = Cpu::now(process, own)?;
    let took = before.run(in_flight).await?;
    let first = Cpu::now(process, own)?.since(&start);
    let program = ground.run_program(process).await?;
    drop(ground);
    let start = Cpu::now(process, own)?;
    let took = took + after.run(in_flight).await?;
    let second = Cpu::now(process, own)?.since(&start);

    let ground = Ground::new(services, cloud, owner_id, keys).await?;
    let upstream = ground.run_upstream(services, process).await?;
    Ok(Turn {
        limit: per_second(2 * half, took),
        limit_took: took,
        limit_cpu: first.and(&second),
        upstream,
        program,
    })
}

fn heading(arguments: &Arguments, placement: Placement) -> String {
    format!(
        "### Real Barbican and MariaDB, {placement}\n\n\
         {keys} volumes with a snapshot each, a fresh database and project for each run; medians \
         (least to most) of {pairs} turns of limit and program, and of upstream.\n\n\
         | Barbican workers | limit, keys/s | upstream, keys/s | program, keys/s | \
         program / limit | program / upstream | program / upstream, whole processes |\n\
         |---|---|---|---|---|---|---|\n",
        keys = arguments.keys,
        pairs = arguments.pairs,
    )
}

fn tell_sweep(details: &mut String, workers: u32, sweep: &Sweep) {
    let rates = sweep
        .rates
        .iter()
        .map(|(in_flight, rate)| format!("{in_flight}: {rate:.1}"));
    details.push_str(&format!(
        "With {workers} workers the load generator is best with {} in flight (keys/s at each \
         number: {}).\n\n",
        sweep.best,
        rates.collect::<Vec<_>>().join(", ")
    ));
}

fn tell(
    text: &mut String,
    details: &mut String,
    workers: u32,
    keys: usize,
    turns: &[Turn],
) -> Result<()> {
    let rate = |run: &Run| per_second(keys, run.migrating);
    let whole = |turn: &Turn| turn.upstream.whole.as_secs_f64() / turn.program.whole.as_secs_f64();
    writeln!(
        text,
        "| {workers} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} |",
        Spread::of(turns.iter().map(|turn| turn.limit)),
        Spread::of(turns.iter().map(|turn| rate(&turn.upstream))),
        Spread::of(turns.iter().map(|turn| rate(&turn.program))),
        Spread::of(turns.iter().map(|turn| rate(&turn.program) / turn.limit)),
        Spread::of(
            turns
                .iter()
                .map(|turn| rate(&turn.program) / rate(&turn.upstream))
        ),
        Spread::of(turns.iter().map(whole)),
    )?;
    writeln!(
        details,
        "Processor time a key with {workers} workers, ms, and the number of processors that Barbican \
         kept busy:\n\n\
         | | client | Barbican | MariaDB | Keystone | others on the machine | busy with Barbican |\n\
         |---|---|---|---|---|---|---|"
    )?;
    let limit: Vec<_> = turns
        .iter()
        .map(|turn| (&turn.limit_cpu, turn.limit_took))
        .collect();
    let of_run = |run: fn(&Turn) -> &Run| -> Vec<(&Cpu, Duration)> {
        let runs = turns.iter().map(run);
        runs.map(|run| (&run.cpu, run.whole)).collect()
    };
    tell_cpu(details, "limit", keys, &limit)?;
    tell_cpu(details, "upstream", keys, &of_run(|turn| &turn.upstream))?;
    tell_cpu(details, "program", keys, &of_run(|turn| &turn.program))?;
    details.push('\n');
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some hundreds of keys")]
fn tell_cpu(details: &mut String, who: &str, keys: usize, runs: &[(&Cpu, Duration)]) -> Result<()> {
    let median = |seconds: &dyn Fn(&Cpu) -> f64| {
        let of_key = runs
            .iter()
            .map(|(cpu, _)| seconds(cpu) * 1000.0 / keys as f64);
        Spread::of(of_key).median
    };
    let busy = runs
        .iter()
        .map(|(cpu, took)| cpu.of("barbican") / took.as_secs_f64());
    writeln!(
        details,
        "| {who} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
        median(&|cpu| cpu.of("client")),
        median(&|cpu| cpu.of("barbican")),
        median(&|cpu| cpu.of("mariadb")),
        median(&|cpu| cpu.of("keystone")),
        median(&Cpu::others),
        Spread::of(busy).median,
    )?;
    Ok(())
}

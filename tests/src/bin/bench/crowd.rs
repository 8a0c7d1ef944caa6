//! The same run alone and beside clients that take what they can, in turns: what they cost the
//! migration, and what a probe waits.

use std::fmt::Write as _;

use anyhow::Result;
use key_migrator_tests::crowd::Crowd;
use key_migrator_tests::{Program, Services, million};

use crate::Arguments;
use crate::cpu::Cpu;
use crate::delayed::ground;
use crate::limit::per_second;
use crate::pages::{PageTimes, Reader};
use crate::run::{DONE, PATIENCE, Run};
use crate::services::Started;
use crate::spread::Spread;

const CLIENTS: usize = 2_000;
const ROWS: usize = 3_000;

/// One is scraped, the other probed.
const PAGES: [&str; 2] = ["/metrics", "/livez"];

/// One run.
struct Turn {
    rate: f64,
    /// Most anonymous memory, in KiB.
    peak: u64,
    pages: [PageTimes; 2],
}

/// Measures, and tells as Markdown.
pub(crate) async fn measure(arguments: &Arguments) -> Result<String> {
    let started = Started::with_workers(&arguments.home, 1).await?;
    let (mut alone, mut crowded) = (Vec::new(), Vec::new());
    for number in 0..arguments.pairs {
        alone.push(turn(&started, 0).await?);
        crowded.push(turn(&started, CLIENTS).await?);
        eprintln!(
            "bench: crowd, turn {number}: {:.1} keys/s alone, {:.1} in the crowd",
            alone[number].rate, crowded[number].rate
        );
    }
    let ratios = crowded
        .iter()
        .zip(&alone)
        .map(|(one, other)| one.rate / other.rate);
    let mut text = format!(
        "### {CLIENTS} clients that take what they can\n\n\
         {ROWS} volumes with a snapshot each where each request takes 25 ms, alone and beside so \
         many connections, of which some say nothing, some a byte at a time, some 64 KiB of header, \
         and some listen to events; all of them come again a second after they were thrown out. \
         Every 20 ms somebody else asks for a page on a new connection. Medians (least to most) of \
         {pairs} turns.\n\n\
         | | keys/s | peak RssAnon, MiB | `/metrics`, ms: median | p99 | most | `/livez`, ms: \
         median | p99 | most |\n|---|---|---|---|---|---|---|---|---|\n",
        pairs = arguments.pairs,
    );
    tell(&mut text, "alone", &alone)?;
    tell(&mut text, "in the crowd", &crowded)?;
    writeln!(
        text,
        "\nThe rate in the crowd is {:.2} of the one alone.",
        Spread::of(ratios)
    )?;
    started.stop().await?;
    Ok(text)
}

async fn turn(started: &Started, clients: usize) -> Result<Turn> {
    let services: &Services = &started.services;
    let (ground, _cloud) = ground(services, ROWS).await?;
    let mut program = Program::start_with(&ground.conf, ["run", "--service", "volume"])?;
    let pid = program.pid();
    let address = program.url().trim_start_matches("http://").to_owned();
    program.line("Migrating volume").await?;
    let crowd = Crowd::gather(&address, clients)?;
    let reader = Reader::coming_anew(&address, PAGES);
    let before = Cpu::now(started.pid()?, pid)?;
    let began = std::time::Instant::now();
    let done = program.line_within(DONE, PATIENCE);
    let (done, peak) = million::peak_rss_anon(pid, done).await?;
    done?;
    let pages = reader.stop().await?;
    drop(crowd);
    let cpu = Cpu::now(started.pid()?, pid)?.since(&before);
    let lines = program.terminate().await?.lines;
    ground.is_done().await?;
    let run = Run::new(&lines, began.elapsed(), cpu)?;
    Ok(Turn {
        rate: per_second(ROWS, run.migrating),
        peak,
        pages,
    })
}

fn tell(text: &mut String, how: &str, turns: &[Turn]) -> Result<()> {
    let peaks = turns.iter().map(|turn| kib(turn.peak) / 1024.0);
    write!(
        text,
        "| {how} | {:.1} | {:.1} |",
        Spread::of(turns.iter().map(|turn| turn.rate)),
        Spread::of(peaks),
    )?;
    for page in 0..PAGES.len() {
        let spread =
            |of: fn(&PageTimes) -> f64| Spread::of(turns.iter().map(|turn| of(&turn.pages[page])));
        write!(
            text,
            " {:.1} | {:.1} | {:.1} |",
            spread(|times| times.median),
            spread(|times| times.p99),
            spread(|times| times.most),
        )?;
    }
    writeln!(text)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands of KiB")]
fn kib(number: u64) -> f64 {
    number as f64
}

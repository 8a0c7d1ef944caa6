//! Clients that take what they can leave the migration and the probes alone.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use key_migrator_tests::crowd::{self, Crowd};
use key_migrator_tests::million::rss_anon;
use key_migrator_tests::program::DEADLINE;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Volume, http,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// So many connections at a time, most of them never to be closed by us.
const CROWD: usize = 2_000;
/// Keys a second.
const RATE: u64 = 4;
const KEYS: u64 = 60;
/// Of these, so many are migrated before the crowd comes.
const BEFORE: u64 = 20;

#[tokio::test]
async fn slow_and_rude_clients_by_the_thousand_stop_neither_the_migration_nor_a_probe() -> Result<()>
{
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let volumes: Vec<Volume> = (0..KEYS).map(|_| Volume::on("host1@lvm#lvm")).collect();
    database.insert(&volumes[..]).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set(
        "key_migrator",
        "max_rate",
        &RATE.to_string(),
    );
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    let first = migrated(&mut program, 1).await?;
    let quiet = Instant::now();
    let before = migrated(&mut program, BEFORE).await?;
    let quiet_rate = rate(before - first, quiet);
    let memory_before = rss_anon(program.pid())?;

    let address = program.url().trim_start_matches("http://").to_owned();
    let crowd = Crowd::gather(&address, CROWD)?;
    let began = Instant::now();
    let mut probes = Vec::new();
    let mut last = before;
    while last < KEYS {
        for path in ["/livez", "/metrics", "/v1/status"] {
            probes.push(crowd::probe(&address, path).await?);
        }
        last = migrated(&mut program, before).await?;
        let passed = began.elapsed();
        ensure!(passed < DEADLINE, "{last} of {KEYS} after {passed:?}");
    }
    let rate = rate(last - before, began);
    drop(crowd);
    let grown = rss_anon(program.pid())?.saturating_sub(memory_before);
    probes.sort();
    let (middle, slowest) = (probes[probes.len() / 2], probes[probes.len() - 1]);
    eprintln!(
        "{rate:.2} keys a second, {quiet_rate:.2} before; of {} probes the median {middle:?}, the slowest {slowest:?}; \
         {grown} KiB more",
        probes.len()
    );
    assert!(grown < 8 * 1024, "{grown} KiB");
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_harms_nobody() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let program = Program::start(&CinderConf::new(&cloud, &cinder, &database)?)?;
    program.ready().await?;
    let address = program.url().trim_start_matches("http://").to_owned();
    let long = "x".repeat(64 * 1024);
    let many: String = (0..500).map(|n| format!("X-{n}: y\r\n")).collect();
    for (request, codes) in [
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            [414, 431],
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
            [431, 431],
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
            [431, 431],
        ),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), [400, 505]),
        ("\0\x01\x02 nonsense\r\n\r\n".to_owned(), [400, 400]),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_owned(),
            [400, 400],
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n".to_owned(),
            [405, 405],
        ),
    ] {
        let start: String = request.chars().take(60).collect();
        let code = answered(&address, request.as_bytes()).await?;
        assert!(codes.contains(&code), "{start}: {code}");
    }
    crowd::probe(&address, "/livez").await?;
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn as_many_as_may_follow_the_events_and_all_are_let_go_in_order_at_the_end() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let program = Program::start(&CinderConf::new(&cloud, &cinder, &database)?)?;
    program.ready().await?;
    let url = format!("{}/v1/events", program.url());
    let began = Instant::now();
    let mut listening = Vec::new();
    for _ in 0..16 {
        let mut answer = http::client().get(&url).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let first = answer.chunk().await?.context("a first event")?;
        assert!(first.starts_with(b"retry: "), "{first:?}");
        listening.push(answer);
    }
    eprintln!("{:?} for a first event", began.elapsed() / 16);
    let refused = http::client().get(&url).send().await?;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "10");
    assert_eq!(program.page("/livez").await?.0, 200);
    let ended = program.terminate().await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    for mut answer in listening {
        // A stream that is cut off is an error here.
        while answer.chunk().await?.is_some() {}
    }
    Ok(())
}

/// How many keys are migrated, as soon as there are so many.
async fn migrated(program: &mut Program, at_least: u64) -> Result<u64> {
    let count = |status: &serde_json::Value| status["services"][0]["keys"]["migrated"].as_u64();
    let status = program.status_where(|status| count(status) >= Some(at_least));
    count(&status.await?).context("a number")
}

#[expect(clippy::cast_precision_loss, reason = "there are few")]
fn rate(keys: u64, since: Instant) -> f64 {
    keys as f64 / since.elapsed().as_secs_f64()
}

/// The status code of the answer to these bytes.
async fn answered(address: &str, request: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    // The answer may come, and the connection be closed, before all is sent.
    _ = stream.write_all(request).await;
    let mut answer = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut answer)).await??;
    let code = std::str::from_utf8(&answer)?.split(' ').nth(1);
    Ok(code.context("a status line")?.parse()?)
}

//! The fixed key in the memory of a daemon: once, for as long as it is needed, and to be had by
//! nobody else.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use key_migrator_tests::memory::{Trace, Traces};
use key_migrator_tests::tls::{Authority, TlsFronts, Validity};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Signal,
    Volume,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// What HTTP and TLS still hold goes with their connections, a second after the last request; a new
/// configuration is in use when what was under way has ended.
const AT_REST_WITHIN: Duration = Duration::from_secs(60);

/// For some keys, where others keep Barbican busy.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test]
async fn at_rest_the_key_is_in_memory_once_and_locked_there() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let authority = Authority::new()?;
    let server = authority.certify("127.0.0.1", Validity::Good)?;
    let fronts = TlsFronts::before(&cloud, &server, None).await?;
    let bundle = authority.bundle().to_string_lossy().into_owned();
    let (one, other) = (
        CinderDatabase::new(&services, Dialect::MariaDb).await?,
        CinderDatabase::new(&services, Dialect::Postgres).await?,
    );
    let plain = |database| CinderConf::new(&cloud, &cinder, database);
    let over_tls = fronts.used_by(plain(&one)?);
    let over_tls = over_tls.set("keystone_authtoken", "cafile", &bundle);
    tokio::try_join!(
        migrates_and_forgets(&one, over_tls),
        migrates_and_forgets(&other, plain(&other)?),
    )?;
    Ok(())
}

/// Moves some rows to a key of its own, and reads its configuration again.
async fn migrates_and_forgets(database: &CinderDatabase, conf: CinderConf) -> Result<()> {
    let volumes: Vec<_> = (0..4).map(|_| Volume::on("host1@lvm#lvm")).collect();
    database.insert(&volumes[..]).await?;
    database.insert(&Backup::on("host1")).await?;
    let key: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
    let conf = conf.set("key_manager", "fixed_key", &hex::encode(key)).set(
        "key_migrator",
        "interval",
        "1",
    );
    let mut program = Program::start(&conf)?;
    let keys = |status: &serde_json::Value, service: usize, of: &str| {
        status["services"][service]["keys"][of].as_u64()
    };
    let is_done = |status: &serde_json::Value| {
        let (volumes, backups) = (keys(status, 0, "migrated"), keys(status, 1, "migrated"));
        let at_rest = [0, 1].map(|service| keys(status, service, "in_flight") == Some(0));
        (volumes, backups, at_rest) == (Some(4), Some(1), [true; 2])
    };
    program.status_within(PATIENCE, is_done).await?;
    let traces = Traces::of(&key);
    is_there_once(&traces, &program).await?;
    for _ in 0..2 {
        program.signal(Signal::HUP)?;
        program.line("was read again and is in use").await?;
    }
    is_there_once(&traces, &program).await?;
    let ended = program.terminate().await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    Ok(())
}

#[tokio::test]
async fn a_core_dump_that_is_asked_for_is_not_made() -> Result<()> {
    let any = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Core, any).context("the tests run as root")?;
    let (conf, _database) = ground().await?;
    for signal in [Signal::ABORT, Signal::QUIT] {
        let program = Program::start(&conf)?;
        program.ready().await?;
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid()))?;
        let core = limits
            .lines()
            .find(|it| it.starts_with("Max core file size"));
        let words: Vec<_> = core.unwrap_or_default().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
        program.signal(signal)?;
        let ended = program.ended().await?;
        assert_eq!(ended.status.signal(), Some(signal.as_raw()));
        assert!(!ended.status.core_dumped(), "{signal:?}");
    }
    Ok(())
}

/// As `gcore` does, or a debugger; the same is allowed with any other process.
#[tokio::test]
async fn nobody_of_the_same_user_reads_its_memory() -> Result<()> {
    let (conf, _database) = ground().await?;
    let program = Program::start_through(&POWERLESS, &conf, ["run"])?;
    program.ready().await?;
    let mut other = Command::new(POWERLESS[0])
        .args(&POWERLESS[1..])
        .args(["sh", "-c", "echo; read never"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // Before it says something it may not be powerless yet.
    let said = other.stdout.as_mut().context("an output")?.read_u8().await;
    said.context("it runs")?;
    let pid = other.id().context("it runs")?;
    assert!(reads_memory(pid).await?, "nothing can be read here");
    assert!(!reads_memory(program.pid()).await?);
    let ended = program.terminate().await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    Ok(())
}

/// Runs what follows as the same user without root's power over others.
const POWERLESS: [&str; 3] = ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all"];

/// Whether somebody of the same user reads where memory is mapped, and some of it.
async fn reads_memory(pid: u32) -> Result<bool> {
    let read = Command::new(POWERLESS[0])
        .args(&POWERLESS[1..])
        .arg("cat")
        .args(["maps", "environ"].map(|file| format!("/proc/{pid}/{file}")))
        .output()
        .await?;
    let refused = String::from_utf8_lossy(&read.stderr).contains("Permission denied");
    ensure!(read.status.success() || refused, "{read:?}");
    Ok(read.status.success())
}

async fn ground() -> Result<(CinderConf, CinderDatabase)> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    Ok((CinderConf::new(&cloud, &cinder, &database)?, database))
}

/// Waits until it is, and looks whether that page can be swapped out.
async fn is_there_once(traces: &Traces, program: &Program) -> Result<()> {
    let began = Instant::now();
    let found = loop {
        let found = traces.in_memory_of(program.pid())?;
        if found.len() <= 1 {
            break found;
        }
        let shown: Vec<_> = found.iter().map(Trace::to_string).collect();
        ensure!(
            began.elapsed() < AT_REST_WITHIN,
            "{} copies: {shown:#?}",
            found.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let only = found.first().context("the key that is in use")?;
    ensure!(only.form == "raw", "{only}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
    let locked = status.lines().find(|line| line.starts_with("VmLck:"));
    let locked = locked.and_then(|line| line.split_whitespace().nth(1));
    assert_ne!(locked, Some("0"), "{status}");
    Ok(())
}

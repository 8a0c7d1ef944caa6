//! `log_dir`: the file through rotation, of both kinds.

use anyhow::Result;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, Program, RoleWorld, Services, Signal,
};

use crate::run::{FILE, Host, has};

const READ_AGAIN: &str = "the configuration was read again and is in use";

async fn idle_host() -> Result<Host> {
    let cloud = Services::from_env().cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::sqlite().await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    Host::new(conf, database)
}

async fn started(host: &Host) -> Result<Program> {
    let program = host.start()?;
    has(&host.file(), "HTTP at ").await?;
    program.ready().await?;
    Ok(program)
}

#[tokio::test]
async fn a_file_that_was_moved_away_gets_no_more_lines_after_sighup() -> Result<()> {
    let host = idle_host().await?;
    let program = started(&host).await?;
    let moved = host.file().with_extension("log.1");
    std::fs::rename(host.file(), &moved)?;
    program.signal(Signal::HUP)?;
    has(&host.file(), READ_AGAIN).await?;
    let before = std::fs::read_to_string(&moved)?;
    assert!(!before.contains(READ_AGAIN), "{before}");

    // Into another directory, with nothing but a new configuration.
    let elsewhere = host.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    let path = elsewhere.display().to_string();
    program.reconfigure(&host.conf.clone().set("DEFAULT", "log_dir", &path))?;
    let second = std::fs::read_to_string(host.file())?;
    program.signal(Signal::HUP)?;
    has(&elsewhere.join(FILE), READ_AGAIN).await?;
    assert_eq!(std::fs::read_to_string(host.file())?, second);

    // A directory that is not there: lines go on where they went.
    program.reconfigure(&host.conf.clone().set("DEFAULT", "log_dir", "/nonexistent"))?;
    program.signal(Signal::HUP)?;
    let text = has(&elsewhere.join(FILE), "the one from before stays in use").await?;
    assert!(
        text.contains("make it writable, or change [DEFAULT] log_dir"),
        "{text}"
    );
    program.terminate().await?;
    assert_eq!(std::fs::read_to_string(&moved)?, before);
    Ok(())
}

#[tokio::test]
async fn a_file_that_was_copied_and_truncated_goes_on_from_its_start() -> Result<()> {
    let host = idle_host().await?;
    let program = started(&host).await?;
    std::fs::File::options()
        .write(true)
        .open(host.file())?
        .set_len(0)?;
    program.signal(Signal::HUP)?;
    let text = has(&host.file(), READ_AGAIN).await?;
    assert!(
        !text.contains("HTTP at ") && !text.contains('\0'),
        "{text:?}"
    );
    program.terminate().await?;
    Ok(())
}

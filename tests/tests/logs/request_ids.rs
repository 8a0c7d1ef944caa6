//! One ID leads from our line to those of the services that were asked.

use anyhow::{Context, Result};
use key_migrator_tests::log::LogLine;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud as _, Program, RoleWorld, Services, Volume,
};

use crate::run::has;

/// The request ID of the line that contains these words.
fn request_id(lines: &[String], words: &str) -> Result<String> {
    let line = lines.iter().find(|line| line.contains(words));
    let line = line.with_context(|| format!("no `{words}`: {lines:#?}"))?;
    let shown = LogLine::parse(line).with_context(|| line.clone())?;
    let id = shown
        .context
        .split(' ')
        .find(|word| word.starts_with("req-"));
    Ok(id.with_context(|| line.clone())?.to_owned())
}

#[tokio::test]
async fn barbicans_log_names_the_key_by_the_request_id_of_ours() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::sqlite().await?;
    let volume = Volume::on("host1@lvm#lvm");
    database.insert(&volume).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let ended = Program::run_to_end(&conf, ["run", "--once", "--service", "volume"]).await?;
    let id = request_id(&ended.lines, &format!("Migrating volume {}", volume.id))?;
    let log = services.logs.join("barbican_as_shipped.log");
    // All of the key's requests, as Barbican saw them come and go.
    let log = has(&log, &format!("Begin processing request {id}")).await?;
    let of_it: Vec<_> = log.lines().filter(|line| line.contains(&id)).collect();
    for words in [
        "Created a secret for project",
        "POST",
        "PUT",
        "Retrieved secret payload",
    ] {
        assert!(
            of_it.iter().any(|line| line.contains(words)),
            "{words}: {of_it:#?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn keystones_log_tells_of_a_refusal_under_the_request_id_of_ours() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::sqlite().await?;
    database.insert(&Volume::on("host1@lvm#lvm")).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let wrong = conf.set("DEFAULT", "debug", "true").set(
        "keystone_authtoken",
        "password",
        "not the password",
    );
    let ended = Program::run_to_end(&wrong, ["run", "--once", "--service", "volume"]).await?;
    let id = request_id(&ended.lines, "/v3/auth/tokens")?;
    let log = has(&services.logs.join("keystone.log"), &id).await?;
    let refused = |line: &str| line.contains(&id) && line.contains("Authorization failed");
    assert!(log.lines().any(refused), "{id}: {:#?}", ended.lines);
    Ok(())
}

//! Several programs own the same rows (W13): everything moves once, and hardly a secret is stored
//! in vain.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use key_migrator_tests::mutator::{BarbicanTables, Verdict};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Volume,
};

const VOLUMES: usize = 600;
/// Of a hundred secrets, how many may be stored for a row that another program has switched. Runs
/// differ by where the programs happen to begin; that it is 2 on average is for the tests of the
/// domain, which make ten runs in a few seconds.
const MOST_WASTED: usize = 5;
/// How long three programs may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test]
async fn w13_three_programs_of_one_host_share_its_volumes_and_waste_hardly_a_secret() -> Result<()>
{
    let volumes = (0..VOLUMES).map(|_| Volume::on("host1@lvm#lvm").owned_by("user"));
    share("one host", volumes.collect(), |conf, _| conf).await
}

#[tokio::test]
async fn three_programs_of_a_cluster_share_its_volumes_and_waste_hardly_a_secret() -> Result<()> {
    let volumes = (0..VOLUMES).map(|number| {
        let host = format!("host{}@lvm#lvm", number % 3);
        Volume::on_cluster("cluster1@lvm#lvm", &host).owned_by("user")
    });
    share("a cluster", volumes.collect(), |conf, number| {
        conf.host(&format!("host{number}"))
            .set("DEFAULT", "cluster", "cluster1")
    })
    .await
}

/// Three programs, as configured, move all volumes.
async fn share(
    of: &str,
    volumes: Vec<Volume>,
    configure: impl Fn(CinderConf, usize) -> CinderConf,
) -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = Arc::new(CinderDatabase::new(&services, Dialect::MariaDb).await?);
    database.insert(&volumes).await?;
    let started = Instant::now();
    let mut programs = Vec::new();
    for number in 0..3 {
        let conf =
            CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
        let arguments = ["run", "--service", "volume"];
        programs.push(Program::start_with(&configure(conf, number), arguments)?);
    }
    tokio::time::timeout(PATIENCE, nothing_is_left(&database))
        .await
        .context("in time")??;
    let took = started.elapsed().as_secs_f64();
    let mut counted = 0;
    let mut shares = Vec::new();
    for program in &mut programs {
        let status = program.status_within(PATIENCE, is_at_rest).await?;
        shares.push(
            status["services"][0]["keys"]["migrated"]
                .as_u64()
                .context("migrated")?,
        );
        counted += status["orphan_secrets"]
            .as_u64()
            .context("orphan_secrets")?;
    }

    let barbican = BarbicanTables::open(&services, &cloud, &cinder).await?;
    let verdict = Verdict::of(&database, None, &barbican, None).await?;
    let wasted = verdict.stored - VOLUMES;
    writeln!(
        std::io::stdout(),
        "figure: three programs of {of}, {VOLUMES} volumes: {shares:?} each in {took:.1} s, \
         {wasted} secrets stored in vain ({:.1} %), {counted} left",
        100.0 * wasted as f64 / VOLUMES as f64
    )?;
    let lines: Vec<_> = programs
        .iter()
        .map(|program| program.lines().join("\n"))
        .collect();
    verdict.assert_unbroken(&lines)?;
    assert_eq!(verdict.referred, VOLUMES, "{verdict}");
    assert_eq!(verdict.superseded_before_switch.len(), 0, "{verdict}");
    assert_eq!(verdict.superseded_after_switch.len(), 0, "{verdict}");
    assert_eq!(counted, 0);
    assert!(
        wasted * 100 <= MOST_WASTED * VOLUMES,
        "{wasted} of {VOLUMES}: {verdict}"
    );
    assert!(
        shares.iter().all(|share| *share > 0),
        "each had its part: {shares:?}"
    );
    Ok(())
}

fn is_at_rest(status: &serde_json::Value) -> bool {
    let state = &status["services"][0]["state"];
    state == "idle" || state == "complete"
}

async fn nothing_is_left(database: &CinderDatabase) -> Result<()> {
    while database.zeros("volumes").await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

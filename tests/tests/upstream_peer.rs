//! Cinder's own migrator at work on the same rows (W20): it overwrites whatever is switched while
//! it runs, so the program notices it, says so and waits until it is done.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use key_migrator_tests::mutator::{Audit, BarbicanTables, Change, Verdict, Writer};
use key_migrator_tests::upstream::{Upstream, UpstreamService};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, User,
    Volume,
};
use serde_json::Value;

const VOLUMES: usize = 120;

/// By when the program must have noticed: two seconds, and what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(4);
/// How long nobody else may have switched a row before the program goes on.
const QUIET: Duration = Duration::from_secs(30);
/// What is under way when it notices may still be finished.
const UNDER_WAY: Duration = Duration::from_secs(3);
/// How long all the rest may take on a busy machine.
const FINISHED: Duration = Duration::from_secs(180);
/// How soon after that it must have gone on.
const GONE_ON: Duration = Duration::from_secs(20);

struct Scene {
    services: Services,
    cloud: RealCloud,
    service: User,
    database: Arc<CinderDatabase>,
    audit: Audit,
}

impl Scene {
    async fn set() -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        let service = cloud.create_authorised_cinder_user().await?;
        let database = Arc::new(CinderDatabase::new(&services, Dialect::MariaDb).await?);
        let audit = Audit::install(&services.mariadb, &database).await?;
        let volumes: Vec<_> = (0..VOLUMES)
            .map(|_| {
                Volume::on("host1@lvm#lvm")
                    .owned_by("user")
                    .with_snapshots(1)
            })
            .collect();
        database.insert(&volumes).await?;
        Ok(Self {
            services,
            cloud,
            service,
            database,
            audit,
        })
    }

    fn conf(&self, writer: Writer) -> Result<CinderConf> {
        Ok(CinderConf::new(&self.cloud, &self.service, &self.database)?
            .set("database", "connection", &self.audit.connection_url(writer))
            .set("key_migrator", "interval", "1"))
    }

    /// The first change of this writer after that one, as soon as it is there.
    async fn change_of(&self, writer: Writer, after: i64) -> Result<(Change, Instant)> {
        let looking = async {
            loop {
                let changes = self.audit.changes_after(after).await?;
                let found = changes
                    .into_iter()
                    .find(|change| change.writer == Some(writer));
                if let Some(change) = found {
                    return anyhow::Ok((change, Instant::now()));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let looking = tokio::time::timeout(4 * QUIET + GONE_ON, looking);
        looking
            .await
            .with_context(|| format!("waiting for a change of {writer:?}"))?
    }

    async fn last_change(&self) -> Result<i64> {
        Ok(self
            .audit
            .changes()
            .await?
            .last()
            .map_or(0, |change| change.number))
    }
}

fn says_peer_at_work(status: &Value) -> bool {
    let service = &status["services"][0];
    service["state"] == "blocked" && service["reason"]["code"] == "peer_at_work"
}

#[tokio::test]
async fn w20_the_program_lets_upstream_finish_and_accounts_for_what_it_overwrote() -> Result<()> {
    let scene = Scene::set().await?;
    let mut upstream = Upstream::start(&scene.services, &scene.conf(Writer::Upstream)?).await?;
    let conf = scene
        .conf(Writer::Program)?
        .set("key_migrator", "max_rate", "4");
    let mut program = Program::start_with(&conf, ["run", "--service", "volume"])?;
    scene.change_of(Writer::Program, 0).await?;
    upstream.begin(UpstreamService::Volume).await?;
    let (_, written_at) = scene.change_of(Writer::Upstream, 0).await?;
    program.status_where(says_peer_at_work).await?;
    let noticed = written_at.elapsed();

    // Nothing is switched any more while upstream is at work, and for half a minute after that.
    tokio::time::sleep(UNDER_WAY).await;
    let before_peace = scene.last_change().await?;
    // It is killed on its way, so that something is left to do.
    tokio::time::sleep(Duration::from_secs(1)).await;
    upstream.kill().await?;
    let killed_at = Instant::now();
    let resumed = scene.change_of(Writer::Program, before_peace).await;
    let (resumed, resumed_at) = resumed.with_context(|| program.lines().join("\n"))?;
    let waited = resumed_at.duration_since(killed_at);
    let changes = scene.audit.changes().await?;
    let last_of_upstream = changes
        .iter()
        .rfind(|change| change.writer == Some(Writer::Upstream))
        .map(|one| one.number);
    assert!(
        last_of_upstream < Some(resumed.number),
        "the program switched beside upstream"
    );

    program.reconfigure(&scene.conf(Writer::Program)?)?;
    let status = program
        .status_within(FINISHED, |status| {
            let state = &status["services"][0]["state"];
            state == "idle" || state == "complete"
        })
        .await?;
    let barbican = BarbicanTables::open(&scene.services, &scene.cloud, &scene.service).await?;
    let verdict = Verdict::of(&scene.database, Some(&scene.audit), &barbican, None).await?;
    let superseded = verdict.superseded_after_switch.len() + verdict.superseded_before_switch.len();
    writeln!(
        std::io::stdout(),
        "figure: upstream was noticed {noticed:.1?} after its first write, and the program went on \
         {waited:.1?} after it was gone; {verdict}"
    )?;
    let lines = program.terminate().await?.lines;
    verdict.assert_unbroken(&lines)?;
    let lines = lines.join("\n");
    assert_eq!(verdict.overwritten_by_program, 0);
    assert!(noticed <= NOTICED, "{noticed:?}\n{lines}");
    assert!(
        waited + Duration::from_secs(1) >= QUIET,
        "{waited:?}\n{lines}"
    );
    assert!(waited <= QUIET + GONE_ON, "{waited:?}\n{lines}");
    assert_eq!(
        status["orphan_secrets"].as_u64(),
        Some(superseded as u64),
        "{verdict}\n{lines}"
    );
    Ok(())
}

#[tokio::test]
async fn w20_what_upstream_switches_beside_us_is_left_alone() -> Result<()> {
    let scene = Scene::set().await?;
    let mut upstream = Upstream::start(&scene.services, &scene.conf(Writer::Upstream)?).await?;
    // Upstream has begun before the program starts, and overwrites nothing of it so far.
    upstream.begin(UpstreamService::Volume).await?;
    let (_, _) = scene.change_of(Writer::Upstream, 0).await?;
    let mut program = Program::start_with(
        &scene.conf(Writer::Program)?,
        ["run", "--service", "volume"],
    )?;
    program.status_where(says_peer_at_work).await?;
    upstream.finish().await?;
    upstream.end().await?;
    let status = program
        .status_within(FINISHED, |status| {
            let state = &status["services"][0]["state"];
            state == "idle" || state == "complete"
        })
        .await?;
    let barbican = BarbicanTables::open(&scene.services, &scene.cloud, &scene.service).await?;
    let verdict = Verdict::of(&scene.database, Some(&scene.audit), &barbican, None).await?;
    writeln!(std::io::stdout(), "figure: upstream first: {verdict}")?;
    let lines = program.terminate().await?.lines;
    verdict.assert_unbroken(&lines)?;
    let lines = lines.join("\n");
    assert_eq!(verdict.overwritten_by_program, 0);
    let superseded = verdict.superseded_after_switch.len() + verdict.superseded_before_switch.len();
    assert_eq!(
        status["orphan_secrets"].as_u64(),
        Some(superseded as u64),
        "{verdict}\n{lines}"
    );
    Ok(())
}

//! Keystone, Barbican or the database away, at start and later: the process stays up, says what it
//! waits for, and goes on by itself.

use anyhow::{Context, Result};
use key_migrator_tests::relay::TcpRelay;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, Signal,
    User, Volume,
};

const DONE: &str = "No volumes are using the ConfKeyManager's encryption_key_id.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Keystone,
    Barbican,
    Database,
}

impl Away {
    const ALL: [Self; 3] = [Self::Keystone, Self::Barbican, Self::Database];

    fn reason(self) -> &'static str {
        match self {
            Self::Keystone => "keystone_unreachable",
            Self::Barbican => "barbican_unreachable",
            Self::Database => "database_unreachable",
        }
    }
}

struct Scene {
    database: CinderDatabase,
    relay: TcpRelay,
    conf: CinderConf,
}

impl Scene {
    async fn set(away: Away, present: bool) -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
        let conf =
            CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
        let target = Self::target(away, &cloud, &database)?;
        let mut relay = TcpRelay::to(&target)?;
        if present {
            relay.give().await?;
        }
        let conf = Self::reroute(
            conf,
            away,
            &cloud,
            &cinder,
            &database,
            &target,
            &relay.address(),
        );
        Ok(Self {
            database,
            relay,
            conf,
        })
    }

    fn target(away: Away, cloud: &RealCloud, database: &CinderDatabase) -> Result<String> {
        let url = match away {
            Away::Keystone => cloud.auth_url(),
            Away::Barbican => cloud.barbican_endpoint(),
            Away::Database => database.connection_url().to_owned(),
        };
        let authority = url
            .split("//")
            .nth(1)
            .context("a URL")?
            .split('/')
            .next()
            .context("a host")?;
        Ok(authority.rsplit('@').next().context("a host")?.to_owned())
    }

    fn reroute(
        conf: CinderConf,
        away: Away,
        cloud: &RealCloud,
        cinder: &User,
        database: &CinderDatabase,
        target: &str,
        relay: &str,
    ) -> CinderConf {
        let through = |url: &str| url.replace(target, relay);
        match away {
            Away::Keystone => conf.user(&through(&cloud.auth_url()), cinder),
            Away::Barbican => conf.set(
                "barbican",
                "barbican_endpoint",
                &through(&cloud.barbican_endpoint()),
            ),
            Away::Database => conf.set(
                "database",
                "connection",
                &through(database.connection_url()),
            ),
        }
    }

    async fn add_volume(&self) -> Result<()> {
        self.database
            .insert(&Volume::on("host1@lvm#lvm").owned_by("user"))
            .await
    }
}

async fn blocked_by(program: &mut Program, away: Away) -> Result<()> {
    let status = program
        .status_where(|status| status["services"][0]["reason"]["code"] == away.reason())
        .await?;
    let service = &status["services"][0];
    assert_eq!(service["state"], "blocked", "{away:?}: {status:#}");
    assert!(
        service["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty()),
        "{status:#}"
    );
    assert!(service["next_attempt_at"].is_string(), "{status:#}");
    Ok(())
}

fn errors(program: &Program) -> usize {
    program
        .lines()
        .iter()
        .filter(|line| line.contains(" ERROR "))
        .count()
}

#[tokio::test]
async fn what_is_away_at_start_is_waited_for() -> Result<()> {
    for away in Away::ALL {
        let mut scene = Scene::set(away, false).await?;
        scene.add_volume().await?;
        let mut program = Program::start_with(&scene.conf, ["run", "--service", "volume"])?;
        blocked_by(&mut program, away).await?;
        assert_eq!(program.page("/livez").await?.0, 200, "{away:?}");
        let ready = if away == Away::Database { 503 } else { 200 };
        assert_eq!(program.page("/readyz").await?.0, ready, "{away:?}");
        assert_eq!(errors(&program), 1, "{away:?}: {:#?}", program.lines());

        scene.relay.give().await?;
        program.line(DONE).await?;
        assert_eq!(errors(&program), 1, "{away:?}: {:#?}", program.lines());
        program.ready().await?;
        assert_eq!(program.terminate().await?.code(), Some(0), "{away:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_goes_away_later_is_waited_for() -> Result<()> {
    for away in Away::ALL {
        let mut scene = Scene::set(away, true).await?;
        scene.add_volume().await?;
        let mut program = Program::start_with(&scene.conf, ["run", "--service", "volume"])?;
        program.line(DONE).await?;

        scene.relay.take_away().await?;
        scene.add_volume().await?;
        if away == Away::Keystone {
            // A token is good for an hour; what is configured anew needs a new one.
            program.reconfigure(
                &scene
                    .conf
                    .clone()
                    .set("keystone_authtoken", "timeout", "59"),
            )?;
            program.signal(Signal::HUP)?;
        }
        blocked_by(&mut program, away).await?;
        assert_eq!(program.page("/livez").await?.0, 200, "{away:?}");
        scene.relay.give().await?;
        program.line("Starting migration").await?;
        program.line(DONE).await?;
        assert_eq!(scene.database.zeros("volumes").await?, 0, "{away:?}");
        assert_eq!(program.terminate().await?.code(), Some(0), "{away:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_waited_for_until_it_is_right() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&Volume::on("host1@lvm#lvm").owned_by("user"))
        .await?;
    // The interval is long: only SIGHUP makes it try again within this test's patience.
    let right = CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "600");
    let wrong = right
        .clone()
        .set("keystone_authtoken", "password", "not the password");
    let mut program = Program::start_with(&wrong, ["run", "--service", "volume"])?;
    program
        .status_where(|status| status["services"][0]["reason"]["code"] == "keystone_rejected")
        .await?;
    program.reconfigure(&right)?;
    program.signal(Signal::HUP)?;
    program.line(DONE).await?;
    assert!(
        !program
            .lines()
            .iter()
            .any(|line| line.contains("not the password"))
    );
    program.terminate().await?;
    Ok(())
}

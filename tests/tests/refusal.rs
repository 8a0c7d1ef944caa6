//! A missing role: said once, with its remedy, and gone by itself when the role is granted.

use anyhow::{Context, Result};
use key_migrator_tests::log::migration_lines;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Service,
    Services, User, Volume,
};
use serde_json::Value;

const REFUSED: &str = "Error migrating encryption key: Forbidden: Secret creation attempt not \
     allowed - please review your user/project privileges";
const DONE: &str = "No volumes are using the ConfKeyManager's encryption_key_id.";

struct Scene {
    cloud: RealCloud,
    cinder: User,
    database: CinderDatabase,
    conf: CinderConf,
}

impl Scene {
    /// Three volumes and a backup on this host; cinder has the role `service` and no other.
    async fn set(services: &Services, world: RoleWorld) -> Result<Self> {
        let cloud = services.cloud(world);
        let cinder = cloud.create_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        let database = CinderDatabase::new(services, Dialect::MariaDb).await?;
        database
            .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
            .await?;
        for _ in 0..3 {
            let volume = Volume::on("host1@lvm#lvm")
                .owned_by(&owner)
                .with_snapshots(2);
            database.insert(&volume).await?;
        }
        database
            .insert(&Backup::on("host1").owned_by(&owner))
            .await?;
        let conf =
            CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
        Ok(Self {
            cloud,
            cinder,
            database,
            conf,
        })
    }

    fn start(&self) -> Result<Program> {
        Program::start_with(&self.conf, ["run", "--service", "volume"])
    }

    async fn grant(&self) -> Result<()> {
        self.cloud
            .grant(&self.cinder, &self.cloud.storing_role())
            .await
    }
}

fn volume_service(status: &Value) -> &Value {
    &status["services"][0]
}

/// How many requests to store a secret Barbican has refused so far, from `/metrics`.
async fn refusals(program: &Program) -> Result<u64> {
    let (_, metrics) = program.page("/metrics").await?;
    let counts = metrics.lines().filter(|line| {
        line.starts_with("cinder_key_migrator_request_duration_seconds_count")
            && line.contains("operation=\"store\"")
    });
    let count = |line: &str| Some(line.rsplit(' ').next()?.parse::<f64>().ok()? as u64);
    counts.map(|line| count(line).context("a count")).sum()
}

async fn until_refused_again(program: &Program, times: u64) -> Result<()> {
    let before = refusals(program).await?;
    let again = async {
        while refusals(program).await? < before + times {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(key_migrator_tests::program::DEADLINE, again).await?
}

#[tokio::test]
async fn a_missing_role_is_said_once_and_its_grant_is_enough() -> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let scene = Scene::set(&services, world).await?;
        let mut program = scene.start()?;
        program.line("backup(s) using").await?;
        let status = program
            .status_where(|status| volume_service(status)["state"] == "blocked")
            .await?;
        until_refused_again(&program, 3).await?;

        let said = migration_lines(&program.lines());
        let said: Vec<(&str, &str)> = said
            .iter()
            .map(|(level, text)| (&**level, &**text))
            .collect();
        let [
            starting,
            migrating,
            refused,
            remedy,
            volumes,
            backups,
            snapshots,
        ] = said[..]
        else {
            panic!("{world:?}: {said:#?}");
        };
        assert_eq!(
            starting,
            ("INFO", "Starting migration of ConfKeyManager keys.")
        );
        assert_eq!(migrating.0, "INFO");
        let id = migrating
            .1
            .strip_prefix("Migrating volume ")
            .context("a volume")?;
        let id = id
            .strip_suffix(" encryption key to Barbican")
            .context("to Barbican")?;
        assert!(scene.database.volume(id.parse()?).await?.is_zero());
        assert_eq!(refused, ("ERROR", REFUSED));
        assert_eq!(remedy.0, "WARNING");
        let command = format!(
            "openstack role add --user cinder --user-domain {domain} --project service \
             --project-domain {domain} {role}",
            domain = scene.cinder.user_domain_name,
            role = world.storing_role(),
        );
        assert!(
            remedy.1.contains(&command),
            "{world:?}: {remedy:?} lacks {command}"
        );
        let still = |count: u32, what: &str| {
            format!(
                "There are still {count} {what} using the ConfKeyManager's all-zeros encryption key ID."
            )
        };
        assert_eq!(volumes, ("WARNING", &*still(3, "volume(s)")));
        assert_eq!(backups, ("WARNING", &*still(1, "backup(s)")));
        assert_eq!(snapshots, ("WARNING", &*still(6, "snapshot(s)")));

        let service = volume_service(&status);
        assert_eq!(service["reason"]["code"], "role_missing");
        assert!(
            service["remedy"]
                .as_str()
                .context("a remedy")?
                .contains(&command)
        );
        assert_eq!(service["keys"]["remaining"], 3);
        assert_eq!(program.page("/livez").await?.0, 200);
        assert_eq!(program.page("/readyz").await?.0, 200);
        assert_eq!(program.page("/healthcheck").await?.0, 200);

        scene.grant().await?;
        program.line(DONE).await?;
        assert_eq!(scene.database.zeros("volumes").await?, 0);
        assert_eq!(scene.database.zeros("snapshots").await?, 0);
        assert_eq!(scene.database.zeros("backups").await?, 1);
        let ended = program.terminate().await?;
        assert_eq!(ended.code(), Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_role_granted_while_the_program_was_away_is_used_after_its_restart() -> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let scene = Scene::set(&services, world).await?;
        let mut program = scene.start()?;
        program.line(REFUSED).await?;
        program.kill().await?;

        let mut program = scene.start()?;
        program.line(REFUSED).await?;
        program.terminate().await?;
        scene.grant().await?;
        let mut program = scene.start()?;
        program.line(DONE).await?;
        assert_eq!(scene.database.zeros("volumes").await?, 0, "{world:?}");
        program.terminate().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_wrong_role_makes_the_remedy_name_the_right_one() -> Result<()> {
    let services = Services::from_env();
    for world in RoleWorld::ALL {
        let scene = Scene::set(&services, world).await?;
        let mut program = scene.start()?;
        program.line(REFUSED).await?;
        scene
            .cloud
            .grant(&scene.cinder, world.useless_role())
            .await?;
        let remedy = program.line_where(|line| {
            line.contains("Remedy: ") && !line.contains(&format!(" {}", world.useless_role()))
        });
        let remedy = remedy.await?;
        assert!(
            remedy.contains(&format!(" {}", world.storing_role())),
            "{world:?}: {remedy}"
        );
        program.terminate().await?;
    }
    Ok(())
}

//! Others change a row between the moment its secret is stored and the moment it is switched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Request, Rule};
use key_migrator_tests::program::Ended;
use key_migrator_tests::relay::{Between, HttpRelay};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, User,
    Volume,
};
use uuid::Uuid;

const NONE: [Uuid; 0] = [];

struct Scene {
    services: Services,
    cloud: RealCloud,
    cinder: User,
    database: Arc<CinderDatabase>,
    volume: Volume,
}

impl Scene {
    async fn set(dialect: Dialect) -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_authorised_cinder_user().await?;
        let owner = cloud.create_owner().await?;
        let database = Arc::new(CinderDatabase::new(&services, dialect).await?);
        let volume = Volume::on("host1@lvm#lvm")
            .owned_by(&owner)
            .with_snapshots(2);
        database.insert(&volume).await?;
        Ok(Self {
            services,
            cloud,
            cinder,
            database,
            volume,
        })
    }

    /// A Barbican that runs this statement once, when the first payload has been read back.
    async fn barbican_where(&self, sql: String) -> Result<HttpRelay> {
        self.barbican_once(|path| path.ends_with("/payload"), sql)
            .await
    }

    /// A Barbican that runs this statement once, when the first such request was answered.
    async fn barbican_once(
        &self,
        when: impl Fn(&str) -> bool + Send + Sync + 'static,
        sql: String,
    ) -> Result<HttpRelay> {
        let database = Arc::clone(&self.database);
        let done = AtomicBool::new(false);
        let between: Between = Arc::new(move |_, path| {
            let due = when(&path) && !done.swap(true, Ordering::SeqCst);
            let (database, sql) = (Arc::clone(&database), sql.clone());
            Box::pin(async move {
                if due {
                    database
                        .execute(&sql)
                        .await
                        .expect("the row can be changed");
                }
            })
        });
        HttpRelay::to(&self.cloud.barbican_endpoint(), between).await
    }

    /// The statement by which Cinder gives the volume this status.
    fn status(&self, status: &str) -> String {
        let id = self.volume.id;
        format!("UPDATE volumes SET status = '{status}' WHERE id = '{id}'")
    }

    fn conf(&self, barbican: &HttpRelay) -> Result<CinderConf> {
        let conf = CinderConf::new(&self.cloud, &self.cinder, &self.database)?;
        Ok(conf
            .set("barbican", "barbican_endpoint", &barbican.url())
            .set("key_migrator", "interval", "1"))
    }

    async fn one_pass(&self, barbican: &HttpRelay) -> Result<Ended> {
        Program::run_to_end(
            &self.conf(barbican)?,
            ["run", "--once", "--service", "volume"],
        )
        .await
    }

    async fn stored(&self) -> Result<Vec<Uuid>> {
        let secrets = self
            .services
            .python()
            .secrets_of(&self.cloud, &self.cinder)
            .await?;
        Ok(secrets.into_iter().map(|secret| secret.secret_id).collect())
    }
}

#[tokio::test]
async fn w8_a_row_that_somebody_rekeys_keeps_that_key_and_our_secret_is_deleted() -> Result<()> {
    for dialect in Dialect::ALL {
        let scene = Scene::set(dialect).await?;
        let theirs = Uuid::new_v4();
        let sql = format!(
            "UPDATE volumes SET encryption_key_id = '{theirs}' WHERE id = '{}'",
            scene.volume.id
        );
        let barbican = scene.barbican_where(sql).await?;
        let ended = scene.one_pass(&barbican).await?;
        assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
        assert_eq!(
            scene.database.volume(scene.volume.id).await?.secret_id(),
            theirs
        );
        // Its snapshots are left behind at zeros, and cannot use that key.
        let mut own = Vec::new();
        for snapshot in scene.volume.snapshot_ids() {
            own.push(scene.database.snapshot(snapshot).await?.secret_id());
        }
        own.sort();
        let mut stored = scene.stored().await?;
        stored.sort();
        assert_eq!(stored, own, "{dialect:?}: {:#?}", ended.lines);
    }
    Ok(())
}

#[tokio::test]
async fn w9_a_row_that_is_deleted_meanwhile_leaves_no_secret_behind() -> Result<()> {
    let scene = Scene::set(Dialect::MariaDb).await?;
    let sql = format!(
        "UPDATE volumes SET deleted = 1 WHERE id = '{}'",
        scene.volume.id
    );
    let barbican = scene.barbican_where(sql).await?;
    let ended = scene.one_pass(&barbican).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    assert_eq!(scene.stored().await?, NONE);
    Ok(())
}

#[tokio::test]
async fn our_secret_stays_where_another_row_refers_to_it_by_now() -> Result<()> {
    let scene = Scene::set(Dialect::MariaDb).await?;
    let other = Volume::on("host9@lvm#lvm").owned_by("user").without_key();
    scene.database.insert(&other).await?;
    let database = Arc::clone(&scene.database);
    let (volume, other_id) = (scene.volume.id, other.id);
    let between: Between = Arc::new(move |_, path| {
        let database = Arc::clone(&database);
        Box::pin(async move {
            let Some(secret) = path
                .strip_suffix("/payload")
                .and_then(|path| path.rsplit('/').next())
            else {
                return;
            };
            for sql in [
                format!(
                    "UPDATE volumes SET encryption_key_id = '{secret}' WHERE id = '{other_id}'"
                ),
                format!("UPDATE volumes SET deleted = 1 WHERE id = '{volume}'"),
            ] {
                database
                    .execute(&sql)
                    .await
                    .expect("the row can be changed");
            }
        })
    });
    let barbican = HttpRelay::to(&scene.cloud.barbican_endpoint(), between).await?;
    let ended = scene.one_pass(&barbican).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    assert_eq!(
        scene.stored().await?,
        [scene.database.volume(other.id).await?.secret_id()]
    );
    Ok(())
}

#[tokio::test]
async fn w12_a_row_that_turns_transitional_is_deferred_and_its_secret_kept_for_it() -> Result<()> {
    for dialect in Dialect::ALL {
        let scene = Scene::set(dialect).await?;
        let id = scene.volume.id;
        let barbican = scene.barbican_where(scene.status("retyping")).await?;
        let mut program =
            Program::start_with(&scene.conf(&barbican)?, ["run", "--service", "volume"])?;
        let deferred = format!("Deferring volume {id} (transitional): status 'retyping'");
        program.line(&deferred).await?;
        let status = program
            .status_where(|status| status["services"][0]["pass"]["number"] == 3)
            .await?;
        assert_eq!(status["services"][0]["state"], "migrating", "{status:#}");
        let before = scene.stored().await?;
        assert_eq!(before.len(), 1, "{dialect:?}");
        assert!(scene.database.volume(id).await?.is_zero());

        scene.database.execute(&scene.status("available")).await?;
        program
            .line("No volumes are using the ConfKeyManager's encryption_key_id.")
            .await?;
        assert_eq!(
            scene.database.volume(id).await?.secret_id(),
            before[0],
            "{dialect:?}"
        );
        assert_eq!(scene.stored().await?, before, "{dialect:?}");
        program.terminate().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_found_for_a_row_that_is_busy_by_then_is_used_by_the_next_run() -> Result<()> {
    let scene = Scene::set(Dialect::MariaDb).await?;
    let id = scene.volume.id;
    let (name, retype) = (id.to_string(), scene.status("retyping"));
    let relay = scene.barbican_once(move |path| path.contains(&name), retype);
    let relay = relay.await?;
    let barbican = FaultProxy::http(&relay.url()).await?;
    barbican.add(Rule::once(Request::Store, Fault::ReplyLost));
    let endpoint = barbican.through(&relay.url());
    let conf = scene
        .conf(&relay)?
        .set("barbican", "barbican_endpoint", &endpoint)
        .set("key_migrator", "unknown_outcome_wait", "1");
    let arguments = ["run", "--service", "volume"];
    let mut program = Program::start_with(&conf, arguments)?;
    let found = format!("Deferring volume {id} (transitional): status 'retyping'");
    program.line(&found).await?;
    // What was learnt of the row is on disk by the end of the next pass.
    let status = program.status_where(|_| true).await?;
    let pass = status["services"][0]["pass"]["number"].clone();
    program
        .status_where(|status| {
            let now = &status["services"][0]["pass"];
            now["number"] != pass && now["finished_at"].is_string()
        })
        .await?;
    let folder = program.folder();
    program.kill().await?;

    scene.database.execute(&scene.status("available")).await?;
    let mut program = Program::start_in(folder, &conf, arguments)?;
    program
        .line("No volumes are using the ConfKeyManager's encryption_key_id.")
        .await?;
    let secret = scene.database.volume(id).await?.secret_id();
    assert_eq!(scene.stored().await?, [secret]);
    assert_eq!(barbican.requests(Request::Store), 1);
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_snapshot_of_another_user_that_appears_meanwhile_moves_along_and_its_user_can_read()
-> Result<()> {
    let scene = Scene::set(Dialect::MariaDb).await?;
    let colleague = scene.cloud.create_owner().await?;
    let [first, _] = scene.volume.snapshot_ids()[..] else {
        panic!()
    };
    let sql = format!(
        "UPDATE snapshots SET user_id = '{}' WHERE id = '{first}'",
        colleague.user_id
    );
    let barbican = scene.barbican_where(sql).await?;
    let ended = scene.one_pass(&barbican).await?;
    assert_eq!(ended.code(), Some(0), "{:#?}", ended.lines);
    let secret = scene.database.snapshot(first).await?.secret_id();
    assert_eq!(
        scene.database.volume(scene.volume.id).await?.secret_id(),
        secret
    );
    let seen = scene
        .services
        .python()
        .payloads_as(&scene.cloud, &colleague, &[secret])
        .await?;
    assert!(seen[0].is_ok(), "{seen:?}");
    assert_eq!(scene.stored().await?.len(), 1);
    Ok(())
}

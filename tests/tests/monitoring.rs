//! What monitors the program: the alerts fire and clear as they should in a real Prometheus that
//! scrapes a real run, and the dashboard's queries are answered.

use anyhow::{Context, Result, ensure};
use key_migrator_tests::deploy;
use key_migrator_tests::fault_proxy::{Fault, FaultProxy, Request, Rule};
use key_migrator_tests::prometheus::{Prometheus, promtool};
use key_migrator_tests::rows;
use key_migrator_tests::vault::Vault as _;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Said, Scene, Service,
    Services, Signal, Volume,
};
use serde_json::Value;
use uuid::Uuid;

#[tokio::test]
async fn the_rules_do_what_their_unit_tests_say() -> Result<()> {
    let folder = deploy::folder().join("prometheus");
    promtool(&folder, &["check", "rules", "cinder-key-migrator.rules"]).await?;
    promtool(&folder, &["test", "rules", "cinder-key-migrator.test.yml"]).await?;
    for snippet in ["scrape-static.yml", "scrape-kolla-ansible.yml"] {
        promtool(&folder, &["check", "config", snippet]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn alerts_fire_and_clear_with_what_they_are_about_and_the_dashboard_is_answered() -> Result<()>
{
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_cinder_user().await?;
    let owner = cloud.create_owner().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    database
        .insert(&[Service::volume("host1@lvm"), Service::backup("host1")])
        .await?;
    let [own, unowned] = ["host1@lvm#lvm", "host9@gone"].map(Volume::on);
    database
        .insert(&[
            own.owned_by(&owner).with_snapshots(1),
            unowned.owned_by(&owner),
        ])
        .await?;
    database
        .insert(&Backup::on("host1").owned_by(&owner))
        .await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?.set("key_migrator", "interval", "1");
    let mut program = Program::start(&conf)?;
    program.ready().await?;
    let prometheus = Prometheus::scraping(&program).await?;

    let alert = prometheus.fires("CinderKeyMigrationBlocked").await?;
    assert_eq!(alert["labels"]["reason"], "role_missing");
    assert_eq!(alert["labels"]["severity"], "warning");
    let runbook = alert["annotations"]["runbook_url"].as_str();
    let runbook = runbook.context("a runbook")?;
    assert!(
        runbook.ends_with("docs/runbook.md#role_missing"),
        "{runbook}"
    );
    let alert = prometheus.fires("CinderKeyMigrationUnowned").await?;
    assert_eq!(alert["labels"]["resource"], "volume");
    let summary = alert["annotations"]["summary"].as_str();
    assert!(
        summary.is_some_and(|it| it.starts_with("1 volume(s)")),
        "{alert}"
    );
    the_dashboard_is_answered(&prometheus).await?;

    cloud.grant(&cinder, &cloud.storing_role()).await?;
    prometheus.clears("CinderKeyMigrationBlocked").await?;
    database
        .execute("UPDATE volumes SET host = 'host1@lvm' WHERE host = 'host9@gone'")
        .await?;
    program
        .status_where(|status| status["services"][0]["state"] == "complete")
        .await?;
    prometheus.clears("CinderKeyMigrationUnowned").await?;
    prometheus
        .answers("max(cinder_key_migrator_global_remaining) == 0")
        .await?;
    assert_eq!(prometheus.firing().await?, Vec::<String>::new());

    let folder = program.folder();
    program.terminate().await?;
    prometheus.fires("CinderKeyMigratorDown").await?;
    prometheus.fires("CinderKeyMigratorAbsent").await?;
    let program = Program::start_in(folder, &conf, ["run"])?;
    prometheus.clears("CinderKeyMigratorDown").await?;
    prometheus.clears("CinderKeyMigratorAbsent").await?;
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn what_stands_still_or_fails_or_is_left_is_told_until_it_is_mended_and_the_key_may_go()
-> Result<()> {
    let stage = Stage::set().await?;
    let operator = &stage.operator;
    let never_answered = Rule::until_healed(Request::Payload, Fault::Drop);
    let silence = stage.barbican.add(never_answered);
    let mut program = operator.starts(&["run"])?;
    let prometheus = Prometheus::scraping(&program).await?;

    // Nothing is refused, and nothing moves.
    let alert = prometheus.fires("CinderKeyMigrationStalled").await?;
    assert_eq!(alert["labels"]["service"], "volume");
    stage.loses_a_race().await?;
    silence.heal();
    prometheus.clears("CinderKeyMigrationStalled").await?;

    let alert = prometheus.fires("CinderKeyMigrationOrphanSecrets").await?;
    assert_eq!(alert["labels"]["severity"], "info");
    stage.everything_is_a_day_old().await?;
    let purge = ["orphans", "purge", "--execute"];
    operator.types(&purge).await?.exits_with(0)?;
    program.signal(Signal::HUP)?;
    prometheus.clears("CinderKeyMigrationOrphanSecrets").await?;

    let failing = stage.brings_a_row_of_nobody().await?;
    let alert = prometheus.fires("CinderKeyMigrationFailing").await?;
    assert_eq!(alert["labels"]["reason"], "invalid_row");
    let firing = prometheus.firing().await?;
    assert_eq!(
        firing,
        ["CinderKeyMigrationFailing"],
        "one fault, one alert"
    );
    stage.gives_it_an_owner(failing).await?;
    prometheus.clears("CinderKeyMigrationFailing").await?;

    program
        .status_where(|status| status["global"]["volumes"] == 0)
        .await?;
    let verify = ["verify", "--all-hosts"];
    operator.types(&verify).await?.exits_with(0)?;
    audit_and_attest(operator).await?.exits_with(0)?;
    prometheus.fires("CinderFixedKeyRemovable").await?;
    stage.brings_a_row_that_waits().await?;
    prometheus.clears("CinderFixedKeyRemovable").await?;
    program.terminate().await?;
    Ok(())
}

/// A cloud with one volume on the fixed key, and a Barbican that may fail.
struct Stage {
    operator: Scene,
    barbican: FaultProxy,
    contested: Volume,
}

impl Stage {
    async fn set() -> Result<Self> {
        let mut operator = Scene::set(RoleWorld::AsShipped, Dialect::MariaDb).await?;
        let endpoint = operator.cloud.barbican_endpoint();
        let barbican = FaultProxy::http(&endpoint).await?;
        let endpoint = barbican.through(&endpoint);
        operator.conf = operator
            .conf
            .set("barbican", "barbican_endpoint", &endpoint);
        let contested = operator.volume();
        operator.database.insert(&contested).await?;
        // Nobody beats its heart for as long as the test takes.
        let service = Service::volume("host1@lvm").last_seen_seconds_ago(-3600);
        operator.database.insert(&service).await?;
        Ok(Self {
            operator,
            barbican,
            contested,
        })
    }

    /// Somebody gives the volume another key while ours is being read back, and our secret cannot be
    /// deleted.
    async fn loses_a_race(&self) -> Result<()> {
        self.barbican
            .add(Rule::once(Request::Delete, Fault::Unavailable));
        let theirs = format!("encryption_key_id = '{}'", Uuid::new_v4());
        self.change(&theirs, self.contested.id).await
    }

    /// Young secrets are never purged.
    async fn everything_is_a_day_old(&self) -> Result<()> {
        let Scene { cloud, cinder, .. } = &self.operator;
        let python = self.operator.services.python();
        let secrets = python.secrets_of(cloud, cinder).await?;
        ensure!(secrets.len() == 1, "{secrets:?}");
        cloud.age(secrets[0].secret_id).await
    }

    async fn brings_a_row_of_nobody(&self) -> Result<Uuid> {
        self.change("deleted = 1", self.contested.id).await?;
        let volume = self.operator.volume().column("user_id", rows::Value::Null);
        self.operator.database.insert(&volume).await?;
        Ok(volume.id)
    }

    async fn gives_it_an_owner(&self, volume: Uuid) -> Result<()> {
        let owner = format!("user_id = '{}'", self.operator.owner.user_id);
        self.change(&owner, volume).await
    }

    /// At zeros, and it stays so: Cinder is at work on it.
    async fn brings_a_row_that_waits(&self) -> Result<()> {
        let volume = self.operator.volume().migration_status("migrating");
        self.operator.database.insert(&volume).await
    }

    async fn change(&self, columns: &str, volume: Uuid) -> Result<()> {
        let sql = format!("UPDATE volumes SET {columns} WHERE id = '{volume}'");
        let changed = self.operator.database.execute(&sql).await?;
        ensure!(changed == 1, "{sql}");
        Ok(())
    }
}

/// Every configuration, and what only people know.
async fn audit_and_attest(operator: &Scene) -> Result<Said> {
    let node = operator.other_node(&operator.nova_conf()?)?;
    let node = node.display().to_string();
    let mut audit = vec!["fixed-key", "audit", "--config-tree", &node];
    audit.extend(["--attested-by", "ada"]);
    let attested = [
        "backup_records",
        "database_dumps",
        "other_regions",
        "barbican_backup",
        "images",
        "ephemeral_disks",
    ];
    audit.extend(attested.iter().flat_map(|item| ["--attest", item]));
    operator.types(&audit).await
}

/// Every query, as Grafana would fill it in.
async fn the_dashboard_is_answered(prometheus: &Prometheus) -> Result<()> {
    let path = deploy::folder().join("grafana/cinder-key-migrator.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let mut queries = 0;
    for panel in panels {
        let targets = panel["targets"].as_array().context("targets")?;
        for target in targets {
            let query = target["expr"].as_str().context("a query")?;
            let query = query
                .replace("$job", "cinder-key-migrator")
                .replace("$instance", ".*")
                .replace("$__rate_interval", "1m");
            ensure!(!query.contains('$'), "{query}");
            let answered = prometheus.answers(&query).await;
            answered.with_context(|| format!("the panel {}", panel["title"]))?;
            queries += 1;
        }
    }
    ensure!(queries >= panels.len(), "a panel without a query");
    Ok(())
}

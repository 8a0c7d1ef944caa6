//! What monitors the program: the alerts fire and clear as they should in a real Prometheus that
//! scrapes a real run, and the dashboard's queries are answered.

use anyhow::{Context, Result, ensure};
use key_migrator_tests::prometheus::{Prometheus, deploy, promtool};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Service, Services,
    Volume,
};
use serde_json::Value;

#[tokio::test]
async fn the_rules_do_what_their_unit_tests_say() -> Result<()> {
    let folder = deploy().join("prometheus");
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

/// Every query, as Grafana would fill it in.
async fn the_dashboard_is_answered(prometheus: &Prometheus) -> Result<()> {
    let path = deploy().join("grafana/cinder-key-migrator.json");
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

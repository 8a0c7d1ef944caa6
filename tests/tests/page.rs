//! The page at `/` in a real browser: every state that an operator meets, live, without a reload.

use std::path::PathBuf;

use anyhow::Result;
use key_migrator_tests::{
    Chromium, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Service, Services,
    Signal, Volume,
};

/// A folder that is given here is where pictures of every state are left, to be looked at.
const PICTURES: &str = "KEY_MIGRATOR_TEST_PICTURES";
const WIDTHS: [u32; 2] = [1280, 390];
const SCHEMES: [&str; 2] = ["light", "dark"];

#[tokio::test]
async fn the_page_follows_the_daemon_through_its_states() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let here: Vec<Volume> = (0..24)
        .map(|_| Volume::on("host1@lvm#lvm").with_snapshots(1))
        .collect();
    let elsewhere = Volume::on("host2@lvm#lvm");
    let in_the_middle = Volume::on("host1@lvm#lvm").migration_status("migrating");
    // Nobody beats its heart for as long as the test takes.
    let service = Service::volume("host1@lvm").last_seen_seconds_ago(-3600);
    database.insert(&service).await?;
    database.insert(&here[..]).await?;
    database.insert(&elsewhere).await?;
    database.insert(&in_the_middle).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?
        .set("key_migrator", "interval", "1")
        .set("key_migrator", "max_rate", "6");
    let paused = conf.clone().set("key_migrator", "paused", "true");
    let disabled = conf.clone().set("key_manager", "backend", "vault");
    let program = Program::start(&disabled)?;
    program.ready().await?;
    let mut page = Page::open(&program).await?;
    page.shows("volume", "disabled").await?;

    program.reconfigure(&paused)?;
    program.signal(Signal::HUP)?;
    page.shows("volume", "paused").await?;

    program.reconfigure(&conf)?;
    program.signal(Signal::HUP)?;
    page.shows("volume", "blocked").await?;
    let remedy = "document.querySelector('#volume-state pre').textContent";
    let remedy = page.browser.value(remedy).await?;
    assert!(
        remedy.to_string().contains("openstack role add"),
        "{remedy}"
    );

    cloud.grant(&cinder, &cloud.storing_role()).await?;
    program.signal(Signal::HUP)?;
    page.shows("volume", "migrating").await?;
    let some = "document.querySelector('#volume-keys progress').value > 8";
    page.browser.until(some).await?;
    let by_host = "document.querySelector('#everywhere').innerText";
    let by_host = page.browser.value(by_host).await?.to_string();
    assert!(
        by_host.contains("host2@lvm") && by_host.contains("not up"),
        "{by_host}"
    );
    page.look_at("migrating").await?;

    // The one in the middle of something holds the state.
    page.browser
        .until("document.querySelector('#rows').innerText.includes('transitional')")
        .await?;
    database
        .execute("UPDATE volumes SET deleted = 1 WHERE migration_status = 'migrating'")
        .await?;
    page.shows("volume", "idle").await?;
    database
        .execute("UPDATE volumes SET deleted = 1 WHERE host = 'host2@lvm#lvm'")
        .await?;
    page.shows("volume", "complete").await?;

    assert_eq!(page.browser.value("window.neverReloaded").await?, true);
    page.is_told_to_a_screen_reader().await?;
    page.works_without_a_script(&program).await?;
    assert_eq!(page.browser.complaints(), [] as [&str; 0]);
    program.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_page_whose_daemon_is_gone_says_that_it_is_old_and_comes_back_with_it() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let conf = CinderConf::new(&cloud, &cinder, &database)?;
    let program = Program::start(&conf)?;
    program.ready().await?;
    let mut page = Page::open(&program).await?;
    let folder = program.folder();
    program.terminate().await?;
    page.browser
        .until("document.querySelector('#connection').innerText.includes('Not connected')")
        .await?;
    let program = Program::start_in(folder, &conf, ["run"])?;
    page.browser
        .until("document.querySelector('#connection').hidden")
        .await?;
    program.terminate().await?;
    Ok(())
}

struct Page {
    browser: Chromium,
}

impl Page {
    async fn open(program: &Program) -> Result<Self> {
        let mut browser = Chromium::start().await?;
        browser.open(program.url()).await?;
        browser.value("window.neverReloaded = true").await?;
        Ok(Self { browser })
    }

    /// Waits until the service is seen in this state, and looks at it.
    async fn shows(&mut self, service: &str, state: &str) -> Result<()> {
        let shown = format!("document.querySelector('#{service}-state .state.{state}')");
        self.browser.until(&shown).await?;
        self.look_at(state).await
    }

    /// On a desk and on a phone, by day and by night: nothing sticks out.
    async fn look_at(&mut self, state: &str) -> Result<()> {
        let folder = std::env::var_os(PICTURES).map(PathBuf::from);
        for width in WIDTHS {
            for scheme in SCHEMES {
                self.browser.look(width, scheme).await?;
                let sticks_out =
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth";
                assert_eq!(self.browser.value(sticks_out).await?, false, "{state}");
                if let Some(folder) = &folder {
                    let picture = self.browser.screenshot().await?;
                    let file = format!("{state}-{width}-{scheme}.png");
                    std::fs::write(folder.join(file), picture)?;
                }
            }
        }
        Ok(())
    }

    async fn is_told_to_a_screen_reader(&mut self) -> Result<()> {
        let told = self.browser.accessibility_tree().await?;
        for (role, name) in [
            ("heading", "Volume service"),
            ("heading", "Backup service"),
            ("heading", "May the fixed key go?"),
            ("region", "Rows that wait or failed"),
            ("progressbar", "Migrated keys of the volume service"),
            ("navigation", "The same for programs"),
            ("columnheader", "left"),
            ("rowheader", "snapshots"),
        ] {
            let found = told.iter().any(|(a, b)| a == role && b.contains(name));
            assert!(found, "{role} {name}: {told:#?}");
        }
        let summary = "document.querySelector('[role=status]').textContent";
        let summary = self.browser.value(summary).await?;
        let summary = summary.as_str().unwrap_or_default();
        assert!(
            summary.starts_with("volume service: complete. backup service: disabled."),
            "{summary}"
        );
        self.browser.press("Tab", 9).await?;
        let focused = self.browser.value("document.activeElement.href").await?;
        assert!(focused.to_string().ends_with("/v1/status\""), "{focused}");
        Ok(())
    }

    async fn works_without_a_script(&mut self, program: &Program) -> Result<()> {
        self.browser.allow_scripts(false).await?;
        self.browser.open(program.url()).await?;
        let refresh = "document.querySelector('meta[http-equiv=refresh]')?.content";
        assert_eq!(self.browser.value(refresh).await?, "10");
        let state = "document.querySelector('#volume-state strong').textContent";
        assert_eq!(self.browser.value(state).await?, "complete");
        self.browser.allow_scripts(true).await
    }
}

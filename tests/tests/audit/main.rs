//! `fixed-key audit`: a cloud in which everything is done, looked at and attested, and every single
//! thing that can still be in the way.

mod backups;
mod bad_input;
mod images;
mod long;
mod verdict;

use std::path::PathBuf;

use anyhow::Result;
use key_audit::evidence::EvidenceStore;
use key_migration::verdict::{Evidence, Finding, Item};
use key_migrator_tests::rows::instant_seconds_ago;
use key_migrator_tests::{CinderConf, CinderDatabase, Cloud, Scene};
use sandbox_cloud::Glance;
use serde_json::Value;

/// A key that is not the fixed one.
const KEY: &str = "11111111-1111-4111-8111-111111111111";

/// What only people know.
const ATTEST: [&str; 10] = [
    "--attested-by",
    "ada",
    "--attest",
    "backup_records",
    "--attest",
    "database_dumps",
    "--attest",
    "other_regions",
    "--attest",
    "barbican_backup",
];

/// What an audit said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    report: Value,
    log: Vec<String>,
}

/// A host whose Glance is emulated, as everybody's images are in the real one.
struct House<C> {
    scene: Scene<C>,
    glance: Glance,
}

impl<C: Cloud> House<C> {
    async fn new(cloud: &C, database: CinderDatabase) -> Result<Self>
    where
        C: Clone,
    {
        let mut scene = Scene::set_in(cloud.clone(), database).await?;
        scene.cloud.grant(&scene.cinder, "admin").await?;
        let glance = Glance::start(1000).await?;
        let url = glance.url();
        scene.conf = scene.conf.set("DEFAULT", "glance_api_servers", &url);
        Ok(Self { scene, glance })
    }

    /// As `verify` and the comparison of configurations leave it, clean and just now.
    fn verified(&self) -> Result<()> {
        for item in [Item::Payloads, Item::Configuration] {
            self.keep(item, Finding::Clear)?;
        }
        Ok(())
    }

    fn keep(&self, item: Item, finding: Finding) -> Result<()> {
        let now = instant_seconds_ago(0).replace(' ', "T") + "Z";
        let seen = Evidence {
            finding,
            looked_at: now.parse()?,
            message: format!("{} as a test says", item.as_str()),
        };
        let store = EvidenceStore::new(&self.path("key-migrator"));
        Ok(store.keep(item, &seen)?)
    }

    /// Below `state_path`.
    fn path(&self, name: &str) -> PathBuf {
        self.scene.folder.path().join(name)
    }

    async fn audit(&self, arguments: &[&str]) -> Result<Said> {
        audit(&self.scene, &self.scene.conf, arguments).await
    }
}

/// Runs `fixed-key audit` with this configuration, and reads its JSON.
async fn audit<C: Cloud>(scene: &Scene<C>, conf: &CinderConf, arguments: &[&str]) -> Result<Said> {
    let arguments = [&["fixed-key", "audit", "-f", "json"], arguments].concat();
    let said = scene.types_with(conf, &arguments).await?;
    Ok(Said {
        code: said.code(),
        report: said.json()?,
        log: said.log(),
    })
}

impl Said {
    fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or_default()
    }

    /// `clear`, `blocking`, `unknown` or `attested`, how many, and the words.
    fn item(&self, item: Item) -> (&str, Option<u64>, &str) {
        let items = self.report["items"].as_array();
        let all = items.map(Vec::as_slice).unwrap_or_default();
        let found = all.iter().find(|it| it["item"] == item.as_str());
        let Some(found) = found else {
            return ("missing", None, "");
        };
        (
            found["state"].as_str().unwrap_or_default(),
            found["count"].as_u64(),
            found["message"].as_str().unwrap_or_default(),
        )
    }

    #[track_caller]
    fn assert_item(&self, item: Item, state: &str, count: Option<u64>, words: &[&str]) {
        let (is, how_many, message) = self.item(item);
        assert_eq!((is, how_many), (state, count), "{self:#?}");
        for word in words {
            assert!(message.contains(word), "no `{word}` in `{message}`");
        }
    }
}

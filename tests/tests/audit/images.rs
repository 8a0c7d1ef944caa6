//! Images, as the real Glance lists them and the emulated one.

use anyhow::{Context, Result};
use key_migration::verdict::Item;
use key_migrator_tests::http::Api;
use key_migrator_tests::real_cloud::issue_token;
use key_migrator_tests::{
    CinderDatabase, Cloud, EmulatedCloud, RealCloud, RoleWorld, Scene, Services, User, ZERO_KEY,
};
use reqwest::Method;
use sandbox_cloud::Glance;
use serde_json::json;

use crate::{KEY, audit};

/// Somewhere to keep images.
trait Gallery {
    fn url(&self) -> String;

    async fn add(&self, key: Option<&str>, hidden: bool) -> Result<String>;
}

impl Gallery for Glance {
    fn url(&self) -> String {
        Glance::url(self)
    }

    async fn add(&self, key: Option<&str>, hidden: bool) -> Result<String> {
        Ok(Glance::add(self, key, hidden).to_string())
    }
}

/// The real one, as one user, whose project nobody else uses.
struct Project {
    url: String,
    api: Api,
}

impl Project {
    async fn of(services: &Services, cloud: &RealCloud, user: &User) -> Result<Self> {
        let anonymous = Api::anonymous();
        let token = issue_token(&anonymous, &cloud.auth_url(), user).await?;
        Ok(Self {
            url: services.glance.clone(),
            api: anonymous.with_token(token),
        })
    }
}

impl Gallery for Project {
    fn url(&self) -> String {
        self.url.clone()
    }

    async fn add(&self, key: Option<&str>, hidden: bool) -> Result<String> {
        let mut image = json!({ "name": "image", "os_hidden": hidden });
        if let Some(key) = key {
            image["cinder_encryption_key_id"] = key.into();
            image["cinder_encryption_key_deletion_policy"] = "on_image_deletion".into();
        }
        let url = format!("{}/v2/images", self.url);
        let made = self.api.succeed(Method::POST, &url, Some(image)).await?;
        let id = made.body["id"].as_str().context("an ID")?;
        Ok(id.to_owned())
    }
}

/// Every image is seen once, on whichever page, hidden or not.
async fn every_image_is_looked_at<C: Cloud>(
    gallery: &impl Gallery,
    scene: &Scene<C>,
) -> Result<()> {
    let conf = scene.conf.clone();
    let conf = conf.set("DEFAULT", "glance_api_servers", &gallery.url());
    let said = audit(scene, &conf, &[]).await?;
    assert_ne!(said.item(Item::Images).0, "blocking", "{said:#?}");
    let mut at_zeros = Vec::new();
    // Twenty a page: three pages of those that are not hidden, two of those that are.
    for number in 0..66 {
        let hidden = number >= 43;
        let key = match number {
            0 | 19 | 20 | 42 | 43 | 65 => Some(ZERO_KEY),
            number if number % 2 == 0 => Some(KEY),
            _ => None,
        };
        let id = gallery.add(key, hidden).await?;
        if key == Some(ZERO_KEY) {
            at_zeros.push(id);
        }
    }
    let said = audit(scene, &conf, &[]).await?;
    let words = ["of 6 images on the fixed key", "and 3 more"];
    said.assert_item(Item::Images, "blocking", Some(6), &words);
    for id in &at_zeros {
        let line = format!("Image {id} is on the fixed key");
        let told = said.log.iter().filter(|it| it.contains(&line)).count();
        assert_eq!(told, 1, "{said:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn by_the_real_one_every_image_is_looked_at() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    let project = Project::of(&services, &scene.cloud, &scene.cinder).await?;
    every_image_is_looked_at(&project, &scene).await
}

#[tokio::test]
async fn by_the_emulated_one_every_image_is_looked_at() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    every_image_is_looked_at(&Glance::start(20).await?, &scene).await
}

#[tokio::test]
async fn who_does_not_see_every_project_does_not_know() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    let tenant = Project::of(&services, &scene.cloud, &scene.owner).await?;
    let id = tenant.add(Some(ZERO_KEY), false).await?;
    // Found in the catalogue.
    let said = audit(&scene, &scene.conf, &[]).await?;
    let words = [
        "0 images, none of them on the fixed key",
        "only those that user cinder of project service",
        "--attest images",
    ];
    said.assert_item(Item::Images, "unknown", None, &words);
    scene.cloud.grant(&scene.cinder, "admin").await?;
    let seen = async || {
        let said = audit(&scene, &scene.conf, &[]).await?;
        let line = format!("Image {id} is on the fixed key");
        anyhow::Ok((said.log.iter().any(|it| it.contains(&line)), said))
    };
    // A worker of Keystone may not know of the grant at once.
    let mut last = seen().await?;
    for _ in 0..20 {
        if last.0 {
            break;
        }
        last = seen().await?;
    }
    assert!(last.0, "{:#?}", last.1);
    assert_eq!(last.1.item(Item::Images).0, "blocking");
    let deleted = format!("{}/v2/images/{id}", services.glance);
    tenant.api.succeed(Method::DELETE, &deleted, None).await?;
    Ok(())
}

#[tokio::test]
async fn a_glance_that_is_not_there_is_told_in_words() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    let said = audit(&scene, &scene.conf, &[]).await?;
    let words = [
        "Keystone's catalogue has no public endpoint of service type image",
        "glance_api_servers",
    ];
    said.assert_item(Item::Images, "unknown", None, &words);
    assert_eq!((said.code, said.verdict()), (Some(1), "unknown"));
    let nobody = scene
        .conf
        .clone()
        .set("DEFAULT", "glance_api_servers", "http://127.0.0.1:9");
    let said = audit(&scene, &nobody, &[]).await?;
    let words = ["Glance at http://127.0.0.1:9/ cannot be reached"];
    said.assert_item(Item::Images, "unknown", None, &words);
    let locked_out = scene
        .conf
        .clone()
        .set("keystone_authtoken", "password", "wrong");
    let said = audit(&scene, &locked_out, &[]).await?;
    let words = ["Keystone does not let us in"];
    said.assert_item(Item::Images, "unknown", None, &words);
    assert_eq!(said.code, Some(1));
    Ok(())
}

//! What an audit does where it may not, or cannot, look.

use anyhow::Result;
use key_migration::verdict::Item;
use key_migrator_tests::{
    CinderDatabase, Dialect, EmulatedCloud, RoleWorld, Scene, Services, Volume,
};

use crate::verdict::nova;
use crate::{House, audit};

#[tokio::test]
async fn a_database_that_only_allows_reading_is_enough() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let mut house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    database.insert(&Volume::on("host1@lvm#lvm")).await?;
    let url = database.connection_url().to_owned();
    let name = url.rsplit('/').next().and_then(|it| it.split('?').next());
    let name = name.unwrap_or_default();
    let reader = format!(
        "CREATE USER 'r{name}'@'%' IDENTIFIED BY 'reader'; \
         GRANT SELECT ON {name}.* TO 'r{name}'@'%'"
    );
    database.execute(&reader).await?;
    let (_, place) = url.rsplit_once('@').unwrap_or_default();
    let url = format!("mysql+pymysql://r{name}:reader@{place}");
    house.scene.conf = house.scene.conf.set("database", "connection", &url);
    let said = house.audit(&[]).await?;
    assert_eq!((said.code, said.verdict()), (Some(1), "no"), "{said:#?}");
    said.assert_item(Item::Volumes, "blocking", Some(1), &[]);
    said.assert_item(Item::OldBackups, "clear", None, &[]);
    said.assert_item(Item::VolumeImageMetadata, "clear", None, &[]);
    database
        .execute(&format!("DROP USER 'r{name}'@'%'"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_does_not_answer_fails_the_command() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let scene = Scene::set_in(cloud, CinderDatabase::sqlite().await?).await?;
    let away = "mysql+pymysql://cinder:secret@127.0.0.1:9/cinder";
    let conf = scene.conf.clone().set("database", "connection", away);
    let said = audit(&scene, &conf, &[]).await?;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.report.is_null());
    let told = said.log.iter().any(|line| line.contains("Remedy: "));
    assert!(told, "{said:#?}");
    Ok(())
}

#[tokio::test]
async fn a_cell_that_is_none_is_unknown_and_a_wrong_file_is_refused() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::sqlite().await?;
    let house = House::new(&cloud, database).await?;
    let database = &house.scene.database;
    let file = house.path("nova.conf");
    let arguments = ["--nova-config-file", file.to_str().unwrap_or_default()];
    std::fs::write(&file, "[database]\n")?;
    let said = house.audit(&arguments).await?;
    assert_eq!(said.code, Some(78), "{said:#?}");
    let url = database.connection_url();
    std::fs::write(&file, format!("[database]\nconnection = {url}\n"))?;
    let said = house.audit(&arguments).await?;
    let words = ["nova.conf: Nova's database refuses", "leads to a cell"];
    said.assert_item(Item::EphemeralDisks, "unknown", None, &words);
    nova(&house, 0).await?;
    let said = house.audit(&arguments).await?;
    let words = ["no instance of 1 cell has an ephemeral disk"];
    said.assert_item(Item::EphemeralDisks, "clear", None, &words);
    Ok(())
}

#[tokio::test]
async fn for_people_there_is_a_line_for_each_item_and_what_to_type_next() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::sqlite().await?;
    let house = House::new(&cloud, database).await?;
    let said = house.scene.types(&["fixed-key", "audit"]).await?;
    said.exits_with(1)?;
    let text = said.text();
    for item in Item::ALL {
        let lines = text.lines().filter(|line| {
            let mut words = line.split_whitespace();
            let state = words.next().unwrap_or_default();
            matches!(state, "clear" | "unknown") && words.next() == Some(item.as_str())
        });
        assert_eq!(lines.count(), 1, "{item:?}: {text}");
    }
    for words in [
        "Unknown: the fixed key must stay until 7 of the items above are known.",
        "type: cinder-key-migrator verify --all-hosts",
        "type: cinder-key-migrator fixed-key audit --attest backup_records",
    ] {
        assert!(text.contains(words), "{text}");
    }
    Ok(())
}

//! Every class, and every reason to keep a secret, side by side in one project.

use anyhow::{Context, Result};
use key_migrator_tests::rows::instant_seconds_ago;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Dialect, EmulatedCloud, RoleWorld, Services, Snapshot,
    Volume,
};
use uuid::Uuid;

use crate::orphans;
use key_migrator_tests::vault::{Author, Vault};

const YOUNG: &str = "it is not yet 24 hours old";
const UNNAMED: &str = "it is deleted only if it is named";

#[tokio::test]
async fn on_the_real_one_as_shipped() -> Result<()> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    all_classes(&services.cloud(RoleWorld::AsShipped), &database).await
}

#[tokio::test]
async fn on_the_real_one_with_the_role_creator() -> Result<()> {
    let services = Services::from_env();
    let database = CinderDatabase::new(&services, Dialect::Sqlite).await?;
    all_classes(&services.cloud(RoleWorld::Creator), &database).await
}

#[tokio::test]
async fn on_the_emulated_one() -> Result<()> {
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    all_classes(&cloud, &CinderDatabase::sqlite().await?).await
}

async fn all_classes(cloud: &impl Vault, database: &CinderDatabase) -> Result<()> {
    let cinder = cloud.create_authorised_cinder_user().await?;
    let author = Author::new(cloud, &cinder).await?;
    let project = Project::fill(cloud, database, &author).await?;
    let colleague = cloud.create_colleague(&cinder).await?;
    let foreign = Author::new(cloud, &colleague).await?;
    let foreign = foreign.store_old("volume", project.rekeyed).await?;

    let conf = CinderConf::new(cloud, &cinder, database)?.unset("key_manager", "fixed_key");
    let mut expected = project.expected.clone();
    let not_ours = "another user stored it, or it is not ACTIVE";
    expected.push((foreign, "foreign", Some(not_ours)));
    let listed = orphans(&conf, &["list"]).await?;
    assert_eq!(listed.code, Some(0), "{:#?}", listed.log);
    for (secret, class, kept) in &expected {
        let said = listed.of(*secret);
        let said = said.with_context(|| format!("{class} {secret} is not listed"))?;
        assert_eq!(said["class"], *class, "{said}");
        assert_eq!(said["purgeable"], kept.is_none(), "{said}");
        assert_eq!(said["kept_because"].as_str(), *kept, "{said}");
        assert!(said["resource_id"].as_str().is_some(), "{said}");
    }
    assert_eq!(listed.secrets.len(), expected.len(), "{listed:#?}");

    // A dry run says what would happen, and nothing does.
    let purgeable = |kept: &Option<&str>| kept.is_none();
    let dry = orphans(&conf, &["purge"]).await?;
    assert_eq!((dry.code, dry.secrets.len()), (Some(0), expected.len()));
    for (secret, class, kept) in &expected {
        let outcome = match kept {
            None => ("would_be_deleted", ""),
            Some(reason) => ("kept", *reason),
        };
        assert_eq!(dry.outcome(*secret), Some(outcome), "{class}");
    }
    let all: Vec<Uuid> = expected.iter().map(|(secret, ..)| *secret).collect();
    assert_eq!(author.those_left(&all).await?, all);

    let done = orphans(&conf, &["purge", "--execute"]).await?;
    assert_eq!(done.code, Some(0), "{done:#?}");
    let kept: Vec<Uuid> = expected
        .iter()
        .filter(|(.., kept)| !purgeable(kept))
        .map(|(secret, ..)| *secret)
        .collect();
    assert_eq!(author.those_left(&all).await?, kept);
    assert_eq!(author.those_left(&project.used).await?, project.used);
    for (secret, class, _) in expected.iter().filter(|(.., kept)| purgeable(kept)) {
        assert_eq!(done.outcome(*secret), Some(("deleted", "")), "{class}");
        let audit = format!("Deleted secret {secret}, stored for ");
        let line = done.log.iter().find(|line| line.contains(&audit));
        let line = line.with_context(|| format!("no line about {secret}: {:#?}", done.log))?;
        assert!(
            line.contains(" cinder.keymgr.migration [None req-"),
            "{line}"
        );
        assert!(line.ends_with(&format!("({class}).")), "{line}");
    }

    // Named, two classes more may go, and nothing else.
    let named: Vec<String> = expected
        .iter()
        .filter(|(.., kept)| *kept == Some(UNNAMED))
        .map(|(secret, ..)| secret.to_string())
        .collect();
    assert_eq!(named.len(), 3);
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let done = orphans(&conf, &[&["purge", "--execute"], &*named].concat()).await?;
    assert_eq!((done.code, done.secrets.len()), (Some(0), 3), "{done:#?}");
    let named: Vec<String> = kept.iter().map(Uuid::to_string).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let done = orphans(&conf, &[&["purge", "--execute"], &*named].concat()).await?;
    assert_eq!((done.code, done.secrets.len()), (Some(1), kept.len()));
    for (secret, class, kept) in expected.iter().filter(|(.., kept)| !purgeable(kept)) {
        let reason = match *kept {
            Some(UNNAMED) => "Barbican knows no such secret",
            kept => kept.unwrap_or_default(),
        };
        assert_eq!(done.outcome(*secret), Some(("kept", reason)), "{class}");
    }
    let kept: Vec<Uuid> = expected
        .iter()
        .filter(|(.., kept)| kept.is_some_and(|kept| kept != UNNAMED))
        .map(|(secret, ..)| *secret)
        .collect();
    assert_eq!(author.those_left(&all).await?, kept);

    let reasons = [
        (project.used[0], "a row refers to it"),
        (project.used[1], "a row refers to it"),
        (author.store("volume").await?, "its name is none of ours"),
        (Uuid::new_v4(), "Barbican knows no such secret"),
    ];
    let named: Vec<String> = reasons
        .iter()
        .map(|(secret, _)| secret.to_string())
        .collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let done = orphans(&conf, &[&["purge", "--execute"], &*named].concat()).await?;
    assert_eq!(done.code, Some(1));
    for (secret, reason) in reasons {
        assert_eq!(done.outcome(secret), Some(("kept", reason)));
    }
    assert_eq!(author.those_left(&project.used).await?, project.used);
    Ok(())
}

/// What Cinder's user has in its project.
struct Project {
    /// A volume with another key than any of ours.
    rekeyed: Uuid,
    /// Secrets that rows need.
    used: Vec<Uuid>,
    /// The others: what they are, and why they are kept.
    expected: Vec<(Uuid, &'static str, Option<&'static str>)>,
}

impl Project {
    async fn fill<C: Vault>(
        cloud: &C,
        database: &CinderDatabase,
        author: &Author<'_, C>,
    ) -> Result<Self> {
        let volume = || Volume::on("host9@lvm#lvm");
        let other_key = || Uuid::new_v4().to_string();
        let rekeyed = volume().key(other_key());
        let snapshot = Snapshot::of(&rekeyed).key(other_key());
        let backup = Backup::on("host9").key(other_key());
        let zero = volume();
        let keyless = volume().without_key();
        let gone = volume().deleted();
        let gone_backup = Backup::on("host9").deleted();
        let just = instant_seconds_ago(3_600);
        let just_gone = volume().deleted().column("deleted_at", just);
        let (absent, elsewhere) = (Uuid::new_v4(), Uuid::new_v4());

        let own = author.store_old("volume", rekeyed.id).await?;
        let in_snapshot = author.store_old("volume", rekeyed.id).await?;
        let of_deleted = author.store_old("volume", rekeyed.id).await?;
        let held_by_deleted = volume().deleted();
        let held = author.store_old("volume", held_by_deleted.id).await?;
        let consumed = author.store_old("volume", rekeyed.id).await?;
        author.register_consumer(consumed).await?;
        // Now and then a row refers to one that was stored for another, as after a migration.
        let rows = [
            volume().key(in_snapshot),
            volume().deleted().key(of_deleted),
            held_by_deleted.key(held),
            rekeyed.clone().key(own).with_snapshot(snapshot.clone()),
            zero.clone(),
            keyless.clone(),
            gone.clone(),
            just_gone.clone(),
        ];
        database.insert(&rows[..]).await?;
        database
            .insert(&[backup.clone(), gone_backup.clone()])
            .await?;

        let consumers = "1 consumer(s) are registered with it";
        let going_to = "it is going to be used for its row";
        let just_deleted = "its row was deleted less than 24 hours ago";
        let no_key = "its row holds no key";
        let old = async |kind, row| author.store_old(kind, row).await;
        let young = author.store_for("volume", rekeyed.id).await?;
        cloud.age(author.store("volume:nobody's").await?).await?;
        Ok(Self {
            rekeyed: rekeyed.id,
            used: vec![own, in_snapshot],
            expected: vec![
                (old("volume", rekeyed.id).await?, "superseded", None),
                (old("volume", rekeyed.id).await?, "superseded", None),
                (old("snapshot", snapshot.id).await?, "superseded", None),
                (old("backup", backup.id).await?, "superseded", None),
                (young, "superseded", Some(YOUNG)),
                (consumed, "superseded", Some(consumers)),
                (old("volume", keyless.id).await?, "superseded", Some(no_key)),
                (old("volume", zero.id).await?, "pending", Some(going_to)),
                (old("volume", gone.id).await?, "row_deleted", None),
                (old("backup", gone_backup.id).await?, "row_deleted", None),
                (
                    old("volume", just_gone.id).await?,
                    "row_deleted",
                    Some(just_deleted),
                ),
                (of_deleted, "referred_by_deleted", Some(UNNAMED)),
                (held, "referred_by_deleted", Some(UNNAMED)),
                (old("volume", absent).await?, "unknown_row", Some(UNNAMED)),
                (
                    author.store_for("backup", elsewhere).await?,
                    "unknown_row",
                    Some(YOUNG),
                ),
            ],
        })
    }
}

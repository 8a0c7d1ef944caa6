//! Finding what earlier runs stored, while others store and delete.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use key_migration::ids::{ResourceKind, SecretId};
use key_migration::ports::{KeyManager, StoredSecret};
use key_migration::reasons::Reason;
use sandbox_cloud::{Clock, Cloud, Fault as Failure, Gate, Operation, Reply, Service, When};
use tokio::sync::mpsc;

use crate::Stage;
use crate::support::{name, request};

impl Stage {
    fn plant(&self, name: &str) -> SecretId {
        let uuid = self.cloud.plant_secret(
            &self.service.id,
            &self.cinder.id,
            Some(name),
            b"0123456789abcdef",
        );
        SecretId::new(uuid).expect("an ID")
    }

    /// Plants one secret a row, some of the same second.
    fn plant_rows(&self, rows: std::ops::Range<u32>, clock: &Clock) -> Vec<SecretId> {
        rows.map(|row| {
            if row % 7 == 0 {
                clock.advance(Duration::from_secs(1));
            }
            self.plant(name(&format!("{row:05}")).as_str())
        })
        .collect()
    }
}

/// Lists in the background, as the program does.
struct Listing {
    pages: mpsc::Receiver<Vec<StoredSecret>>,
    task: tokio::task::JoinHandle<Result<(), key_migration::reasons::Fault>>,
}

impl Listing {
    fn of(stage: &Stage) -> Self {
        let (sender, pages) = mpsc::channel(4);
        let manager = Arc::clone(&stage.manager);
        let task =
            tokio::spawn(
                async move { manager.list(ResourceKind::Volume, sender, request()).await },
            );
        Self { pages, task }
    }

    async fn all(mut self) -> BTreeSet<SecretId> {
        let mut seen = BTreeSet::new();
        while let Some(page) = self.pages.recv().await {
            seen.extend(page.into_iter().map(|secret| secret.id));
        }
        self.task
            .await
            .expect("no panic")
            .expect("a complete listing");
        seen
    }
}

#[tokio::test]
async fn every_secret_of_the_kind_is_listed_and_no_other() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let planted = stage.plant_rows(0..250, &clock);
    stage.plant("cinder-key-migrator:v1:backup:1");
    stage.plant("Cinder-Key-Migrator:v1:volume:1");
    stage.plant("somebody's");
    let listed = Listing::of(&stage).all().await;
    assert_eq!(listed, planted.into_iter().collect());
}

#[tokio::test]
async fn what_is_deleted_during_the_listing_hides_nothing_else() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let planted = stage.plant_rows(0..250, &clock);
    let gate = Gate::default();
    stage.cloud.inject_after(
        Operation::ListSecrets,
        1,
        Failure::Hold(When::BeforeEffect, gate.clone()),
    );
    let listing = Listing::of(&stage);
    gate.arrived(1).await;
    for id in &planted[..40] {
        stage
            .cloud
            .remove_secret(id.to_string().parse().expect("a UUID"));
    }
    gate.open();
    let listed = listing.all().await;
    assert!(planted[40..].iter().all(|id| listed.contains(id)));
}

#[tokio::test]
async fn what_is_stored_during_the_listing_is_listed_too_even_where_it_was_listed_already() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let mut planted = stage.plant_rows(0..150, &clock);
    let gate = Gate::default();
    stage.cloud.inject_after(
        Operation::ListSecrets,
        1,
        Failure::Hold(When::BeforeEffect, gate.clone()),
    );
    let listing = Listing::of(&stage);
    gate.arrived(1).await;
    planted.extend(stage.plant_rows(150..270, &clock));
    let early = stage.plant(name("late").as_str());
    let uuid = |id: SecretId| id.to_string().parse().expect("a UUID");
    let stamped = stage
        .cloud
        .secret(uuid(planted[70]))
        .expect("it is there")
        .created;
    assert!(stage.cloud.set_created(uuid(early), stamped));
    planted.push(early);
    gate.open();
    let listed = listing.all().await;
    let left_out = planted.iter().filter(|id| !listed.contains(id)).count();
    assert_eq!(left_out, 0);
}

#[tokio::test]
async fn a_listing_ends_when_nobody_listens() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    stage.plant_rows(0..950, &clock);
    let mut listing = Listing::of(&stage);
    listing.pages.recv().await.expect("a page");
    drop(listing.pages);
    listing.task.await.expect("no panic").expect("no fault");
    assert!(stage.cloud.requests(Operation::ListSecrets) < 9);
}

#[tokio::test]
async fn a_name_is_found_exactly_with_the_oldest_first() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let wanted = name("a_b%c");
    let oldest = stage.plant(wanted.as_str());
    clock.advance(Duration::from_secs(5400));
    let newest = stage.plant(wanted.as_str());
    for other in ["a_b%cd", "aXbYc", "A_B%C"] {
        stage.plant(name(other).as_str());
    }
    let found = stage.manager.find(&wanted, request()).await.expect("found");
    let ids: Vec<SecretId> = found.iter().map(|secret| secret.id).collect();
    assert_eq!(ids, [oldest, newest]);
    assert!(
        found
            .iter()
            .all(|secret| secret.created_by_us && secret.active)
    );
    assert!(
        found[0].age >= Duration::from_secs(5400),
        "{:?}",
        found[0].age
    );
    assert!(
        found[1].age < Duration::from_secs(5400),
        "{:?}",
        found[1].age
    );
    assert_eq!(
        stage.manager.find(&name("b"), request()).await,
        Ok(Vec::new())
    );
}

#[tokio::test]
async fn what_somebody_else_stored_under_a_name_is_told_apart() {
    let stage = Stage::with_roles(&["member"]).await;
    stage.cloud.plant_secret(
        &stage.service.id,
        "nova",
        Some(name("1").as_str()),
        b"0123456789abcdef",
    );
    let found = stage
        .manager
        .find(&name("1"), request())
        .await
        .expect("found");
    assert!(!found[0].created_by_us);
}

#[tokio::test]
async fn a_listing_that_cannot_be_complete_is_a_fault() {
    let stage = Stage::with_roles(&["member"]).await;
    for (failure, reason) in [
        (Failure::status_before(503), Reason::BarbicanFailing),
        (Failure::MalformedBody, Reason::BarbicanFailing),
        (Failure::HugeBody(2 * 1024 * 1024), Reason::BarbicanFailing),
        (Failure::drop_before(), Reason::BarbicanFailing),
    ] {
        stage
            .cloud
            .inject(Operation::ListSecrets, failure.clone(), 1);
        let fault = stage
            .manager
            .find(&name("1"), request())
            .await
            .expect_err("a fault");
        assert_eq!(fault.reason, reason, "{failure:?}");
    }
    stage.cloud.stop(Service::Barbican).await;
    let fault = stage
        .manager
        .find(&name("1"), request())
        .await
        .expect_err("a fault");
    assert_eq!(fault.reason, Reason::BarbicanUnreachable);
}

#[tokio::test]
async fn without_a_role_nothing_is_listed_but_barbican_is_known_to_answer() {
    let stage = Stage::with_roles(&[]).await;
    let fault = stage
        .manager
        .find(&name("1"), request())
        .await
        .expect_err("a fault");
    assert_eq!(fault.reason, Reason::RoleMissing);
    assert!(
        fault.remedy.starts_with("openstack role add "),
        "{}",
        fault.remedy
    );
    stage.manager.probe(request()).await.expect("it answers");
}

#[tokio::test]
async fn a_listing_that_never_holds_still_is_given_up() {
    let stage = Stage::with_roles(&["member"]).await;
    let short = Reply {
        body: r#"{"secrets": [], "total": 5}"#.into(),
        ..Reply::status(200)
    };
    stage.cloud.inject_until_cleared(
        Operation::ListSecrets,
        Failure::Answer(When::BeforeEffect, short),
    );
    let fault = stage
        .manager
        .find(&name("1"), request())
        .await
        .expect_err("five secrets that nobody shows");
    assert_eq!(fault.reason, Reason::BarbicanFailing);
    assert_eq!(stage.cloud.requests(Operation::ListSecrets), 6);
}

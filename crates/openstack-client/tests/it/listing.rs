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

    fn remove(&self, id: SecretId) {
        self.cloud.remove_secret(uuid(id));
    }

    fn has(&self, id: SecretId) -> bool {
        self.cloud.secret(uuid(id)).is_some()
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

fn uuid(id: SecretId) -> uuid::Uuid {
    id.to_string().parse().expect("a UUID")
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
        stage.remove(*id);
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

/// Lets each page wait until this has happened, up to the end of the work that asks for them.
async fn before_each_page<T>(
    stage: &Stage,
    work: impl Future<Output = T>,
    mut happen: impl FnMut(usize),
) -> T {
    let gate = Gate::default();
    stage.cloud.inject_until_cleared(
        Operation::ListSecrets,
        Failure::Hold(When::BeforeEffect, gate.clone()),
    );
    let disturbing = async {
        for page in 0.. {
            gate.arrived(page + 1).await;
            happen(page);
            gate.release(1);
        }
    };
    tokio::select! {
        done = work => done,
        () = disturbing => unreachable!("it goes on for ever"),
    }
}

#[tokio::test]
async fn a_deletion_before_each_page_of_many_costs_no_second_listing() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let planted = stage.plant_rows(0..2700, &clock);
    let (gone, kept) = planted.split_at(1350);
    let listed = before_each_page(&stage, Listing::of(&stage).all(), |page| {
        if page > 0 {
            stage.remove(gone[page * 37 % gone.len()]);
        }
    })
    .await;
    assert!(kept.iter().all(|id| listed.contains(id)));
    let requests = stage.cloud.requests(Operation::ListSecrets);
    assert!(requests <= 45, "{requests} requests");
}

#[tokio::test]
async fn many_deletions_before_each_page_hide_nothing_that_stays() {
    for at_a_time in [9, 30, 70] {
        let clock = Clock::default();
        let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
        let planted = stage.plant_rows(0..1000, &clock);
        let gone: Vec<SecretId> = planted.iter().copied().step_by(2).collect();
        let mut left = gone.chunks(at_a_time).skip(1);
        let listed = before_each_page(&stage, Listing::of(&stage).all(), |page| {
            if page > 0 {
                left.next()
                    .into_iter()
                    .flatten()
                    .for_each(|id| stage.remove(*id));
            }
        })
        .await;
        let hidden = planted.iter().filter(|id| stage.has(**id));
        assert_eq!(hidden.filter(|id| !listed.contains(id)).count(), 0);
        let requests = stage.cloud.requests(Operation::ListSecrets);
        assert!(requests <= 24, "{requests} requests");
    }
}

#[tokio::test]
async fn a_name_is_found_though_others_that_match_its_pattern_are_deleted_meanwhile() {
    let clock = Clock::default();
    let stage = Stage::on(Cloud::builder().clock(clock.clone()), &["member"]).await;
    let similar: Vec<SecretId> = (0..300)
        .map(|nth| {
            clock.advance(Duration::from_secs(u64::from(nth % 7 == 0)));
            stage.plant(name("aXb").as_str())
        })
        .collect();
    let wanted = name("a_b");
    let planted = stage.plant(wanted.as_str());
    stage.plant_rows(0..3, &clock);
    let mut left = similar.chunks(40);
    let found = before_each_page(&stage, stage.manager.find(&wanted, request()), |page| {
        if page > 0 {
            left.next()
                .into_iter()
                .flatten()
                .for_each(|id| stage.remove(*id));
        }
    })
    .await
    .expect("found");
    let ids: Vec<SecretId> = found.iter().map(|secret| secret.id).collect();
    assert_eq!(ids, [planted]);
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
    assert_eq!(stage.cloud.requests(Operation::ListSecrets), 24);
}

//! A large cloud: memory stays flat, and progress is shown. Figures are printed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use key_migration::verdict::Item;
use key_migrator_tests::million::{self, peak_rss_anon};
use key_migrator_tests::{CinderDatabase, Dialect, EmulatedCloud, RoleWorld, Services};
use key_migrator_tests::{Volume, ZERO_KEY};

use crate::House;
use crate::backups::Stored;

const FEW: u32 = 10_000;
const MANY: u32 = 100_000;

/// By so much, in KiB, an audit of the many may take more memory than one of the few. The IDs alone
/// of what there is more would take six times as much.
const MOST_GROWTH: u64 = 1024;

/// The most anonymous memory that an audit may take, in KiB.
const MOST_MEMORY: u64 = 48 * 1024;

#[tokio::test]
#[ignore = "long"]
async fn a_hundred_thousand_backups_and_images_cost_no_more_memory_than_ten_thousand() -> Result<()>
{
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let house = House::new(&cloud, database).await?;
    let volume = Volume::on("host1@lvm#lvm").key(crate::KEY);
    house.scene.database.insert(&volume).await?;
    let stored = Stored::of(&[&volume]);
    stored.write(&house).await?;
    let pattern = stored.ids[0].to_string();
    let mut there = 0;
    let mut peaks = Vec::new();
    for all in [FEW, MANY] {
        // All of them share one object, which each reads anew.
        let copies = all - there.max(1);
        million::copies_of_backup(&house.scene.database, &pattern, copies).await?;
        for number in there..all {
            let key = (number == FEW / 2).then_some(ZERO_KEY);
            house.glance.add(key, number % 10 == 0);
        }
        there = all;
        peaks.push(peak_of_audit(&house, all).await?);
    }
    let growth = peaks[1].saturating_sub(peaks[0]);
    assert!(growth <= MOST_GROWTH, "{growth} KiB more: {peaks:?}");
    assert!(peaks[1] <= MOST_MEMORY, "{peaks:?}");
    Ok(())
}

/// Audits so many backups and as many images, and tells the most memory that this took, in KiB.
async fn peak_of_audit(house: &House<EmulatedCloud>, all: u32) -> Result<u64> {
    let started = Instant::now();
    let mut program = house.scene.starts(&["fixed-key", "audit"])?;
    let pid = program.pid();
    let done = program.line_within("fixed key must stay", Duration::from_secs(500));
    let (done, peak) = peak_rss_anon(pid, done).await?;
    let done = done?;
    writeln!(
        std::io::stdout(),
        "figure: {all} backups without a key in the row, each read from its store, and {all} \
         images in {:.1} s, peak RssAnon {:.1} MiB ({done})",
        started.elapsed().as_secs_f64(),
        f64::from(u32::try_from(peak)?) / 1024.0
    )?;
    let lines = program.ended().await?.lines;
    for words in [
        format!("Looked at {all} of {all} backups without a key in the row"),
        format!("Looked at {all} images"),
    ] {
        let told = lines.iter().filter(|line| line.contains(&words)).count();
        assert_eq!(told, 1, "{words}: {lines:#?}");
    }
    let item = Item::OldBackups.as_str();
    let clear = format!("{all} backups without a key in the row, none");
    let line = lines.iter().find(|line| line.contains(item));
    assert!(line.is_some_and(|line| line.contains(&clear)), "{lines:#?}");
    Ok(peak)
}

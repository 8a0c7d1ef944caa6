//! A large cloud: memory stays flat, and progress is shown. Figures are printed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use key_migration::verdict::Item;
use key_migrator_tests::million::{self, rss_anon};
use key_migrator_tests::{CinderDatabase, Dialect, EmulatedCloud, Program, RoleWorld, Services};
use key_migrator_tests::{Volume, ZERO_KEY};

use crate::House;
use crate::backups::Stored;

const MANY: u32 = 100_000;

/// The most anonymous memory that an audit may take, in KiB.
const MOST_MEMORY: u64 = 48 * 1024;

#[tokio::test]
#[ignore = "long"]
async fn a_hundred_thousand_backups_and_images_cost_no_memory() -> Result<()> {
    let services = Services::from_env();
    let cloud = EmulatedCloud::start(RoleWorld::AsShipped).await?;
    let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
    let house = House::new(&cloud, &database).await?;
    let volume = Volume::on("host1@lvm#lvm").key(crate::KEY);
    database.insert(&volume).await?;
    let stored = Stored::of(&[&volume]);
    stored.write(&services, &house, &database).await?;
    // All of them share one object, which each reads anew.
    million::copies_of_backup(&database, &stored.ids[0].to_string(), MANY - 1).await?;
    for number in 0..MANY {
        let key = (number == MANY / 2).then_some(ZERO_KEY);
        house.glance.add(key, number % 10 == 0);
    }
    let started = Instant::now();
    let arguments = ["fixed-key", "audit"];
    let mut program = Program::start_in(house.folder.clone(), &house.conf, arguments)?;
    let pid = program.pid();
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(rss_anon(pid).unwrap_or_default());
        let done = program
            .lines()
            .iter()
            .any(|line| line.contains("fixed key must stay"));
        if done || started.elapsed() > Duration::from_secs(500) {
            break program.line("fixed key must stay").await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    writeln!(
        std::io::stdout(),
        "figure: {MANY} backups without a key in the row, each read from its store, and {MANY} \
         images in {:.1} s, peak RssAnon {:.1} MiB ({ended})",
        started.elapsed().as_secs_f64(),
        f64::from(u32::try_from(peak)?) / 1024.0
    )?;
    let lines = program.lines();
    for words in [
        format!("Looked at 50000 of {MANY} backups without a key in the row"),
        "Looked at 50000 images".to_owned(),
    ] {
        let told = lines.iter().filter(|line| line.contains(&words)).count();
        assert_eq!(told, 1, "{words}");
    }
    let item = Item::OldBackups.as_str();
    let clear = format!("{MANY} backups without a key in the row, none");
    let line = lines.iter().find(|line| line.contains(item)).cloned();
    assert!(line.is_some_and(|line| line.contains(&clear)), "{lines:#?}");
    assert!(peak <= MOST_MEMORY, "{peak} KiB");
    program.ended().await?;
    Ok(())
}

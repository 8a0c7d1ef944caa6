//! Living Cinder services write their heartbeat every `report_interval`; whoever
//! judges which host still has a service goes by it.

use std::time::Duration;

use sqlx::SqlitePool;
use tokio::task::JoinHandle;

use super::sqlite_instant;
use crate::clock::Clock;

/// `[DEFAULT] report_interval` of Cinder.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps `services.updated_at` of every service fresh that has ever beaten; ends
/// when dropped.
#[derive(Debug)]
pub struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    pub(super) async fn start(pool: SqlitePool, clock: Clock) -> Result<Self, sqlx::Error> {
        beat(&pool, &clock).await?;
        Ok(Self(tokio::spawn(async move {
            loop {
                tokio::time::sleep(REPORT_INTERVAL).await;
                // A beat that finds the database locked too long is one late beat.
                let _ = beat(&pool, &clock).await;
            }
        })))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A service that is gone for good is one that the populator marked by having no
/// report left to make: `report_count` 0.
async fn beat(pool: &SqlitePool, clock: &Clock) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE services SET updated_at = ?, report_count = report_count + 1 \
         WHERE report_count > 0",
    )
    .bind(sqlite_instant(clock.now()))
    .execute(pool)
    .await?;
    Ok(())
}

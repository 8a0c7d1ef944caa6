//! How long the program's own pages take while it migrates.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use key_migrator_tests::{crowd, http};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::spread::percentile;

/// The pages that are watched by machines.
pub(crate) const PAGES: [&str; 2] = ["/metrics", "/v1/status"];

/// Far more often than any scraper asks.
const PAUSE: Duration = Duration::from_millis(20);

/// Somebody who asks for the pages in turn.
pub(crate) struct Reader {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<[Vec<f64>; 2]>>,
}

/// How long one page took, in milliseconds.
pub(crate) struct PageTimes {
    pub(crate) asked: usize,
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
}

impl Reader {
    /// Begins at once, on a connection that is kept.
    pub(crate) fn start(url: &str) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(read(url.to_owned(), stopped));
        Self { stop, task }
    }

    /// As somebody who comes anew each time, and again if thrown out: from the first try to the
    /// answer.
    pub(crate) fn coming_anew(address: &str, pages: [&'static str; 2]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(probe(address.to_owned(), pages, stopped));
        Self { stop, task }
    }

    /// One for each page.
    pub(crate) async fn stop(self) -> Result<[PageTimes; 2]> {
        // It may have failed, which its result tells.
        let _ = self.stop.send(());
        Ok(self.task.await??.map(|mut times| PageTimes {
            asked: times.len(),
            median: percentile(&mut times, 0.5),
            p99: percentile(&mut times, 0.99),
            most: percentile(&mut times, 1.0),
        }))
    }
}

async fn probe(
    address: String,
    pages: [&'static str; 2],
    mut stopped: oneshot::Receiver<()>,
) -> Result<[Vec<f64>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    loop {
        for (page, times) in pages.iter().zip(&mut times) {
            let took = crowd::probe(&address, page).await?;
            times.push(took.as_secs_f64() * 1000.0);
        }
        tokio::select! {
            _ = &mut stopped => return Ok(times),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn read(url: String, mut stopped: oneshot::Receiver<()>) -> Result<[Vec<f64>; 2]> {
    let client = http::client();
    let mut times = [Vec::new(), Vec::new()];
    loop {
        for (page, times) in PAGES.iter().zip(&mut times) {
            let started = Instant::now();
            let answer = client.get(format!("{url}{page}")).send().await?;
            let status = answer.status();
            answer.bytes().await?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            ensure!(status.is_success(), "{page} answered {status}");
        }
        tokio::select! {
            _ = &mut stopped => return Ok(times),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

//! `/v1/events`: the snapshot of `/v1/status` as server-sent events, for as long as somebody listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, routing::get};
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::snapshot::View;

/// Most listeners at a time: the rest of the connections is for those who ask and go.
pub(super) const MOST_LISTENERS: usize = 16;
/// Whatever changes in this time is told at once.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// For those between that close what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a browser whose stream has ended comes back.
const COME_BACK: Duration = Duration::from_secs(1);

/// Given along with a request: cancelled when its connection is about to be closed.
#[derive(Clone, Debug)]
pub(super) struct Closing(pub(super) CancellationToken);

/// The stream's path.
pub(super) fn router() -> Router<Arc<View>> {
    let places = Arc::new(Semaphore::new(MOST_LISTENERS));
    Router::new().route("/v1/events", get(events).layer(Extension(places)))
}

async fn events(
    State(view): State<Arc<View>>,
    Extension(places): Extension<Arc<Semaphore>>,
    closing: Option<Extension<Closing>>,
) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let retry = [(RETRY_AFTER, "10")];
        let text = format!("{MOST_LISTENERS} listen already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response();
    };
    let closing = closing.map_or_else(CancellationToken::new, |Extension(Closing(token))| token);
    let events = stream::unfold(Listener::new(view, place), async |mut listener| {
        let event = listener.next().await;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let events = events.take_until(closing.cancelled_owned());
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events).keep_alive(keep_alive).into_response()
}

/// Somebody who listens.
struct Listener {
    view: Arc<View>,
    news: SelectAll<BoxStream<'static, ()>>,
    /// What was told last, and when.
    told: Option<(String, Instant)>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    fn new(view: Arc<View>, place: OwnedSemaphorePermit) -> Self {
        Self {
            news: news_of(&view),
            view,
            told: None,
            _place: place,
        }
    }

    /// The snapshot, at once the first time, and then when it differs from what was told last.
    async fn next(&mut self) -> Event {
        loop {
            if let Some((_, at)) = &self.told {
                sleep_until(*at + AT_MOST_EVERY).await;
                self.news.next().await;
            }
            let snapshot = serde_json::to_string(&self.view.snapshot())
                .expect("a snapshot has no key but text");
            if self.told.as_ref().is_none_or(|(told, _)| *told != snapshot) {
                let event = Event::default().retry(COME_BACK).data(&snapshot);
                self.told = Some((snapshot, Instant::now()));
                return event;
            }
        }
    }
}

/// Yields whenever a part of the snapshot changes from now on.
fn news_of(view: &View) -> SelectAll<BoxStream<'static, ()>> {
    let loops = view.loops.iter();
    let progress = loops.map(|one| changes_of(&one.progress));
    let rest = [
        changes_of(&view.host),
        changes_of(&view.counted),
        changes_of(&view.evidence),
    ];
    // Never at its end: a daemon that ends closes the stream, not what it is about.
    let forever = stream::pending().boxed();
    stream::select_all(progress.chain(rest).chain([forever]))
}

fn changes_of<T: Send + Sync + 'static>(receiver: &watch::Receiver<T>) -> BoxStream<'static, ()> {
    let mut receiver = receiver.clone();
    receiver.mark_unchanged();
    stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok().map(|()| ((), receiver))
    })
    .boxed()
}

use std::pin::Pin;

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;

use super::super::events::{Closing, MOST_LISTENERS};
use super::*;

struct Listening(Pin<Box<BodyDataStream>>);

impl Process {
    async fn listen(&self) -> Listening {
        self.listen_until(CancellationToken::new()).await
    }

    async fn listen_until(&self, closing: CancellationToken) -> Listening {
        let request = Request::get("/v1/events").extension(Closing(closing));
        let request = request.body(Body::empty()).expect("a request");
        let answer = self.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Listening(Box::pin(answer.into_body().into_data_stream()))
    }
}

impl Listening {
    /// What comes next, however it is written.
    async fn text(&mut self) -> Option<String> {
        let next = self.0.next().await?.expect("no error");
        Some(String::from_utf8(next.to_vec()).expect("text"))
    }

    async fn event(&mut self) -> Value {
        let text = self.text().await.expect("an event");
        let mut lines = text.lines();
        let data = lines.find_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.expect("data")).expect("JSON")
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_event_comes_at_once_and_is_the_status() {
    let process = process();
    process.volume.send_modify(blocked_for_a_role);
    let before = tokio::time::Instant::now();
    let mut listening = process.listen().await;
    let mut event = listening.event().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    let mut status = process.status().await;
    for one in [&mut event, &mut status] {
        one["fixed_key"]["evaluated_at"].take();
    }
    assert_eq!(event, status);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_once_a_second_at_most_and_the_last_of_them_always() {
    let process = process();
    let mut listening = process.listen().await;
    listening.event().await;
    let first = tokio::time::Instant::now();
    for migrated in 1..=100 {
        process.volume.send_modify(|it| it.keys.migrated = migrated);
        tokio::task::yield_now().await;
    }
    let event = listening.event().await;
    assert_eq!(event["services"][0]["keys"]["migrated"], 100);
    assert_eq!(first.elapsed(), Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(5)).await;
    let quiet = tokio::time::Instant::now();
    let counted_at = at("2026-11-23T08:01:02Z");
    let census = Census::default();
    process
        .counted
        .send_replace(Some(Counted { counted_at, census }));
    let event = listening.event().await;
    assert_eq!(event["global"]["counted_at"], "2026-11-23T08:01:02Z");
    assert_eq!(quiet.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_changes_a_comment_keeps_the_connection() {
    let process = process();
    let mut listening = process.listen().await;
    listening.event().await;
    // Sent again, and the same as before.
    process.volume.send_modify(|_| {});
    assert_eq!(listening.text().await.as_deref(), Some(":\n\n"));
    assert_eq!(listening.text().await.as_deref(), Some(":\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_is_through_ends_no_stream() {
    let mut process = process();
    let mut listening = process.listen().await;
    listening.event().await;
    drop(process.take_backup());
    process.volume.send_modify(blocked_for_a_role);
    let event = listening.event().await;
    assert_eq!(event["services"][0]["state"], "blocked");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_ends_its_stream_in_order() {
    let process = process();
    let closing = CancellationToken::new();
    let mut listening = process.listen_until(closing.clone()).await;
    listening.event().await;
    closing.cancel();
    assert_eq!(listening.text().await, None);
}

#[tokio::test]
async fn one_too_many_is_told_when_to_come_back_and_who_leaves_makes_room() {
    let process = process();
    let mut all = Vec::new();
    for _ in 0..MOST_LISTENERS {
        all.push(process.listen().await);
    }
    let request = || {
        Request::get("/v1/events")
            .body(Body::empty())
            .expect("a request")
    };
    let answer = process.send(request()).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "10");
    assert_eq!(process.get("/livez").await, ok("ok"));
    all.pop();
    all.push(process.listen().await);
    assert_eq!(
        process.send(request()).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn asking_for_the_head_alone_takes_no_place() {
    let process = process();
    for _ in 0..=MOST_LISTENERS {
        let head = Request::head("/v1/events").body(Body::empty());
        let answer = process.send(head.expect("a request")).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(text(answer).await, ok(""));
    }
}

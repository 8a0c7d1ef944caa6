//! systemd's notification protocol, which podman relays too: ready, reloading, stopping, what the
//! loops are doing, and that they move.

use std::sync::Arc;
use std::time::Duration;

use key_migration::progress::ServiceProgress;
use sd_notify::NotifyState;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::http::View;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// At most this long between two signs of life. Within a container the manager's `WATCHDOG_USEC`
/// is not seen, so they are given wherever there is a socket.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Work has begun, or goes on after a reload.
pub(super) fn ready() {
    send(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// What is in flight is waited for.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Tells the manager what the loops are doing, whenever it changes, and while they move, that they
/// do.
pub(super) async fn tell(view: Arc<View>, end: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return end.cancelled().await;
    }
    let every = sign_of_life(sd_notify::watchdog_enabled());
    let mut said = String::new();
    let mut last_sign = None::<Instant>;
    let mut look = interval(LOOK.min(every));
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = end.cancelled() => return,
        }
        let line = status_line(&view);
        if line != said {
            send(&[NotifyState::Status(&line)]);
            said = line;
        }
        let due = last_sign.is_none_or(|at| at.elapsed() >= every);
        if due && view.troubles().is_empty() {
            send(&[NotifyState::Watchdog]);
            last_sign = Some(Instant::now());
        }
    }
}

/// Twice in the manager's limit, as sd_watchdog_enabled(3) advises.
fn sign_of_life(limit: Option<Duration>) -> Duration {
    limit.map_or(SIGN_OF_LIFE, |limit| SIGN_OF_LIFE.min(limit / 2))
}

fn status_line(view: &View) -> String {
    let services = view.snapshot().services;
    let lines: Vec<_> = services.iter().map(of_service).collect();
    lines.join("; ")
}

fn of_service(progress: &ServiceProgress) -> String {
    let reason = progress.reason.as_ref();
    let reason = reason.map_or(String::new(), |it| format!(" ({})", it.code));
    format!(
        "{}: {}{reason}, {} remaining, {} migrated",
        progress.service,
        progress.state.as_str(),
        progress.keys.remaining,
        progress.keys.migrated,
    )
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_shown_at_least_twice_in_the_managers_limit() {
        assert_eq!(sign_of_life(None), Duration::from_secs(10));
        assert_eq!(
            sign_of_life(Some(Duration::from_secs(60))),
            Duration::from_secs(10)
        );
        assert_eq!(
            sign_of_life(Some(Duration::from_secs(6))),
            Duration::from_secs(3)
        );
    }
}

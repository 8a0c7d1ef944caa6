//! HTTP has a thread of its own: a migration that is busy delays no probe, and clients that take
//! what they can leave the migration its thread. The two share nothing but what
//! [`View`](super::View) and the metrics read.

use std::io;
use std::panic::resume_unwind;
use std::thread::{Builder, JoinHandle};

use axum::Router;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Listener;
use super::server::{self, Served};

/// Serves from now on until told to stop. What is returned waits for that; dropped before, it stops
/// the thread and lets clients have their last answers.
///
/// # Errors
/// The system gives no thread, or nothing to wait with.
pub(crate) fn serve(
    listener: Listener,
    router: Router,
    stop: CancellationToken,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = {
        let _registering = runtime.enter();
        Served::try_from(listener)?
    };
    let (ending, ended) = oneshot::channel::<()>();
    let serving = server::serve(served, router, stop.clone());
    let handle = Builder::new().name("http".to_owned()).spawn(move || {
        // Dropped with the thread, in whatever way it ends.
        let _ending = ending;
        runtime.block_on(serving);
    })?;
    let thread = Thread {
        stop,
        handle: Some(handle),
    };
    Ok(async move {
        // Nothing is ever sent.
        _ = ended.await;
        thread.join();
    })
}

struct Thread {
    stop: CancellationToken,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Crashes if the thread did.
    fn join(mut self) {
        let joined = self.handle.take().map(JoinHandle::join);
        if let Some(Err(panic)) = joined {
            resume_unwind(panic);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.stop.cancel();
            // That it crashed is of no interest any more.
            _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use axum::routing::get;

    use super::*;
    use crate::settings::Listen;

    async fn bound() -> (Listener, String) {
        let host = "127.0.0.1".to_owned();
        let listener = Listener::bind(&Listen::Tcp { host, port: 0 }).await;
        let listener = listener.expect("a port");
        let address = listener.address();
        (listener, address)
    }

    fn answer(address: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("connected");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("set");
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    }

    #[tokio::test]
    async fn an_answer_comes_though_the_runtime_that_started_it_is_busy() {
        let (listener, address) = bound().await;
        let router = Router::new().route("/", get(async || "hello"));
        let stop = CancellationToken::new();
        let serving = serve(listener, router, stop.clone()).expect("a thread");
        // Nothing else runs on this thread until it has the answer.
        assert!(answer(&address).ends_with("hello"));
        stop.cancel();
        serving.await;
        assert!(TcpStream::connect(&address).is_err());
    }

    #[tokio::test]
    async fn what_is_not_waited_for_is_stopped_before_it_is_let_go() {
        let (listener, address) = bound().await;
        let serving = serve(listener, Router::new(), CancellationToken::new());
        drop(serving.expect("a thread"));
        assert!(TcpStream::connect(&address).is_err());
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_crash_of_the_thread_is_one_of_who_waits_for_it() {
        let handle = std::thread::spawn(|| panic!("on purpose"));
        let (stop, handle) = (CancellationToken::new(), Some(handle));
        Thread { stop, handle }.join();
    }
}

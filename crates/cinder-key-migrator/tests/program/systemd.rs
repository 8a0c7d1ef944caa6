//! What the service manager is told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Instant;

use crate::running::{PATIENCE, Place};

/// The manager's end of the notification socket.
pub(crate) struct Manager {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Manager {
    /// Listens in this place, and gives the address to the program.
    pub(crate) fn listen(place: &Place, command: &mut Command) -> Self {
        let path = place.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        command.env("NOTIFY_SOCKET", path);
        Self {
            socket,
            said: Vec::new(),
        }
    }

    /// Waits until told something that begins so, and forgets what came before it.
    pub(crate) fn hear(&mut self, start: &str) -> String {
        // Signs of life go on coming, so the limit is one for them all.
        let until = Instant::now() + PATIENCE;
        loop {
            while !self.said.is_empty() {
                let line = self.said.remove(0);
                if line.starts_with(start) {
                    return line;
                }
            }
            let rest = until.saturating_duration_since(Instant::now());
            assert!(!rest.is_zero(), "«{start}» never came");
            let limit = self.socket.set_read_timeout(Some(rest));
            limit.expect("a time limit");
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("«{start}» never came: {error}"));
            let text = String::from_utf8_lossy(&buffer[..length]);
            self.said.extend(text.lines().map(str::to_owned));
        }
    }
}

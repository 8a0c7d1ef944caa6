//! TCP ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use uuid::Uuid;

/// Below the ports that Linux gives to outgoing connections (32768 and up), so that no client
/// takes the port before the server that it is meant for listens on it.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port on 127.0.0.1 that was free a moment ago.
///
/// # Errors
///
/// When a hundred random ports are all in use.
pub fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = random_port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!(
        "no free port on 127.0.0.1 between {} and {}",
        RANGE.start,
        RANGE.end
    )
}

fn random_port() -> u16 {
    let [low, high, ..] = Uuid::new_v4().into_bytes();
    RANGE.start + u16::from_le_bytes([low, high]) % (RANGE.end - RANGE.start)
}

//! Packets of the protocol: three bytes of length, one of sequence, the payload.

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) const HEADER: usize = 4;

const COM_QUIT: u8 = 0x01;
pub(super) const COM_QUERY: u8 = 0x03;
pub(super) const COM_STMT_PREPARE: u8 = 0x16;
pub(super) const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_CLOSE: u8 = 0x19;

/// A connection, packet by packet.
pub(super) struct Packets {
    stream: TcpStream,
    read: BytesMut,
}

impl Packets {
    pub(super) fn of(stream: TcpStream) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
        }
    }

    /// The next one, or `None` where the other side has left.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let [a, b, c, _, ..] = self.read[..] {
                let length = HEADER + u32::from_le_bytes([a, b, c, 0]) as usize;
                if self.read.len() >= length {
                    return Ok(Some(self.read.split_to(length).freeze()));
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                if self.read.is_empty() {
                    return Ok(None);
                }
                bail!("the stream ended within a packet");
            }
        }
    }

    pub(super) async fn write(&mut self, packet: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(packet).await?)
    }
}

/// What a client asks for.
pub(super) enum Command {
    Quit,
    /// A setting of the session, by what stands before the `=`, or all of it.
    Set(Vec<u8>),
    Prepare(Bytes),
    /// The number of the statement, and what follows it.
    Execute(u32, Bytes),
    Close(u32),
    Other,
}

impl Command {
    pub(super) fn of(packet: &Bytes) -> Self {
        let number = |at: usize| {
            let bytes = packet
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        match packet.get(HEADER) {
            Some(&COM_QUIT) => Self::Quit,
            Some(&COM_QUERY) if packet[HEADER + 1..].starts_with(b"SET ") => {
                let text = &packet[HEADER + 1..];
                let what = text.split(|byte| *byte == b'=').next().unwrap_or(text);
                Self::Set(what.to_vec())
            }
            Some(&COM_STMT_PREPARE) => Self::Prepare(packet.slice(HEADER + 1..)),
            Some(&COM_STMT_EXECUTE) => {
                Self::Execute(number(HEADER + 1), packet.slice(HEADER + 5..))
            }
            Some(&COM_STMT_CLOSE) => Self::Close(number(HEADER + 1)),
            _ => Self::Other,
        }
    }
}

/// A command as it begins an exchange.
pub(super) fn command(kind: u8, parts: &[&[u8]]) -> Bytes {
    let payload = [&[kind], &*parts.concat()].concat();
    let [a, b, c, _] = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    Bytes::from([&[a, b, c, 0], &payload[..]].concat())
}

/// The answer to a client that asked to prepare, with the number that it is to use.
pub(super) fn prepared_as(number: u32, answer: Vec<Bytes>) -> Vec<Bytes> {
    let mut answer = answer.into_iter();
    let first = answer.next().unwrap_or_default();
    let mut first = BytesMut::from(&first[..]);
    if let (Some(0), Some(place)) = (
        first.get(HEADER).copied(),
        first.get_mut(HEADER + 1..HEADER + 5),
    ) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    std::iter::once(first.freeze()).chain(answer).collect()
}

/// The server's greeting without TLS, compression, and results that end without a packet of their
/// own (`CLIENT_DEPRECATE_EOF`).
pub(super) fn plain_greeting(greeting: &[u8]) -> BytesMut {
    const CLIENT_COMPRESS: u32 = 0x20;
    const CLIENT_SSL: u32 = 0x0800;
    const CLIENT_SESSION_TRACK: u32 = 1 << 23;
    const CLIENT_DEPRECATE_EOF: u32 = 1 << 24;
    let unwanted = CLIENT_COMPRESS | CLIENT_SSL | CLIENT_SESSION_TRACK | CLIENT_DEPRECATE_EOF;
    let mut greeting = BytesMut::from(greeting);
    // The protocol's version, the server's version up to a zero byte, the connection's number,
    // eight bytes of the challenge and a filler stand before the capabilities; character set and
    // status between their halves.
    let version = greeting.iter().skip(HEADER + 1).position(|byte| *byte == 0);
    let low = HEADER + 1 + version.unwrap_or(0) + 1 + 4 + 8 + 1;
    let [unwanted_low @ .., _, _] = unwanted.to_le_bytes();
    let [_, _, unwanted_high @ ..] = unwanted.to_le_bytes();
    for (at, unwanted) in [(low, unwanted_low), (low + 5, unwanted_high)] {
        if let Some(half) = greeting.get_mut(at..at + 2) {
            half[0] &= !unwanted[0];
            half[1] &= !unwanted[1];
        }
    }
    greeting
}

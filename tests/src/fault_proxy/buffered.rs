//! A connection with what was read of it and not yet taken.

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::reset;
use super::rules::Fault;

#[derive(Debug)]
pub(super) struct Buffered {
    pub(super) stream: TcpStream,
    read: BytesMut,
    ended: bool,
}

/// Whether what was read so far holds a whole message, and how long that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// It does.
    Of(usize),
    /// More is needed.
    NotYet,
    /// It is whole when the stream ends.
    AtEnd,
}

impl Buffered {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            ended: false,
        }
    }

    /// The next message, or `None` where the stream ends before one begins. Nothing is lost when
    /// this is cancelled.
    pub(super) async fn message(
        &mut self,
        whole: impl Fn(&[u8]) -> Result<Whole>,
    ) -> Result<Option<Bytes>> {
        loop {
            match whole(&self.read)? {
                Whole::Of(length) => return Ok(Some(self.read.split_to(length).freeze())),
                Whole::AtEnd if self.ended => return Ok(Some(self.read.split().freeze())),
                Whole::AtEnd | Whole::NotYet => {}
            }
            if self.ended && self.read.is_empty() {
                return Ok(None);
            }
            if self.ended {
                bail!("the stream ended within a message");
            }
            self.ended = self.stream.read_buf(&mut self.read).await? == 0;
        }
    }

    /// The last answer on this connection, or what the fault leaves of it; `half` is what a truncated
    /// one has.
    pub(super) async fn end(mut self, fault: Fault, answer: &[u8], half: &[u8]) -> Result<()> {
        match fault {
            Fault::ResetAfter => reset(self.stream),
            Fault::Truncate => self.write(half).await,
            Fault::HalfClose => {
                self.stream.shutdown().await?;
                self.left().await;
                Ok(())
            }
            Fault::Late => {
                self.left().await;
                self.write(answer).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Waits until the other side has closed or reset the connection, whatever it sends until then.
    pub(super) async fn left(&mut self) {
        while !self.ended {
            self.read.clear();
            let read = self.stream.read_buf(&mut self.read).await;
            self.ended = matches!(read, Ok(0) | Err(_));
        }
    }
}

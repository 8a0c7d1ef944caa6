//! The protocol of MySQL, packet by packet: three bytes of length, one of sequence, the payload.
//!
//! sqlx sends `BEGIN`, `COMMIT` and `SET` as text (`COM_QUERY`), and everything with values as a
//! statement that it prepares once for each connection (`COM_STMT_PREPARE`) and then names by
//! number (`COM_STMT_EXECUTE`). The answer to what writes is a single packet, so a fault waits for
//! the first packet of an answer: once it is there, the statement has been carried out.

use std::collections::HashMap;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::buffered::{Buffered, Whole};
use super::rules::{Fault, Met, Request, Rules};
use super::{connect, reset, swallow};

const HEADER: usize = 4;

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;

/// Serves a connection until either side ends it.
pub(super) async fn serve(client: TcpStream, target: &str, rules: &Rules) -> Result<()> {
    let mut client = Buffered::new(client);
    let mut server = Buffered::new(connect(target).await?);
    let greeting = next(&mut server).await?.context("a greeting")?;
    client.write(&without_tls(&greeting)).await?;
    let mut prepared = HashMap::new();
    loop {
        tokio::select! {
            packet = next(&mut server) => match packet? {
                Some(packet) => client.write(&packet).await?,
                None => return Ok(()),
            },
            packet = next(&mut client) => {
                let Some(packet) = packet? else { return Ok(()) };
                let met = match Command::of(&packet) {
                    Command::Prepare(text) => {
                        server.write(&packet).await?;
                        let answer = answer(&mut server).await?;
                        prepared.extend(number_of(&answer).map(|number| (number, kind(&text))));
                        client.write(&answer).await?;
                        continue;
                    }
                    Command::Query(text) => rules.meet(kind(&text)),
                    Command::Execute(number) => {
                        rules.meet(prepared.get(&number).copied().unwrap_or(Request::Other))
                    }
                    Command::Other => None,
                };
                let Some(met) = met else {
                    server.write(&packet).await?;
                    continue;
                };
                let Fault::Delay(time) = met.fault else {
                    return end(client, server, &met, &packet).await;
                };
                server.write(&packet).await?;
                let answer = answer(&mut server).await?;
                tokio::time::sleep(time).await;
                client.write(&answer).await?;
            }
        }
    }
}

/// The faults that the connection does not survive.
async fn end(client: Buffered, mut server: Buffered, met: &Met, packet: &[u8]) -> Result<()> {
    match met.fault {
        Fault::ResetBefore => return reset(client.stream),
        Fault::Drop => return swallow(client, met).await,
        Fault::Unavailable | Fault::Unauthorized => return fail(client, &UNREACHABLE).await,
        _ => {}
    }
    server.write(packet).await?;
    let answer = answer(&mut server).await?;
    if met.fault == Fault::FailAfter {
        return fail(client, &LOST).await;
    }
    let half = usize::midpoint(HEADER, answer.len());
    client.end(met.fault, &answer, &answer[..half]).await
}

/// Answers with an error. The server's side is gone, as it is behind a proxy that says so; what
/// the client asks next is not answered.
async fn fail(mut client: Buffered, error: &ServerError) -> Result<()> {
    client.write(&error.packet()).await?;
    next(&mut client).await?;
    Ok(())
}

enum Command {
    Query(Vec<u8>),
    Prepare(Vec<u8>),
    Execute(u32),
    Other,
}

impl Command {
    /// A command begins a sequence; what belongs to signing in does not.
    fn of(packet: &[u8]) -> Self {
        match packet {
            [_, _, _, 0, COM_QUERY, text @ ..] => Self::Query(text.to_vec()),
            [_, _, _, 0, COM_STMT_PREPARE, text @ ..] => Self::Prepare(text.to_vec()),
            [_, _, _, 0, COM_STMT_EXECUTE, a, b, c, d, ..] => {
                Self::Execute(u32::from_le_bytes([*a, *b, *c, *d]))
            }
            _ => Self::Other,
        }
    }
}

fn kind(text: &[u8]) -> Request {
    let starts = |word: &[u8]| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if starts(b"COMMIT") {
        Request::Commit
    } else if starts(b"UPDATE") {
        Request::Update
    } else {
        Request::Other
    }
}

/// The number that the server gave to a statement which it was asked to prepare.
fn number_of(answer: &[u8]) -> Option<u32> {
    match answer {
        [_, _, _, _, 0, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// Takes the offer of TLS out of the server's greeting.
fn without_tls(greeting: &[u8]) -> BytesMut {
    const CLIENT_SSL: u16 = 0x0800;
    let mut greeting = BytesMut::from(greeting);
    // The protocol's version, the server's version up to a zero byte, the connection's number,
    // eight bytes of the challenge and a filler stand before the capabilities.
    let version = greeting.iter().skip(HEADER + 1).position(|byte| *byte == 0);
    let at = HEADER + 1 + version.unwrap_or(0) + 1 + 4 + 8 + 1;
    if let Some([low, high]) = greeting.get_mut(at..at + 2) {
        let capabilities = u16::from_le_bytes([*low, *high]) & !CLIENT_SSL;
        [*low, *high] = capabilities.to_le_bytes();
    }
    greeting
}

struct ServerError {
    number: u16,
    state: [u8; 5],
    message: &'static str,
}

const LOST: ServerError = ServerError {
    number: 2013,
    state: *b"HY000",
    message: "Lost connection to MySQL server during query",
};

const UNREACHABLE: ServerError = ServerError {
    number: 9001,
    state: *b"HY000",
    message: "Max connect timeout reached while reaching hostgroup 0 after 10000ms",
};

impl ServerError {
    /// As the answer to a command.
    fn packet(&self) -> Vec<u8> {
        const ERR: u8 = 0xff;
        let mut payload = vec![ERR];
        payload.extend(self.number.to_le_bytes());
        payload.push(b'#');
        payload.extend(self.state);
        payload.extend(self.message.as_bytes());
        let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
        [&[length, 0, 0, 1], &payload[..]].concat()
    }
}

async fn answer(server: &mut Buffered) -> Result<Bytes> {
    next(server)
        .await?
        .context("the server closed the connection instead of answering")
}

async fn next(stream: &mut Buffered) -> Result<Option<Bytes>> {
    stream.message(|read| Ok(whole_packet(read))).await
}

fn whole_packet(read: &[u8]) -> Whole {
    let [a, b, c, _, ..] = read else {
        return Whole::NotYet;
    };
    let length = HEADER + u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    if read.len() >= length {
        Whole::Of(length)
    } else {
        Whole::NotYet
    }
}

//! One connection to the server, and what is set and prepared on it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use super::packets::{COM_QUERY, COM_STMT_EXECUTE, COM_STMT_PREPARE, HEADER, Packets, command};

const OK: u8 = 0x00;
const EOF: u8 = 0xfe;
const ERR: u8 = 0xff;
/// The longest packet that begins as `EOF` does and is one.
const LONGEST_EOF: usize = HEADER + 5;

const IN_TRANSACTION: u16 = 0x0001;
const MORE_RESULTS: u16 = 0x0008;

pub(super) struct Backend {
    server: Packets,
    /// The settings that it was left with.
    settings: BTreeMap<Vec<u8>, Bytes>,
    prepared: HashMap<Bytes, u32>,
    in_transaction: bool,
}

/// What is so after a command.
#[derive(Clone, Copy)]
pub(super) struct Status {
    pub(super) in_transaction: bool,
}

impl Backend {
    pub(super) fn new(server: Packets) -> Self {
        Self {
            server,
            settings: BTreeMap::new(),
            prepared: HashMap::new(),
            in_transaction: false,
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            in_transaction: self.in_transaction,
        }
    }

    /// It has these settings now.
    pub(super) fn has(&mut self, settings: BTreeMap<Vec<u8>, Bytes>) {
        self.settings = settings;
    }

    /// Sets what this client has set and nothing else, unless it is so.
    pub(super) async fn take_on(&mut self, settings: &BTreeMap<Vec<u8>, Bytes>) -> Result<()> {
        if self.settings == *settings {
            return Ok(());
        }
        let others = self.settings.keys();
        let others = others.filter(|what| !settings.contains_key(*what));
        let defaults: Vec<Bytes> = others.map(|what| default_of(what)).collect();
        for setting in defaults.iter().chain(settings.values()) {
            self.server.write(setting).await?;
            let answer = self.packet().await?;
            ensure!(answer.get(HEADER) == Some(&OK), "a setting is refused");
        }
        self.settings.clone_from(settings);
        Ok(())
    }

    /// Prepares a statement; the packets of the answer, of which the first may be an error.
    pub(super) async fn prepare(&mut self, text: &Bytes) -> Result<Vec<Bytes>> {
        self.server
            .write(&command(COM_STMT_PREPARE, &[text]))
            .await?;
        let first = self.packet().await?;
        let mut answer = vec![first.clone()];
        if first.get(HEADER) != Some(&OK) {
            return Ok(answer);
        }
        let number = |at: usize| -> Result<u16> {
            let bytes = first.get(at..at + 2).context("a number")?;
            Ok(u16::from_le_bytes(bytes.try_into()?))
        };
        let id = first.get(HEADER + 1..HEADER + 5).context("a number")?;
        self.prepared
            .insert(text.clone(), u32::from_le_bytes(id.try_into()?));
        let (columns, parameters) = (number(HEADER + 5)?, number(HEADER + 7)?);
        for described in [parameters, columns] {
            if described > 0 {
                // Each of them, and an end.
                for _ in 0..=described {
                    answer.push(self.packet().await?);
                }
            }
        }
        Ok(answer)
    }

    /// The command that executes a statement here, where it has a number of its own.
    pub(super) async fn executing(&mut self, text: &Bytes, rest: &[u8]) -> Result<Bytes> {
        if !self.prepared.contains_key(text) {
            self.prepare(text).await?;
        }
        let number = self.prepared.get(text).context("it was prepared before")?;
        Ok(command(COM_STMT_EXECUTE, &[&number.to_le_bytes(), rest]))
    }

    /// Sends a command, and passes on all of its answer.
    pub(super) async fn relay(&mut self, packet: &[u8], client: &mut Packets) -> Result<Status> {
        self.server.write(packet).await?;
        loop {
            let first = self.passed_on(client).await?;
            let status = match first.get(HEADER) {
                Some(&OK) => status_of_ok(&first),
                Some(&ERR) => return Ok(self.status()),
                _ => self.result_set(client).await?,
            };
            let Some(status) = status else {
                return Ok(self.status());
            };
            self.in_transaction = status & IN_TRANSACTION != 0;
            if status & MORE_RESULTS == 0 {
                return Ok(self.status());
            }
        }
    }

    /// Columns up to an end, then rows up to another, which has the status.
    async fn result_set(&mut self, client: &mut Packets) -> Result<Option<u16>> {
        let mut ends = 0;
        loop {
            let packet = self.passed_on(client).await?;
            match packet.get(HEADER) {
                Some(&EOF) if packet.len() <= LONGEST_EOF => ends += 1,
                Some(&ERR) if ends == 1 => return Ok(None),
                _ => continue,
            }
            if ends == 2 {
                let status = packet.get(HEADER + 3..HEADER + 5).context("a status")?;
                return Ok(Some(u16::from_le_bytes(status.try_into()?)));
            }
        }
    }

    async fn passed_on(&mut self, client: &mut Packets) -> Result<Bytes> {
        let packet = self.packet().await?;
        client.write(&packet).await?;
        Ok(packet)
    }

    async fn packet(&mut self) -> Result<Bytes> {
        self.server.next().await?.context("the server has left")
    }
}

/// What undoes a setting. Those without `=` set the isolation of transactions, or the character set.
fn default_of(what: &[u8]) -> Bytes {
    if what.ends_with(b"COMMITTED") {
        let isolation = b"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        return command(COM_QUERY, &[isolation]);
    }
    if what.starts_with(b"SET NAMES") {
        return command(COM_QUERY, &[b"SET NAMES DEFAULT"]);
    }
    command(COM_QUERY, &[what, b" = DEFAULT"])
}

/// The status behind the two numbers of an `OK`.
fn status_of_ok(packet: &[u8]) -> Option<u16> {
    let mut at = HEADER + 1;
    for _ in 0..2 {
        at += match packet.get(at)? {
            0xfc => 3,
            0xfd => 4,
            0xfe => 9,
            _ => 1,
        };
    }
    let status = packet.get(at..at + 2)?;
    Some(u16::from_le_bytes([status[0], status[1]]))
}

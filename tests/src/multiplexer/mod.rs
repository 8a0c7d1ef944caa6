//! What hands out a few connections of MariaDB to many clients, statement by statement, as ProxySQL
//! does before most of kolla's databases.
//!
//! It keeps what ProxySQL keeps: a client in a transaction stays on its connection, what a client
//! has `SET` is set wherever its next statement goes, and a prepared statement is prepared again
//! where it is not known. Nothing else of a session is there for the next statement.

mod backend;
mod packets;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::backend::{Backend, Status};
use self::packets::{Command, Packets, plain_greeting, prepared_as};

/// Connections that are kept: fewer than the program opens, and more than it holds rows still at
/// once.
const KEPT: usize = 6;

/// It ends when it is dropped.
#[derive(Debug)]
pub struct Multiplexer {
    port: u16,
    task: JoinHandle<()>,
}

/// The connections that nobody uses, the one that rested longest first.
#[derive(Default)]
struct Pool {
    resting: Mutex<VecDeque<Backend>>,
    came_back: Notify,
    all: Mutex<usize>,
}

impl Multiplexer {
    /// Starts one before the server at this port. All its clients must be the same user on the same
    /// database.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub async fn before(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let pool = Arc::<Pool>::default();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move {
                    // A client that leaves, or is refused, is nobody's concern.
                    let _ = serve(stream, server_port, &pool).await;
                });
            }
        });
        Ok(Self { port, task })
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Multiplexer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// A connection that signed in; there may be enough of them.
    fn add(&self, backend: Backend) {
        {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            if *all == KEPT {
                return;
            }
            *all += 1;
        }
        self.put_back(backend);
    }

    fn put_back(&self, backend: Backend) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.push_back(backend);
        drop(resting);
        self.came_back.notify_one();
    }

    /// One that broke is not put back.
    fn lose(&self) {
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }

    async fn take(&self) -> Backend {
        loop {
            let taken = {
                let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
                resting.pop_front()
            };
            match taken {
                Some(backend) => return backend,
                None => self.came_back.notified().await,
            }
        }
    }
}

/// What a client has that has to be the same wherever its next statement goes.
#[derive(Default)]
struct Session {
    /// The `SET` statements, by what they set.
    settings: BTreeMap<Vec<u8>, Bytes>,
    /// Its prepared statements, by the numbers that it was given.
    statements: HashMap<u32, Bytes>,
    last_number: u32,
}

async fn serve(stream: TcpStream, server_port: u16, pool: &Pool) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut client = Packets::of(stream);
    pool.add(sign_in(&mut client, server_port).await?);
    let mut session = Session::default();
    let mut held: Option<Backend> = None;
    while let Some(packet) = client.next().await? {
        if let Command::Quit = Command::of(&packet) {
            break;
        }
        if let Command::Close(number) = Command::of(&packet) {
            session.statements.remove(&number);
            continue;
        }
        let mut backend = match held.take() {
            Some(backend) => backend,
            None => pool.take().await,
        };
        match carry_out(&mut client, &mut backend, &mut session, &packet).await {
            Ok(Status { in_transaction }) if in_transaction => held = Some(backend),
            Ok(_) => pool.put_back(backend),
            Err(error) => {
                pool.lose();
                return Err(error);
            }
        }
    }
    if held.is_some() {
        // Closing it rolls back.
        pool.lose();
    }
    Ok(())
}

/// Lets the client and a connection of its own agree, which then is everybody's.
async fn sign_in(client: &mut Packets, server_port: u16) -> Result<Backend> {
    let stream = TcpStream::connect(("127.0.0.1", server_port)).await?;
    stream.set_nodelay(true)?;
    let mut server = Packets::of(stream);
    let greeting = server.next().await?.context("a greeting")?;
    client.write(&plain_greeting(&greeting)).await?;
    loop {
        let answer = client.next().await?.context("an answer of the client")?;
        server.write(&answer).await?;
        let said = server.next().await?.context("an answer of the server")?;
        client.write(&said).await?;
        match said.get(4) {
            Some(0x00) => return Ok(Backend::new(server)),
            Some(0xff) | None => bail!("refused"),
            Some(_) => {}
        }
    }
}

async fn carry_out(
    client: &mut Packets,
    backend: &mut Backend,
    session: &mut Session,
    packet: &Bytes,
) -> Result<Status> {
    match Command::of(packet) {
        Command::Set(what) => {
            backend.take_on(&session.settings).await?;
            let status = backend.relay(packet, client).await?;
            session.settings.insert(what, packet.clone());
            backend.has(session.settings.clone());
            Ok(status)
        }
        Command::Prepare(text) => {
            backend.take_on(&session.settings).await?;
            let answer = backend.prepare(&text).await?;
            session.last_number += 1;
            session.statements.insert(session.last_number, text);
            for packet in prepared_as(session.last_number, answer) {
                client.write(&packet).await?;
            }
            Ok(backend.status())
        }
        Command::Execute(number, rest) => {
            backend.take_on(&session.settings).await?;
            let text = session.statements.get(&number).context("a statement")?;
            let packet = backend.executing(text, &rest).await?;
            backend.relay(&packet, client).await
        }
        Command::Other | Command::Quit | Command::Close(_) => {
            backend.take_on(&session.settings).await?;
            backend.relay(packet, client).await
        }
    }
}

//! Asks a running daemon something over its HTTP interface, without more than a socket: a command
//! must answer in seconds whatever is at the other end.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::settings::Listen;

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes: 10,000 rows of `/v1/rows` for each service fit in.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// What the daemon answered.
pub(super) struct DaemonAnswer {
    /// The code of the first line.
    pub(super) status: u16,
    /// What follows the headers.
    pub(super) body: String,
}

/// Asks for a path. An answer that is not HTTP is an error of kind `InvalidData`.
pub(super) fn get(listen: &Listen, path: &str) -> io::Result<DaemonAnswer> {
    let answer = match listen {
        Listen::Tcp { host, port } => exchange(connect(host, *port)?, path),
        Listen::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, path)
        }
    };
    read(&String::from_utf8_lossy(&answer?))
}

/// As [`get`], and takes only a JSON body that came with 200.
pub(super) fn get_json(listen: &Listen, path: &str) -> io::Result<serde_json::Value> {
    let answer = get(listen, path)?;
    if answer.status != 200 {
        return Err(io::Error::other(format!("it answers {}", answer.status)));
    }
    Ok(serde_json::from_str(&answer.body)?)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    // What is served at every address of the host is served at the loopback one.
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let mut outcome = Err(io::Error::other("the name has no address"));
    for address in (host, port).to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&address, PATIENCE);
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(answer: &str) -> io::Result<DaemonAnswer> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let status = match (words.next(), words.next()) {
        (Some("HTTP/1.1"), Some(status)) => status.parse().ok(),
        _ => None,
    };
    let not_http = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not answer as HTTP does",
        )
    };
    Ok(DaemonAnswer {
        status: status.ok_or_else(not_http)?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_http_is_told_from_an_answer() {
        let sick = "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nthe loop has ended\nso\n";
        let answer = read(sick).expect("an answer");
        assert_eq!(
            (answer.status, &*answer.body),
            (503, "the loop has ended\nso\n")
        );
        assert_eq!(
            read("HTTP/1.1 200 OK\r\n\r\nOK").expect("an answer").status,
            200
        );
        for odd in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1", "HTTP/1.1 two"] {
            let error = read(odd).err().expect("no HTTP");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{odd:?}");
        }
    }
}

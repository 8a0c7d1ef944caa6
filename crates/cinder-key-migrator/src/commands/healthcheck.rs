//! Asks the running daemon whether it is alive, for container engines that have no HTTP client in
//! the image.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use crate::exit::Failure;
use crate::settings::{self, Listen, Origin};

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 16 * 1024;

const REQUEST: &[u8] = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Asks at the address that `[key_migrator] listen` gives.
pub(crate) fn ask(origin: &Origin) -> Result<ExitCode, Failure> {
    let listen = settings::read_listen(origin)?;
    let answer = match &listen {
        Listen::Tcp { host, port } => connect(host, *port).and_then(exchange),
        Listen::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream)
        }),
    };
    let answer =
        answer.map_err(|error| Failure::Unhealthy(format!("no answer from {listen}: {error}")))?;
    judge(&listen, &String::from_utf8_lossy(&answer))
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

fn exchange(mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST)?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

fn judge(listen: &Listen, answer: &str) -> Result<ExitCode, Failure> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1"), Some("200")) => Ok(ExitCode::SUCCESS),
        (Some("HTTP/1.1"), Some(status)) => {
            let reasons = body.trim().replace('\n', "; ");
            Err(Failure::Unhealthy(format!(
                "{listen} answers {status}: {reasons}"
            )))
        }
        _ => Err(Failure::Unhealthy(format!(
            "{listen} does not answer as HTTP does"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: &str) -> Result<ExitCode, String> {
        let listen = "127.0.0.1:18776".parse().expect("an address");
        judge(&listen, answer).map_err(|failure| match failure {
            Failure::Unhealthy(why) => why,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn only_an_answer_of_200_is_healthy() {
        assert!(judged("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").is_ok());
        let sick = "HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nthe loop has ended\nso\n";
        assert_eq!(
            judged(sick).expect_err("unhealthy"),
            "127.0.0.1:18776 answers 503: the loop has ended; so"
        );
        for odd in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1"] {
            assert_eq!(
                judged(odd).expect_err("no HTTP"),
                "127.0.0.1:18776 does not answer as HTTP does"
            );
        }
    }
}

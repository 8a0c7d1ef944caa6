//! HTTP/1.1, request by request.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use httparse::{EMPTY_HEADER, Header, Status};
use tokio::net::TcpStream;

use super::buffered::{Buffered, Whole};
use super::rules::{Fault, Met, Request, Rules};
use super::{connect, reset, swallow};

/// More than any of the services sends.
const MOST_HEADERS: usize = 64;

/// Serves a connection until either side ends it.
pub(super) async fn serve(client: TcpStream, target: &str, rules: &Rules) -> Result<()> {
    let mut client = Buffered::new(client);
    while let Some(request) = client.message(whole_request).await? {
        let Some(met) = rules.meet(kind(&request)?) else {
            let answer = exchange(target, &request).await?;
            client.write(&answer).await?;
            continue;
        };
        match met.fault {
            Fault::Delay(time) => {
                let answer = exchange(target, &request).await?;
                tokio::time::sleep(time).await;
                client.write(&answer).await?;
            }
            Fault::FailAfter => {
                exchange(target, &request).await?;
                client.write(&error(500, "Internal Server Error")).await?;
            }
            Fault::Unavailable => {
                client.write(&error(503, "Service Unavailable")).await?;
            }
            Fault::Unauthorized => client.write(&error(401, "Unauthorized")).await?,
            _ => return end(client, &met, target, &request).await,
        }
    }
    Ok(())
}

/// The faults that the connection does not survive.
async fn end(client: Buffered, met: &Met, target: &str, request: &[u8]) -> Result<()> {
    match met.fault {
        Fault::ResetBefore => return reset(client.stream),
        Fault::Drop => return swallow(client, met).await,
        _ => {}
    }
    let answer = exchange(target, request).await?;
    client.end(met.fault, &answer, half(&answer)?).await
}

/// Delivers a request and reads its answer.
async fn exchange(target: &str, request: &[u8]) -> Result<Bytes> {
    let mut server = Buffered::new(connect(target).await?);
    server.write(request).await?;
    let head = request.starts_with(b"HEAD ");
    let answer = server.message(|read| whole_answer(read, head)).await?;
    answer.context("the service closed the connection instead of answering")
}

fn kind(request: &[u8]) -> Result<Request> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(request)?;
    let method = parsed.method.context("a method")?;
    let path = parsed.path.context("a path")?;
    let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
    Ok(match method {
        "POST" if path.ends_with("/auth/tokens") => Request::SignIn,
        "POST" if path.ends_with("/secrets") => Request::Store,
        "PUT" if path.ends_with("/acl") => Request::SetReaders,
        "GET" if path.ends_with("/payload") => Request::Payload,
        "GET" if path.ends_with("/secrets") => Request::List,
        "DELETE" if path.contains("/secrets/") => Request::Delete,
        _ => Request::Other,
    })
}

fn whole_request(read: &[u8]) -> Result<Whole> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let Status::Complete(head) = request.parse(read)? else {
        return Ok(Whole::NotYet);
    };
    match Framing::of(request.headers)? {
        // A request without either has no body.
        Framing::UntilEnd => Ok(Whole::Of(head)),
        framing => framing.whole(read, head),
    }
}

fn whole_answer(read: &[u8], to_head: bool) -> Result<Whole> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let Status::Complete(head) = response.parse(read)? else {
        return Ok(Whole::NotYet);
    };
    if to_head || matches!(response.code, Some(204 | 304)) {
        return Ok(Whole::Of(head));
    }
    Framing::of(response.headers)?.whole(read, head)
}

/// How the length of a body is told.
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Framing {
    fn of(headers: &[Header<'_>]) -> Result<Self> {
        let named = |name: &str| {
            let header = headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            header.map(|header| String::from_utf8_lossy(header.value))
        };
        match (named("transfer-encoding"), named("content-length")) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked),
            (Some(encoding), _) => bail!("the transfer encoding {encoding} is not known here"),
            (None, Some(length)) => Ok(Self::Length(length.trim().parse()?)),
            (None, None) => Ok(Self::UntilEnd),
        }
    }

    fn whole(&self, read: &[u8], head: usize) -> Result<Whole> {
        match self {
            Self::Length(length) if read.len() >= head + length => Ok(Whole::Of(head + length)),
            Self::Length(_) => Ok(Whole::NotYet),
            Self::Chunked => whole_chunks(read, head),
            Self::UntilEnd => Ok(Whole::AtEnd),
        }
    }
}

fn whole_chunks(read: &[u8], head: usize) -> Result<Whole> {
    const LINE_END: usize = 2;
    let mut at = head;
    loop {
        let rest = read.get(at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return Ok(Whole::NotYet),
            Err(_) => bail!("a chunk without its size"),
        };
        at += line + usize::try_from(size)? + LINE_END;
        if size == 0 {
            return Ok(if read.len() >= at {
                Whole::Of(at)
            } else {
                Whole::NotYet
            });
        }
    }
}

/// The head with half of the body.
fn half(answer: &[u8]) -> Result<&[u8]> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let parsed = httparse::Response::new(&mut headers).parse(answer)?;
    let Status::Complete(head) = parsed else {
        bail!("an answer without a whole head")
    };
    Ok(&answer[..usize::midpoint(head, answer.len())])
}

/// An error in the form of OpenStack's services.
fn error(code: u16, title: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "code": code,
        "title": title,
        "description": "The request was not served; the fault proxy answered it.",
    })
    .to_string();
    format!(
        "HTTP/1.1 {code} {title}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n\
         {body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_and_not_before() {
        for answer in [ANSWER, CHUNKED] {
            for length in 0..answer.len() {
                let whole = whole_answer(&answer[..length], false).unwrap();
                assert_eq!(whole, Whole::NotYet, "{length}");
            }
            let more = [answer, b"HTTP"].concat();
            let whole = whole_answer(&more, false).unwrap();
            assert_eq!(whole, Whole::Of(answer.len()));
        }
    }

    #[test]
    fn half_an_answer_has_its_whole_head() {
        assert!(half(ANSWER).unwrap().ends_with(b"\r\n\r\nbo"));
    }

    #[test]
    fn a_request_is_known_by_method_and_path() {
        for (line, wanted) in [
            ("POST /v1/secrets", Request::Store),
            ("PUT /v1/secrets/1/acl", Request::SetReaders),
            ("GET /v1/secrets/1/payload", Request::Payload),
            ("GET /v1/secrets?name=a&limit=1", Request::List),
            ("DELETE /v1/secrets/1", Request::Delete),
            ("POST /v3/auth/tokens", Request::SignIn),
            ("GET /v1/secrets/1", Request::Other),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: here\r\n\r\n");
            assert_eq!(kind(request.as_bytes()).unwrap(), wanted, "{line}");
        }
    }
}

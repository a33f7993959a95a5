//! The HTTP/1.1 that AWS SDKs use with a credential endpoint: one request per connection, no body.

use std::io;

use protocol::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

/// The longest head of a request.
const LONGEST: usize = 8 * 1024;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<Secret>,
}

/// One answer. It contains keys: never print it.
pub(super) struct Response {
    pub(super) status: Status,
    pub(super) json: Zeroizing<String>,
}

/// The statuses of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::Unauthorized => "401 Unauthorized",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Reads the head of a request; `None` if it is malformed or too long.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
    let mut head = Zeroizing::new(Vec::with_capacity(LONGEST));
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut piece = Zeroizing::new([0; 1024]);
        let read = stream.read(piece.as_mut_slice()).await?;
        let piece = piece.get(..read).unwrap_or_default();
        if read == 0 || head.len() + read > LONGEST {
            return Ok(None);
        }
        head.extend_from_slice(piece);
    }
    Ok(std::str::from_utf8(&head).ok().and_then(parse))
}

fn parse(head: &str) -> Option<Request> {
    let (head, _) = head.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path, version) = (first.next()?, first.next()?, first.next()?);
    if first.next().is_some() || !version.starts_with("HTTP/1.") {
        return None;
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| Secret::new(value.trim()))
    };
    let authorization = lines.find_map(header);
    Some(Request { method: method.to_owned(), path: path.to_owned(), authorization })
}

/// Sends the answer and closes the connection.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), response: Response) -> io::Result<()> {
    let Response { status, json } = response;
    let whole = Zeroizing::new(format!(
        "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{}",
        status.line(),
        json.len(),
        json.as_str()
    ));
    stream.write_all(whole.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn parsed(bytes: &[u8]) -> Option<Request> {
        read(&mut &*bytes).await.unwrap()
    }

    #[tokio::test]
    async fn a_request_is_parsed_as_sdks_write_it() {
        let request =
            parsed(b"GET /path?x=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAUTHORIZATION:  a token \r\n\r\n").await;
        let request = request.unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/path?x=1"));
        assert_eq!(request.authorization.unwrap().reveal(), "a token");
        let with_body = b"PUT / HTTP/1.0\r\n\r\nauthorization: no header\r\n\r\n";
        assert!(parsed(with_body).await.unwrap().authorization.is_none());
    }

    #[tokio::test]
    async fn malformed_and_endless_requests_are_refused() {
        for bytes in [
            b"".as_slice(),
            b"GET / HTTP/1.1\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET / / HTTP/1.1\r\n\r\n",
            b"\xff\xfe / HTTP/1.1\r\n\r\n",
        ] {
            assert!(parsed(bytes).await.is_none(), "{bytes:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(LONGEST));
        assert!(parsed(long.as_bytes()).await.is_none());
    }

    #[tokio::test]
    async fn an_answer_has_its_length_and_closes_the_connection() {
        let mut sent = Vec::new();
        let json = Zeroizing::new("{}".to_owned());
        write(&mut sent, Response { status: Status::Forbidden, json }).await.unwrap();
        let text = String::from_utf8(sent).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-length: 2\r\n") && text.contains("\r\nconnection: close\r\n"));
        assert!(text.ends_with("\r\n\r\n{}"), "{text}");
    }

    proptest! {
        #[test]
        fn no_request_panics(head in "[ -~\r\n]{0,200}") {
            let _ = parse(&head);
        }
    }
}

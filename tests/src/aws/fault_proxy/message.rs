//! Reads and writes one HTTP/1.1 message on a connection that carries only one.

use std::io::{Error, ErrorKind, Read};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A request or a reply: its first line and headers as received, and its body.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) first_line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Reads a message. Without a `Content-Length` a request has no body, and the body of a reply ends with the
    /// connection.
    pub(super) fn read(stream: &mut impl Read, without_length: WithoutLength) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        let head_length = loop {
            if let Some(at) = bytes.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
                break at;
            }
            match stream.read(&mut buffer)? {
                0 => return Err(Error::new(ErrorKind::UnexpectedEof, "expected a message, found its end")),
                n => bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            }
        };
        let mut body = bytes.split_off(head_length);
        body.drain(..END_OF_HEAD.len());
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = head.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let mut message = Self { first_line, headers, body };
        let length = message.header("content-length").and_then(|length| length.parse::<usize>().ok());
        match (length, without_length) {
            (Some(length), _) => {
                let missing = length.saturating_sub(message.body.len());
                let mut rest = vec![0; missing];
                stream.read_exact(&mut rest)?;
                message.body.extend(rest);
            }
            (None, WithoutLength::Empty) => {}
            (None, WithoutLength::UntilTheEnd) => {
                stream.read_to_end(&mut message.body)?;
            }
        }
        Ok(message)
    }

    /// A header's value, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The bytes to forward. Adds `Connection: close`; all else, `Host` too, is as received, because the signature
    /// covers it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\nConnection: close\r\n", self.first_line);
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("connection") {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// A reply's status.
    pub(super) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }
}

/// The length of a body without `Content-Length`.
#[derive(Debug, Clone, Copy)]
pub(super) enum WithoutLength {
    /// No body.
    Empty,
    /// The body ends with the connection.
    UntilTheEnd,
}

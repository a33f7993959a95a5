//! A minimal HTTP client for the load generator: one connection, kept open.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

/// One connection to a broker.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request with this head (without its last, empty line) and body. Returns the body of the response if its
    /// status is this one.
    pub(crate) fn ask(&mut self, head: &str, body: &str, expected: &str) -> Result<&str> {
        let request = format!("{head}Host: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes())?;
        self.received.clear();
        let (body_at, length) = loop {
            self.receive()?;
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(self.received.get(..end).unwrap_or_default())?;
                break (end + 4, content_length(head)?);
            }
        };
        while self.received.len() < body_at + length {
            self.receive()?;
        }
        let answer = std::str::from_utf8(&self.received)?;
        if answer.split(' ').nth(1) != Some(expected) {
            bail!("expected {expected}, found {answer}");
        }
        Ok(answer.get(body_at..).unwrap_or_default())
    }

    fn receive(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            bail!("the broker has closed the connection");
        }
        self.received.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(())
    }
}

fn content_length(head: &str) -> Result<usize> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length.context("an answer with a content-length")?.1.trim().parse()?)
}

//! A channel of the demo: a receiver on this machine in the place of Slack.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// The broker sends a message within a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running receiver. It ends with the program.
pub(crate) struct Channel {
    /// Where messages are posted to.
    pub(crate) url: String,
    bodies: Receiver<Value>,
}

impl Channel {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/services/T0/B0/demo", listener.local_addr()?);
        let (sender, bodies) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(body) = receive(stream)
                    && sender.send(body).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self { url, bodies })
    }

    /// Waits for a message, and returns its texts, one block below the other.
    pub(crate) fn next_message(&self) -> Result<String> {
        let body = self.bodies.recv_timeout(PATIENCE).context("no message came to the channel")?;
        let blocks = body.get("blocks").and_then(Value::as_array).into_iter().flatten();
        let text = |block: &Value| {
            let text = block.pointer("/text/text").or_else(|| block.pointer("/elements/0/text"));
            text.and_then(Value::as_str).map(str::to_owned)
        };
        Ok(blocks.filter_map(text).collect::<Vec<_>>().join("\n"))
    }
}

/// Reads one request, answers it, and returns its body.
fn receive(mut stream: TcpStream) -> Result<Value> {
    let mut request = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        request.read_line(&mut line)?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    request.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
    Ok(serde_json::from_slice(&body)?)
}

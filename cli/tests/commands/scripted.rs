//! A broker that answers, fails and closes connections as the test scripts it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use protocol::{ErrorCode, Problem};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The reply to one request.
#[derive(Clone)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Closes the connection without a response.
    HangUp,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `POST /v2/agentic/jit`
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Index of the request's connection, from 0.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn json(status: u16, body: impl serde::Serialize) -> Reply {
    let body = serde_json::to_string(&body).unwrap();
    Reply::Answer { status, headers: vec![("content-type", "application/json".to_owned())], body }
}

pub(crate) fn problem(code: ErrorCode, detail: &str) -> Reply {
    let problem = Problem::new(code, detail).with_hint("a hint of the broker");
    let body = serde_json::to_string(&problem).unwrap();
    let headers = vec![("content-type", protocol::problem::MEDIA_TYPE.to_owned())];
    Reply::Answer { status: code.status(), headers, body }
}

impl Reply {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

pub(crate) struct ScriptedBroker {
    pub(crate) address: SocketAddr,
    /// The certificate for the client to trust, in PEM.
    pub(crate) certificate: Option<String>,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone)]
struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl ScriptedBroker {
    /// Answers each request with the next reply, and closes the connection of every request after the last one.
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::listen(replies, None)
    }

    /// The same over TLS, with a self-signed certificate.
    pub(crate) fn start_tls(replies: impl IntoIterator<Item = Reply>) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let started = Self::listen(replies, Some(Arc::new(config)));
        Self { certificate: Some(made.cert.pem()), ..started }
    }

    fn listen(replies: impl IntoIterator<Item = Reply>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script =
            Script { replies: Arc::new(Mutex::new(replies.into_iter().collect())), seen: Arc::default() };
        let seen = Arc::clone(&script.seen);
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (script, tls, stream) = (script.clone(), tls.clone(), stream.unwrap());
                std::thread::spawn(move || match tls {
                    None => script.serve(connection, stream),
                    Some(config) => {
                        script.serve(
                            connection,
                            StreamOwned::new(ServerConnection::new(config).unwrap(), stream),
                        );
                    }
                });
            }
        });
        Self { address, certificate: None, seen }
    }

    pub(crate) fn url(&self) -> String {
        match self.certificate {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this many requests have arrived; fails the test after a deadline.
    #[track_caller]
    pub(crate) fn wait_for(&self, requests: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.seen().len() < requests {
            assert!(Instant::now() < deadline, "expected {requests} requests, found {:?}", self.lines());
            std::thread::yield_now();
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

/// An address without a listener.
pub(crate) fn unused_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

impl Script {
    fn serve(&self, connection: usize, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream, connection) {
            self.seen.lock().unwrap().push(request);
            let reply = self.replies.lock().unwrap().pop_front();
            match reply {
                Some(Reply::Answer { status, headers, body }) => {
                    let mut text =
                        format!("HTTP/1.1 {status} scripted\r\ncontent-length: {}\r\n", body.len());
                    for (name, value) in headers {
                        text.push_str(&format!("{name}: {value}\r\n"));
                    }
                    text.push_str("\r\n");
                    text.push_str(&body);
                    let sent =
                        stream.get_mut().write_all(text.as_bytes()).and_then(|()| stream.get_mut().flush());
                    if sent.is_err() {
                        return;
                    }
                }
                Some(Reply::HangUp) | None => return,
            }
        }
    }
}

fn read_request(stream: &mut BufReader<impl Read>, connection: usize) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let line = first.rsplit_once(" HTTP/").unwrap().0.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8(body).unwrap(), connection })
}

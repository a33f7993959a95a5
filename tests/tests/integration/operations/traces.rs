//! The spans of a request at an OTLP collector: their names and hierarchy, and no secret in them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use reqwest::Method;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;
use system_tests::waiting::eventually;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Accepts every post with status 200 and keeps it.
struct Collector {
    url: String,
    bodies: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || take(stream, &kept));
            }
        });
        Self { url, bodies }
    }

    fn has(&self, what: &[u8]) -> bool {
        self.bodies.lock().unwrap().windows(what.len()).any(|window| window == what)
    }
}

fn take(stream: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut length = 0;
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or_default() == 0 {
            return;
        }
        assert!(first.starts_with("POST /v1/traces "), "{first}");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(found) = line.strip_prefix("content-length:") {
                length = found.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        kept.lock().unwrap().extend(body);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n",
            )
            .unwrap();
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn trace_continues_in_the_broker_and_contains_no_secret() {
    let collector = Collector::start();
    let limits = format!("{NO_RATE_LIMIT}\n[telemetry]\notlp_endpoint = \"{}\"", collector.url);
    let mut fixture = Fixture::with(Broker::launched_by(&[], &limits));
    let (key, body) = (new_key(), fixture.body());
    let asked = fixture.elevation(&key, &body).header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let grant = http::send(asked).expect(201);
    let path = format!("/v2/agentic/jit?idempotency_key={key}&cause=asked");
    http::send(fixture.broker.request(Method::DELETE, &path).bearer_auth(&fixture.agent.auth_token))
        .expect(200);
    http::send(fixture.broker.request(Method::GET, "/made-up/by-a-stranger")).expect(404);
    // The broker sends its remaining spans before it ends.
    assert_eq!(fixture.broker.stop(), Some(0));
    for expected in [
        "cloudanix-jit-broker",
        "POST /v2/agentic/jit",
        "DELETE /v2/agentic/jit",
        "http.route",
        "verify identity",
        "store: create grant",
        "target: apply",
        "target: revert",
    ] {
        assert!(collector.has(expected.as_bytes()), "`{expected}` is in no span");
    }
    assert!(
        collector.has(&bytes(TRACE)) && collector.has(&bytes(PARENT)),
        "the caller's trace is not continued"
    );
    let token = grant.json.pointer("/credentials/token").and_then(|token| token.as_str());
    for secret in [
        key.as_str(),
        fixture.agent.auth_token.as_str(),
        fixture.broker.operator_token(),
        body.pointer("/oidc_token").and_then(|token| token.as_str()).unwrap(),
        token.unwrap_or_else(|| panic!("no credentials in {}", grant.text)),
        grant.text_at("/id"),
        "made-up",
        "idempotency",
        "/readyz",
    ] {
        assert!(!collector.has(secret.as_bytes()), "`{secret}` went to the collector");
    }
    assert!(!fixture.broker.log().contains("verify identity"), "the log contains spans");
}

#[test]
fn a_broker_without_its_collector_works_and_says_that_it_cannot_send() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let limits = format!("{NO_RATE_LIMIT}\n[telemetry]\notlp_endpoint = \"http://{closed}\"");
    let mut fixture = Fixture::with(Broker::launched_by(&[], &limits));
    fixture.elevate().expect(201);
    eventually("a line in the log", || {
        fixture.broker.log().contains("BatchSpanProcessor.ExportError").then_some(())
    });
    assert_eq!(fixture.broker.stop(), Some(0));
}

//! Can a connection be held for ever by doing a little now and then, or nothing?

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use system_tests::broker::{Broker, HURRY};
use system_tests::http;
use system_tests::waiting::{SOON, eventually};

fn with_little_patience() -> Broker {
    Broker::launched_by(&[], &format!("{HURRY}\nheartbeat = \"1s\"\nconnection_idle = \"2s\""))
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Of the broker, the listening one among them.
fn sockets(broker: &Broker) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap();
    let links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn a_connection_that_asked_once_is_closed_when_no_second_request_comes() {
    let broker = with_little_patience();
    let mut stream = connect(&broker);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
}

#[test]
fn an_answer_that_is_not_read_does_not_hold_its_connection() {
    let broker = with_little_patience();
    http::send(broker.request(Method::GET, "/healthz")).expect(200);
    let mut before = 0;
    eventually("no other connection", || {
        let now = sockets(&broker);
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    let mut stream = connect(&broker);
    // Many large answers: more than the buffers of both sides hold.
    stream.set_write_timeout(Some(SOON)).unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: broker\r\n\r\n".repeat(500);
    let _ = stream.write_all(&request);
    eventually("the connection at the broker", || {
        (sockets(&broker) <= before).then_some(())
    });
}

#[test]
fn a_head_without_an_end_is_refused_before_it_fills_the_memory() {
    let broker = Broker::start();
    let mut stream = connect(&broker);
    let mut sent = 0;
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: broker\r\n");
    while sent < 10_000_000 && stream.write_all(line.as_bytes()).is_ok() {
        sent += line.len();
    }
    // What is on its way through both buffers was never in the broker's memory.
    assert!(sent < 9_000_000, "{sent} bytes of a head were taken");
    http::send(broker.request(Method::GET, "/healthz")).expect(200);
}

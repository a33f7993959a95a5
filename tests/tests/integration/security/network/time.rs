//! The broker closes connections that send or read too slowly.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::http;
use system_tests::waiting::{SOON, eventually};

fn with_little_patience() -> Broker {
    Broker::launched_by(&[], &format!("{NO_RATE_LIMIT}\nheartbeat = \"1s\"\nconnection_idle = \"2s\""))
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.url().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// The number of the broker's sockets, including the listening one.
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
    // Requests more response data than the buffers of both sides hold.
    stream.set_write_timeout(Some(SOON)).unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: broker\r\n\r\n".repeat(500);
    let _ = stream.write_all(&request);
    eventually("the connection at the broker", || (sockets(&broker) > before).then_some(()));
    eventually("the end of the connection", || (sockets(&broker) <= before).then_some(()));
}

#[test]
fn a_head_of_thirty_kilobytes_is_refused() {
    let broker = Broker::start();
    let mut stream = connect(&broker);
    let filler = format!("X-Filler: {}\r\n", "x".repeat(1000)).repeat(30);
    // The broker may close the connection before it has read everything, and its response may be lost.
    let _ = stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: broker\r\n{filler}\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

//! The event stream of an open timeline.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use system_tests::people::Browser;

use super::Signing;
use super::approvals::{ONE, asking, waiting};

/// The cookies of a person who has signed in at the console.
fn cookies(signing: &Signing, person: &str) -> String {
    let mut browser = Browser::default();
    browser.sign_in(&format!("{}/console", signing.fixture.broker.url()), person);
    browser.cookies(signing.fixture.broker.url()).join("; ")
}

/// A stream of the timeline of this grant, whose answer has begun.
fn opened(signing: &Signing, cookies: &str, id: &str) -> BufReader<TcpStream> {
    let address = signing.fixture.broker.url().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).unwrap();
    let asked = format!(
        "GET /console/grants/{id}/live HTTP/1.1\r\nHost: {address}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(asked.as_bytes()).unwrap();
    BufReader::new(connection)
}

/// Reads until a line has this part.
fn read_until(stream: &mut impl BufRead, part: &str) {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the stream ended before `{part}`");
    }
}

fn rest(mut stream: impl Read) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn a_stream_ends_with_its_session_and_has_nothing_for_persons_who_may_not_see_the_grant() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let mut alice = opened(&signing, &cookies(&signing, "alice"), &id);
    read_until(&mut alice, "data: pending_approval");
    let bob = opened(&signing, &cookies(&signing, "bob"), &id);
    assert!(!rest(bob).contains("data:"));
    let stranger = opened(&signing, "jit-session=cjps_none", &id);
    assert!(rest(stranger).starts_with("HTTP/1.1 303 "));
    signing.fixture.operator_client(&["sessions", "end", "alice"]).finish().assert_code(0);
    assert!(!rest(alice).contains("data:"), "nothing happened to the grant");
    drop(running);
}

#[test]
fn a_stream_ends_with_its_grant_and_keeps_no_broker_from_stopping() {
    let mut signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let cookies = cookies(&signing, "alice");
    let mut stream = opened(&signing, &cookies, &id);
    read_until(&mut stream, "data: pending_approval");
    signing.fixture.operator_client(&["grants", "revoke", &id]).finish().assert_code(0);
    assert!(rest(stream).contains("data: denied"));
    running.finish().assert_code(6);

    let (running, id) = waiting(&signing, &[]);
    let mut stream = opened(&signing, &cookies, &id);
    read_until(&mut stream, "data: pending_approval");
    assert_eq!(signing.fixture.broker.stop(), Some(0));
    rest(stream);
    let log = signing.fixture.broker.log();
    assert!(!log.contains("connections were closed before their requests finished"), "{log}");
    drop(running);
}

/// Prints what a broker needs for 500 open timelines. They look at their grants once a second.
#[test]
#[ignore = "a measurement"]
fn memory_of_500_open_timelines() {
    let signing = asking(ONE);
    let (running, id) = waiting(&signing, &[]);
    let cookies = cookies(&signing, "alice");
    let broker = signing.fixture.broker.pid();
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{broker}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let mut streams: Vec<_> = (0..500).map(|_| opened(&signing, &cookies, &id)).collect();
    for stream in &mut streams {
        read_until(stream, "data: pending_approval");
    }
    println!("{before} kB before, {} kB with {} open timelines", resident(), streams.len());
    drop(running);
}

//! A broker that receives a stop signal first reports that it is not ready, and then finishes its requests.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use system_tests::broker::{Broker, NO_RATE_LIMIT};
use system_tests::client::kill;
use system_tests::fixture::{Fixture, registration};
use system_tests::http;
use system_tests::waiting::eventually;

fn terminate(broker: &Broker) {
    kill(broker.pid().cast_signed(), "TERM");
}

#[test]
fn stopping_broker_is_not_ready_but_still_elevates_and_revokes() {
    let mut fixture =
        Fixture::with(Broker::launched_by(&[], &format!("{NO_RATE_LIMIT}\nshutdown_grace = \"1h\"")));
    let grant = fixture.elevate().expect(201).text_at("/id").to_owned();
    terminate(&fixture.broker);
    let unready = eventually("the end of readiness", || {
        let answer = http::send(fixture.broker.request(Method::GET, "/readyz"));
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(unready.text_at("/detail"), "the broker is stopping");
    http::send(fixture.broker.request(Method::GET, "/healthz")).expect(200);
    let another = fixture.elevate().expect(201).text_at("/id").to_owned();
    for id in [grant, another] {
        let back = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{id}"));
        http::send(back.bearer_auth(&fixture.agent.auth_token)).expect(200);
    }
    // The second signal ends the grace period, which is an hour in this test.
    assert_eq!(fixture.broker.stop(), Some(0));
}

#[test]
fn request_in_flight_is_answered_after_the_listener_closed() {
    let mut fixture = Fixture::start();
    let body = registration("late-agent", fixture.provider.issuer());
    let (first, last) = body.split_at(10);
    let address = fixture.broker.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /v2/agents HTTP/1.1\r\nHost: broker\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/toml\r\nContent-Length: {}\r\n\r\n{first}",
        fixture.broker.operator_token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The broker has read the request when it answers a later one.
    http::send(fixture.broker.request(Method::GET, "/healthz")).expect(200);
    terminate(&fixture.broker);
    eventually("the end of listening", || TcpStream::connect(&address).err());
    stream.write_all(last.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    eventually("the end", || fixture.broker.log().contains("stopped").then_some(()));
    fixture.broker.restart();
    fixture.broker.operator(Method::GET, "/v2/agents/late-agent").expect(200);
}

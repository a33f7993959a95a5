//! A broker killed with `kill -9` at many moments never restarts with more live grants than the client holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;
use system_tests::lossy_proxy::LossyProxy;
use system_tests::waiting::{at, eventually, eventually_within};

const WAITS: &str =
    "echo $CLOUDANIX_GRANT_ID > grant; until test -e go || ! test -e grant; do sleep 0.01; done";
const BLOWS: u32 = 12;

/// When to kill the broker after the client has sent a request: from at once to shortly after the response, which takes
/// `whole` without a kill.
fn moment(blow: u32, whole: Duration) -> Duration {
    whole * blow / (BLOWS - 3)
}

/// Measures an elevation by a newly started broker, the state before each kill.
fn cold_elevation(fixture: &mut Fixture) -> Duration {
    fixture.broker.restart();
    let (key, body) = (new_key(), fixture.body());
    let request = fixture.elevation(&key, &body);
    let began = Instant::now();
    http::send(request).expect(201);
    let took = began.elapsed();
    let undo = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit?idempotency_key={key}"));
    http::send(undo.bearer_auth(&fixture.agent.auth_token)).expect(200);
    fixture.broker.restart();
    took
}

/// Asserts that the timeline of every grant is intact and that no grant exists twice.
#[track_caller]
fn assert_whole(fixture: &Fixture, keys: usize) {
    let grants = fixture.broker.given();
    assert!(grants.len() <= keys, "{keys} requests, {} grants", grants.len());
    for grant in grants {
        fixture.broker.timeline(grant["id"].as_str().unwrap());
    }
}

#[test]
fn kill_during_elevate_leaves_the_client_with_the_one_live_grant() {
    let mut fixture = Fixture::start();
    let proxy_to = fixture.broker.url().to_owned();
    let whole = cold_elevation(&mut fixture);
    let mut lost = 0;
    for blow in 0..BLOWS {
        let proxy = LossyProxy::in_front_of(&proxy_to);
        let step = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", WAITS];
        let mut running = fixture.client_at(&proxy.url(), &step).start();
        let sent = eventually("the request", || proxy.carried("POST /v2/agentic/jit "));
        at(sent + moment(blow, whole));
        fixture.broker.kill();
        fixture.broker.restart();
        let held = running.line_in("grant");
        let live = fixture.broker.live();
        assert_eq!(live.len(), 1, "blow {blow}: {live:?}");
        assert_eq!(live[0]["id"], *held, "blow {blow}");
        lost += usize::from(proxy.count("POST /v2/agentic/jit ") > 1);
        running.touch("go");
        running.finish().assert_code(0);
        fixture.broker.wait_until_nothing_is_live();
        assert_whole(&fixture, blow as usize + 2);
    }
    assert!(lost > 0, "no blow came before the answer: nothing was tested");
}

#[test]
fn kill_during_revoke_still_ends_the_grant() {
    let mut fixture = Fixture::start();
    let proxy_to = fixture.broker.url().to_owned();
    let id = fixture.elevate().expect(201).text_at("/id").to_owned();
    let began = Instant::now();
    fixture.broker.operator(Method::DELETE, &format!("/v2/agentic/jit/{id}")).expect(200);
    let whole = began.elapsed();
    let mut lost = 0;
    for blow in 0..BLOWS {
        let proxy = LossyProxy::in_front_of(&proxy_to);
        let step = ["run", "--policy", "orders-read", "--ttl", "15m", "--", "true"];
        let running = fixture.client_at(&proxy.url(), &step).start();
        let sent = eventually("the revoke", || proxy.carried("DELETE "));
        at(sent + moment(blow, whole));
        fixture.broker.kill();
        fixture.broker.restart();
        running.finish().assert_code(0);
        fixture.broker.wait_until_nothing_is_live();
        assert_whole(&fixture, blow as usize + 2);
        lost += usize::from(proxy.count("DELETE ") > 1);
    }
    assert!(lost > 0, "no blow came before the answer: nothing was tested");
    for grant in fixture.broker.given().iter().filter(|grant| grant["id"] != id) {
        assert_eq!(grant["end_reason"], "step finished · exit 0");
    }
}

/// The client does not retry: the broker rolls back what it had begun when it was killed, or the grant ends without
/// heartbeats, unless the client has the response.
#[test]
fn kill_under_a_vanished_client_leaves_nothing() {
    let mut fixture = Fixture::with(system_tests::broker::Broker::with_heartbeat("1s"));
    let whole = cold_elevation(&mut fixture);
    let address = fixture.broker.url().trim_start_matches("http://").to_owned();
    let mut keys = Vec::new();
    for blow in 0..BLOWS {
        let key = new_key();
        let mut body = fixture.body();
        body["heartbeat"] = json!(true);
        let body = body.to_string();
        let mut request = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /v2/agentic/jit HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            fixture.agent.auth_token,
            body.len()
        );
        request.write_all(head.as_bytes()).unwrap();
        request.write_all(body.as_bytes()).unwrap();
        at(Instant::now() + moment(blow, whole));
        fixture.broker.kill();
        fixture.broker.restart();
        keys.push(key);
    }
    // The claim of a dead broker lapses after half a minute.
    eventually_within(Duration::from_secs(50), "the end of everything", || {
        fixture.broker.live().is_empty().then_some(())
    });
    assert_whole(&fixture, keys.len() + 1);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    // The oldest grant, which is the last in the list, is the one of the measurement.
    let given = fixture.broker.given();
    for grant in given.iter().take(given.len() - 1) {
        *reasons.entry(grant["end_reason"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    println!("{} requests, {reasons:?}", keys.len());
    assert!(!reasons.is_empty(), "every blow came before the broker had begun: nothing was tested");
    for reason in reasons.keys() {
        assert!(
            ["never acknowledged · rolled back", "no heartbeat within the lease"].contains(&reason.as_str()),
            "{reasons:?}"
        );
    }
}

#[test]
fn kill_while_disabling_an_agent_still_ends_its_grants() {
    let mut fixture = Fixture::start();
    let tokens: Vec<String> =
        (0..20).map(|_| fixture.elevate().expect(201).text_at("/credentials/token").to_owned()).collect();
    assert_eq!(fixture.broker.live().len(), 20);
    let url = format!("{}/v2/agents/{}/disable", fixture.broker.url(), fixture.agent.id);
    let operator = fixture.broker.operator_token().to_owned();
    let disabling = std::thread::spawn(move || {
        let request = http::request(Method::POST, &url).bearer_auth(operator);
        drop(http::try_send(request));
    });
    // Kills the broker as soon as the first grant has ended, so that most have not.
    eventually("the first end", || (fixture.broker.live().len() < 20).then_some(()));
    fixture.broker.kill();
    disabling.join().unwrap();
    fixture.broker.restart();
    eventually_within(Duration::from_secs(45), "the end of everything", || {
        fixture.broker.live().is_empty().then_some(())
    });
    for token in tokens {
        assert_eq!(fixture.broker.introspect(&token), json!({"active": false}));
    }
    // The restarted broker does not know which operator disabled the agent.
    let reasons = ["agent disabled", "agent disabled by operator tests"];
    assert!(fixture.broker.given().iter().all(|grant| reasons.iter().any(|one| grant["end_reason"] == *one)));
    assert_whole(&fixture, 20);
}

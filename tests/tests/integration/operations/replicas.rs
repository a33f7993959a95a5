//! Replicas on one PostgreSQL behave as one broker: each sees the others' changes at once.

use std::thread;

use reqwest::Method;
use serde_json::json;
use system_tests::client::Client;
use system_tests::fixture::{elevation, new_key};
use system_tests::http;
use system_tests::replicas::{Replicas, kinds};

/// The number of attempts at a race that a single attempt might miss.
const ROUNDS: usize = 10;

#[test]
fn every_replica_knows_verifies_and_revokes_a_grant() {
    let replicas = Replicas::start(3, "10s");
    let all: Vec<_> = replicas.all().collect();
    let keys =
        |at: usize| http::send(all[at].request(Method::GET, "/.well-known/jwks.json")).expect(200).json;
    assert_eq!(
        keys(0)["keys"].as_array().unwrap().len(),
        1,
        "three brokers that started at once created one key"
    );
    assert!(keys(0) == keys(1) && keys(1) == keys(2));
    for round in 0..ROUNDS {
        let [giver, verifier, taker] = [round % 3, (round + 1) % 3, (round + 2) % 3].map(|at| all[at]);
        let given = replicas.elevate_at(giver).expect(201);
        let (id, token) = (given.text_at("/id"), given.text_at("/credentials/token"));
        assert_eq!(verifier.introspect(token)["active"], true);
        let path = format!("/v2/agentic/jit/{id}?cause=exit:0");
        replicas.as_agent(taker, Method::DELETE, &path).expect(200);
        for broker in [giver, verifier, taker] {
            assert_eq!(broker.introspect(token), json!({"active": false}));
        }
        let timeline = giver.timeline(id);
        let revokes = kinds(&timeline).iter().filter(|kind| *kind == "revoke").count();
        assert_eq!(revokes, 1, "{timeline}");
    }
}

#[test]
fn agent_disabled_at_one_replica_is_refused_by_all_at_once() {
    let replicas = Replicas::start(2, "10s");
    let (one, other) = (&replicas.fixture.broker, &replicas.others[0]);
    for round in 0..ROUNDS {
        let (here, there) = if round % 2 == 0 { (one, other) } else { (other, one) };
        let given = replicas.elevate_at(there).expect(201);
        here.operator(Method::POST, "/v2/agents/orders-agent/disable").expect(200);
        assert_eq!(replicas.elevate_at(there).outcome(), (403, "agent_disabled"), "round {round}");
        let active = there.introspect(given.text_at("/credentials/token"));
        assert_eq!(active, json!({"active": false}), "round {round}: its grants have ended");
        here.operator(Method::POST, "/v2/agents/orders-agent/enable").expect(200);
        replicas.elevate_at(there).expect(201);
    }
    let token = &replicas.fixture.agent.auth_token[5..17];
    one.operator(Method::DELETE, &format!("/v2/agents/orders-agent/tokens/{token}")).expect(204);
    for broker in [other, one] {
        assert_eq!(replicas.elevate_at(broker).outcome(), (401, "auth_token_invalid"));
    }
}

#[test]
fn one_request_sent_to_all_replicas_is_one_grant_with_one_end() {
    let replicas = Replicas::start(3, "10s");
    let (fixture, all) = (&replicas.fixture, replicas.all().collect::<Vec<_>>());
    for _ in 0..ROUNDS {
        let (key, body) = (new_key(), fixture.body());
        let at_once = |ask: &(dyn Fn(usize) -> http::Answer + Sync)| {
            thread::scope(|threads| {
                let asking: Vec<_> = (0..9).map(|n| threads.spawn(move || ask(n % 3))).collect();
                asking.into_iter().map(|answer| answer.join().unwrap()).collect::<Vec<_>>()
            })
        };
        let given = at_once(&|at| http::send(elevation(all[at], &fixture.agent, &key, &body)));
        let id = given[0].text_at("/id");
        for answer in &given {
            assert!(answer.status < 300 && answer.text_at("/id") == id, "{}", answer.text);
        }
        let path = format!("/v2/agentic/jit?idempotency_key={key}");
        for answer in at_once(&|at| replicas.as_agent(all[at], Method::DELETE, &path)) {
            answer.expect(200);
        }
        let timeline = all[1].timeline(id);
        let revokes = kinds(&timeline).iter().filter(|kind| *kind == "revoke").count();
        assert_eq!(revokes, 1, "{timeline}");
    }
    let counted = http::send(all[2].request(Method::GET, "/metrics")).expect(200).text;
    let expected = format!("cloudanix_jit_grants{{status=\"revoked\"}} {ROUNDS}\n");
    assert!(counted.contains(&expected), "{counted}");
}

#[test]
fn client_revokes_at_another_replica_than_it_elevated_at() {
    let replicas = Replicas::start(2, "1s");
    let fixture = &replicas.fixture;
    let step = ["elevate", "--policy", "orders-read", "--ttl", "15m", "--output", "json"];
    let given = fixture.client(&step).finish();
    given.assert_code(0);
    let id = given.json()["id"].as_str().unwrap().to_owned();
    let back = Client::new(&["revoke", &id])
        .env("CLOUDANIX_URL", replicas.others[0].url())
        .env("CLOUDANIX_AUTH_TOKEN", &fixture.agent.auth_token)
        .finish();
    back.assert_code(0);
    fixture.broker.wait_until_nothing_is_live();
    fixture.broker.timeline(&id);
}

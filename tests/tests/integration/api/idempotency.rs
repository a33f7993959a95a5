//! Each idempotency key yields at most one grant, for retries, reordered requests and early revokes.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use reqwest::Method;
use serde_json::json;
use system_tests::fixture::{Agent, Fixture, elevation, new_key};
use system_tests::http::{self, Answer};

fn revoke(fixture: &Fixture, agent: &Agent, what: &str) -> Answer {
    let request = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit{what}"));
    http::send(request.bearer_auth(&agent.auth_token))
}

fn by_key(fixture: &Fixture, agent: &Agent, key: &str) -> Answer {
    revoke(fixture, agent, &format!("?idempotency_key={key}&cause=exit:0"))
}

#[test]
fn the_same_request_again_joins_the_grant_and_gets_credentials_again() {
    let fixture = Fixture::start();
    let (key, body) = (new_key(), fixture.body());
    let first = http::send(fixture.elevation(&key, &body)).expect(201);
    let second = http::send(fixture.elevation(&key, &body)).expect(201);
    assert_eq!(first.json["id"], second.json["id"]);
    for answer in [&first, &second] {
        let token = answer.text_at("/credentials/token");
        assert_eq!(fixture.broker.introspect(token)["active"], true);
    }
    assert_eq!(first.json["expires_at"], second.json["expires_at"], "a retry extends no deadline");
    let mut fresh = body.clone();
    fresh["oidc_token"] = json!(fixture.oidc_token());
    fresh["claimed"] = json!({"step": "2"});
    assert_eq!(
        http::send(fixture.elevation(&key, &fresh)).expect(201).json["id"],
        first.json["id"],
        "a fresh token or other client claims do not change the request"
    );
    assert_eq!(fixture.broker.given().len(), 1);
}

#[test]
fn the_same_key_for_another_request_is_a_conflict() {
    let fixture = Fixture::start();
    let (key, body) = (new_key(), fixture.body());
    let first = http::send(fixture.elevation(&key, &body)).expect(201);
    for (field, value) in [
        ("policies", json!(["orders-write"])),
        ("policies", json!(["orders-read", "orders-write"])),
        ("ttl", json!("16m")),
        ("reason", json!("another")),
        ("heartbeat", json!(true)),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let answer = http::send(fixture.elevation(&key, &other));
        assert_eq!(answer.outcome(), (409, "idempotency_conflict"), "{field}");
    }
    assert_eq!(fixture.broker.live().len(), 1);
    assert_eq!(fixture.broker.live()[0]["id"], first.json["id"]);
}

#[test]
fn each_agent_has_its_own_idempotency_keys() {
    let fixture = Fixture::start();
    let other = fixture.another_agent("billing-agent");
    let (key, body) = (new_key(), fixture.body());
    let first = http::send(fixture.elevation(&key, &body)).expect(201);
    assert_eq!(by_key(&fixture, &other, &key).outcome(), (404, "grant_not_found"));
    assert_eq!(fixture.broker.live().len(), 1, "another agent's revoke with the same key ends no grant");
    let mut theirs = body;
    theirs["agent_id"] = json!(other.id);
    let refused = http::send(elevation(&fixture.broker, &other, &key, &theirs));
    // The second agent revoked this key before it elevated: its key is a tombstone, and the first agent's is not.
    assert_ne!(refused.json["id"], first.json["id"]);
    assert_ne!(refused.status, 201);
    http::send(fixture.elevation(&key, &fixture.body())).expect(201);
}

#[test]
fn twenty_at_once_get_one_grant() {
    let fixture = Fixture::start();
    let (key, body) = (new_key(), fixture.body());
    let together = Barrier::new(20);
    let answers: Vec<Answer> = thread::scope(|threads| {
        let asking: Vec<_> = (0..20)
            .map(|_| {
                threads.spawn(|| {
                    let request = fixture.elevation(&key, &body);
                    together.wait();
                    http::send(request)
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let ids: BTreeSet<String> = answers.iter().map(|answer| answer.text_at("/id").to_owned()).collect();
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(fixture.broker.given().len(), 1);
    fixture.broker.timeline(ids.first().unwrap());
}

#[test]
fn elevations_and_revokes_of_one_key_in_any_order_leave_nothing_live() {
    let fixture = Fixture::start();
    for _ in 0..10 {
        let (key, body) = (new_key(), fixture.body());
        let together = Barrier::new(8);
        thread::scope(|threads| {
            for n in 0..8 {
                let (fixture, key, body, together) = (&fixture, &key, &body, &together);
                threads.spawn(move || {
                    let request = fixture.elevation(key, body);
                    together.wait();
                    let status = if n % 2 == 0 {
                        http::send(request).status
                    } else {
                        by_key(fixture, &fixture.agent, key).status
                    };
                    assert!([200, 201, 202, 404, 409].contains(&status), "{status}");
                });
            }
        });
        fixture.broker.wait_until_nothing_is_live();
        assert_eq!(http::send(fixture.elevation(&key, &body)).outcome(), (409, "grant_ended"));
    }
    for grant in fixture.broker.given() {
        fixture.broker.timeline(grant["id"].as_str().unwrap());
    }
}

#[test]
fn a_request_that_comes_after_its_own_revoke_gets_nothing() {
    let mut fixture = Fixture::start();
    let (key, body) = (new_key(), fixture.body());
    assert_eq!(by_key(&fixture, &fixture.agent, &key).outcome(), (404, "grant_not_found"));
    assert_eq!(http::send(fixture.elevation(&key, &body)).outcome(), (409, "grant_ended"));
    fixture.broker.kill();
    fixture.broker.restart();
    assert_eq!(
        http::send(fixture.elevation(&key, &body)).outcome(),
        (409, "grant_ended"),
        "nor after a crash"
    );
    assert!(fixture.broker.given().is_empty());
}

#[test]
fn repeated_revokes_end_a_grant_once() {
    let fixture = Fixture::start();
    let key = new_key();
    let given = http::send(fixture.elevation(&key, &fixture.body())).expect(201);
    let (id, token) = (given.text_at("/id"), given.text_at("/credentials/token"));
    let first = revoke(&fixture, &fixture.agent, &format!("/{id}?cause=exit:3")).expect(200);
    assert_eq!(
        (first.text_at("/status"), first.text_at("/end_reason")),
        ("revoked", "step finished · exit 3")
    );
    assert_eq!(fixture.broker.introspect(token), json!({"active": false}));
    for again in [
        revoke(&fixture, &fixture.agent, &format!("/{id}?cause=asked")),
        by_key(&fixture, &fixture.agent, &key),
        fixture.broker.operator(Method::DELETE, &format!("/v2/agentic/jit/{id}")),
    ] {
        let again = again.expect(200);
        assert_eq!(again.json["ended_at"], first.json["ended_at"]);
        assert_eq!(
            again.text_at("/end_reason"),
            "step finished · exit 3",
            "the first revoke decides the end reason"
        );
    }
    let timeline = fixture.broker.timeline(id);
    let revokes =
        timeline["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "revoke").count();
    assert_eq!(revokes, 1, "{timeline}");
    fixture.client(&["revoke", id]).finish().assert_code(0);
}

#[test]
fn another_agents_grant_is_not_there() {
    let fixture = Fixture::start();
    let other = fixture.another_agent("billing-agent");
    let key = new_key();
    let given = http::send(fixture.elevation(&key, &fixture.body())).expect(201);
    let id = given.text_at("/id");
    let theirs = revoke(&fixture, &other, &format!("/{id}?cause=asked"));
    let unknown = revoke(&fixture, &other, "/elev-0000000000000000?cause=asked");
    assert_eq!(theirs.outcome(), (404, "grant_not_found"));
    assert_eq!(theirs.text, unknown.text, "the response for another agent's grant equals that for none");
    assert_eq!(fixture.broker.live().len(), 1);
}

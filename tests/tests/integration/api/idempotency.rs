//! Is one request one grant, however often and in whatever order it and its revoke arrive?

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use reqwest::Method;
use serde_json::json;
use system_tests::http::{self, Answer};
use system_tests::scene::{Agent, Scene, elevation, new_key};

fn revoke(scene: &Scene, agent: &Agent, what: &str) -> Answer {
    let request = scene.broker.request(Method::DELETE, &format!("/v2/agentic/jit{what}"));
    http::send(request.bearer_auth(&agent.auth_token))
}

fn by_key(scene: &Scene, agent: &Agent, key: &str) -> Answer {
    revoke(scene, agent, &format!("?idempotency_key={key}&cause=exit:0"))
}

#[test]
fn the_same_request_again_joins_the_grant_and_gets_credentials_again() {
    let scene = Scene::set();
    let (key, body) = (new_key(), scene.body());
    let first = http::send(scene.elevation(&key, &body)).expect(201);
    let second = http::send(scene.elevation(&key, &body)).expect(201);
    assert_eq!(first.json["id"], second.json["id"]);
    for answer in [&first, &second] {
        let token = answer.text_at("/credentials/token");
        assert_eq!(scene.broker.introspect(token)["active"], true);
    }
    assert_eq!(first.json["expires_at"], second.json["expires_at"], "a retry lengthens nothing");
    let mut fresh = body.clone();
    fresh["oidc_token"] = json!(scene.oidc_token());
    fresh["claimed"] = json!({"step": "2"});
    assert_eq!(
        http::send(scene.elevation(&key, &fresh)).expect(201).json["id"],
        first.json["id"],
        "a fresh token, and what the client says of its run, make no other request of it"
    );
    assert_eq!(scene.broker.given().len(), 1);
}

#[test]
fn the_same_key_for_another_request_is_a_conflict() {
    let scene = Scene::set();
    let (key, body) = (new_key(), scene.body());
    let first = http::send(scene.elevation(&key, &body)).expect(201);
    for (field, value) in [
        ("policies", json!(["orders-write"])),
        ("policies", json!(["orders-read", "orders-write"])),
        ("ttl", json!("16m")),
        ("reason", json!("another")),
        ("heartbeat", json!(true)),
    ] {
        let mut other = body.clone();
        other[field] = value;
        let answer = http::send(scene.elevation(&key, &other));
        assert_eq!(answer.outcome(), (409, "idempotency_conflict"), "{field}");
    }
    assert_eq!(scene.broker.live().len(), 1);
    assert_eq!(scene.broker.live()[0]["id"], first.json["id"]);
}

#[test]
fn a_key_is_its_agents_own() {
    let scene = Scene::set();
    let other = scene.another_agent("billing-agent");
    let (key, body) = (new_key(), scene.body());
    let first = http::send(scene.elevation(&key, &body)).expect(201);
    assert_eq!(by_key(&scene, &other, &key).outcome(), (404, "grant_not_found"));
    assert_eq!(scene.broker.live().len(), 1, "another agent's revoke by the same key touches nothing");
    let mut theirs = body;
    theirs["agent_id"] = json!(other.id);
    let refused = http::send(elevation(&scene.broker, &other, &key, &theirs));
    // Their own revoke came first: for them the key is used up, for the first agent it is not.
    assert_ne!(refused.json["id"], first.json["id"]);
    assert_ne!(refused.status, 201);
    http::send(scene.elevation(&key, &scene.body())).expect(201);
}

#[test]
fn twenty_at_once_get_one_grant() {
    let scene = Scene::set();
    let (key, body) = (new_key(), scene.body());
    let together = Barrier::new(20);
    let answers: Vec<Answer> = thread::scope(|threads| {
        let asking: Vec<_> = (0..20)
            .map(|_| {
                threads.spawn(|| {
                    let request = scene.elevation(&key, &body);
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
    assert_eq!(scene.broker.given().len(), 1);
    scene.broker.timeline(ids.first().unwrap());
}

#[test]
fn elevations_and_revokes_of_one_key_in_any_order_leave_nothing_live() {
    let scene = Scene::set();
    for _ in 0..10 {
        let (key, body) = (new_key(), scene.body());
        let together = Barrier::new(8);
        thread::scope(|threads| {
            for n in 0..8 {
                let (scene, key, body, together) = (&scene, &key, &body, &together);
                threads.spawn(move || {
                    let request = scene.elevation(key, body);
                    together.wait();
                    let status = if n % 2 == 0 {
                        http::send(request).status
                    } else {
                        by_key(scene, &scene.agent, key).status
                    };
                    assert!([200, 201, 202, 404, 409].contains(&status), "{status}");
                });
            }
        });
        scene.broker.wait_until_nothing_is_live();
        assert_eq!(http::send(scene.elevation(&key, &body)).outcome(), (409, "grant_ended"));
    }
    for grant in scene.broker.given() {
        scene.broker.timeline(grant["id"].as_str().unwrap());
    }
}

#[test]
fn a_request_that_comes_after_its_own_revoke_gets_nothing() {
    let mut scene = Scene::set();
    let (key, body) = (new_key(), scene.body());
    assert_eq!(by_key(&scene, &scene.agent, &key).outcome(), (404, "grant_not_found"));
    assert_eq!(http::send(scene.elevation(&key, &body)).outcome(), (409, "grant_ended"));
    scene.broker.kill();
    scene.broker.restart();
    assert_eq!(http::send(scene.elevation(&key, &body)).outcome(), (409, "grant_ended"), "nor after a crash");
    assert!(scene.broker.given().is_empty());
}

#[test]
fn a_grant_can_be_given_back_as_often_as_one_likes_and_ends_once() {
    let scene = Scene::set();
    let key = new_key();
    let given = http::send(scene.elevation(&key, &scene.body())).expect(201);
    let (id, token) = (given.text_at("/id"), given.text_at("/credentials/token"));
    let first = revoke(&scene, &scene.agent, &format!("/{id}?cause=exit:3")).expect(200);
    assert_eq!(
        (first.text_at("/status"), first.text_at("/end_reason")),
        ("revoked", "step finished · exit 3")
    );
    assert_eq!(scene.broker.introspect(token), json!({"active": false}));
    for again in [
        revoke(&scene, &scene.agent, &format!("/{id}?cause=asked")),
        by_key(&scene, &scene.agent, &key),
        scene.broker.operator(Method::DELETE, &format!("/v2/agentic/jit/{id}")),
    ] {
        let again = again.expect(200);
        assert_eq!(again.json["ended_at"], first.json["ended_at"]);
        assert_eq!(again.text_at("/end_reason"), "step finished · exit 3", "who came first is right");
    }
    let timeline = scene.broker.timeline(id);
    let revokes =
        timeline["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "revoke").count();
    assert_eq!(revokes, 1, "{timeline}");
    scene.client(&["revoke", id]).finish().assert_code(0);
}

#[test]
fn another_agents_grant_is_not_there() {
    let scene = Scene::set();
    let other = scene.another_agent("billing-agent");
    let key = new_key();
    let given = http::send(scene.elevation(&key, &scene.body())).expect(201);
    let id = given.text_at("/id");
    let theirs = revoke(&scene, &other, &format!("/{id}?cause=asked"));
    let nobodys = revoke(&scene, &other, "/elev-0000000000000000?cause=asked");
    assert_eq!(theirs.outcome(), (404, "grant_not_found"));
    assert_eq!(theirs.text, nobodys.text, "nothing tells a grant of another's from none");
    assert_eq!(scene.broker.live().len(), 1);
}

//! Rules on three replicas: all decide by the same set, whenever one of them dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use reqwest::Method;
use serde_json::json;
use system_tests::fixture::{elevation, new_key};
use system_tests::http;
use system_tests::replicas::Replicas;

use super::{PERMIT, apply, post};

/// The number of attempts at a race that a single attempt might miss.
const ROUNDS: usize = 5;
const CLOSED: &str = r#"@id("all") permit (principal, action, resource);
@id("closed") forbid (principal, action, resource);"#;

/// A replica is killed while it promotes a set, under requests at all replicas. From the moment that one replica has
/// decided by the new set, none decides by the old one.
#[test]
fn no_replica_decides_by_rules_that_are_not_active_any_more() {
    let mut replicas = Replicas::start(3, "10s");
    apply(&replicas.fixture.broker, PERMIT);
    for round in 0..ROUNDS {
        let candidate = json!({"files": {"rules.cedar": CLOSED}, "role": "candidate"});
        post(&replicas.others[0], "/v2/rules", &candidate).expect(200);
        let seen_new = AtomicBool::new(false);
        let stop = AtomicBool::new(false);
        let (fixture, others) = (&replicas.fixture, &replicas.others);
        thread::scope(|threads| {
            for broker in [&fixture.broker, &others[0]] {
                let (seen_new, stop, body) = (&seen_new, &stop, fixture.body());
                threads.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let before = seen_new.load(Ordering::SeqCst);
                        let answer = http::send(elevation(broker, &fixture.agent, &new_key(), &body));
                        match answer.outcome() {
                            (201, _) => assert!(!before, "round {round}: granted by the old rules"),
                            (403, "rule_denied") => seen_new.store(true, Ordering::SeqCst),
                            other => panic!("round {round}: {other:?} {}", answer.text),
                        }
                    }
                });
            }
            let promoting = threads.spawn(|| {
                let request = others[1].request(Method::POST, "/v2/rules/promote");
                // The replica may die before it answers.
                let _ = http::try_send(request.bearer_auth(others[1].operator_token()));
            });
            system_tests::client::kill(others[1].pid().cast_signed(), "KILL");
            promoting.join().unwrap();
            // Promoted or not: another replica finishes it.
            let promoted = post(&others[0], "/v2/rules/promote", &json!({}));
            assert!([200, 404].contains(&promoted.status), "{}", promoted.text);
            while !seen_new.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
        });
        // What was granted by the old rules has ended, since the new ones refuse it.
        replicas.fixture.broker.wait_until_nothing_is_live();
        replicas.others[1].restart();
        let state = replicas.others[1].operator(Method::GET, "/v2/rules").expect(200).json;
        assert_eq!(state["candidate"], json!(null), "round {round}");
        apply(&replicas.others[1], PERMIT);
        assert_eq!(replicas.elevate_at(&replicas.fixture.broker).status, 201, "round {round}");
    }
}

#[test]
fn two_requests_of_one_run_at_two_replicas_are_not_both_the_first() {
    let replicas = Replicas::start(2, "10s");
    let (one, other) = (&replicas.fixture.broker, &replicas.others[0]);
    apply(
        one,
        r#"@id("all") permit (principal, action, resource);
@id("once") forbid (principal, action, resource) when { context.run.live >= 1 };"#,
    );
    for round in 0..ROUNDS {
        let answers: Vec<_> = thread::scope(|threads| {
            let asking: Vec<_> = [one, other, one, other]
                .into_iter()
                .map(|broker| threads.spawn(|| replicas.elevate_at(broker)))
                .collect();
            asking.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        let granted: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        let texts: Vec<_> = answers.iter().map(|answer| answer.text.as_str()).collect();
        assert_eq!(granted.len(), 1, "round {round}: {texts:?}");
        let path = format!("/v2/agentic/jit/{}", granted[0].text_at("/id"));
        one.operator(Method::DELETE, &path).expect(200);
    }
}

//! An issuer rotates its keys under load without a failed request, and the broker refuses withdrawn keys.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use system_tests::fixture::{AUDIENCE, Fixture, job_claims, new_key};
use system_tests::http::{self, Answer};
use system_tests::oidc_provider::{Key, OldKeys, Outage, Token};
use system_tests::waiting::{eventually, eventually_within};

/// The broker refetches an issuer's keys for an unknown key at most once in this time.
const REFETCH: Duration = Duration::from_secs(30);

fn elevate_with(fixture: &Fixture, oidc_token: &str) -> Answer {
    let mut body = fixture.body();
    body["oidc_token"] = json!(oidc_token);
    http::send(fixture.elevation(&new_key(), &body))
}

fn job(fixture: &Fixture, name: &str, key: Key) -> String {
    fixture.provider.mint(&Token::with_claims(job_claims(name)).audience(AUDIENCE).signed_by(key)).unwrap()
}

#[test]
fn keys_rotated_under_load_are_accepted_exactly_while_published() {
    let fixture = Fixture::start();
    let over = AtomicBool::new(false);
    let (given, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let longest = thread::scope(|threads| {
        let clients: Vec<_> = (0..8)
            .map(|n| {
                let (fixture, over, given, refused) = (&fixture, &over, &given, &refused);
                threads.spawn(move || {
                    let mut longest = Duration::ZERO;
                    let mut refused_since: Option<Instant> = None;
                    let mut round = 0;
                    while !over.load(Ordering::Relaxed) {
                        round += 1;
                        let answer =
                            elevate_with(fixture, &job(fixture, &format!("job-{n}-{round}"), Key::Current));
                        match answer.outcome() {
                            (201, _) => {
                                given.fetch_add(1, Ordering::Relaxed);
                                longest = longest
                                    .max(refused_since.take().map_or(Duration::ZERO, |at| at.elapsed()));
                            }
                            // The broker answers "try again" with a delay, which our client handles by itself.
                            (503, "issuer_unavailable") => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"));
                                refused_since.get_or_insert_with(Instant::now);
                                thread::sleep(Duration::from_millis(100));
                            }
                            other => panic!("{other:?}: {}", answer.text),
                        }
                    }
                    assert!(refused_since.is_none(), "the broker still refuses a published key");
                    longest
                })
            })
            .collect();

        let more_given = |what: &str| {
            let before = given.load(Ordering::Relaxed);
            eventually_within(REFETCH + Duration::from_secs(10), what, || {
                (given.load(Ordering::Relaxed) > before + 40).then_some(())
            });
        };
        more_given("grants before a rotation");
        fixture.provider.rotate(OldKeys::Kept).unwrap();
        more_given("grants after a rotation with an overlap");
        let overlapping = elevate_with(&fixture, &job(&fixture, "overlap", Key::Previous));
        assert_eq!(overlapping.status, 201, "the broker accepts a published key: {}", overlapping.text);
        assert_eq!(
            refused.load(Ordering::Relaxed),
            0,
            "the broker refused a request during the first rotation"
        );

        fixture.provider.rotate_to("ES256", OldKeys::Removed).unwrap();
        more_given("grants after a rotation without an overlap");
        // The broker has accepted the new key, so it has the new key set and refuses the old key.
        let withdrawn = job(&fixture, "withdrawn", Key::Previous);
        let first = elevate_with(&fixture, &withdrawn);
        assert_ne!(first.status, 201, "{}", first.text);
        eventually_within(REFETCH + Duration::from_secs(10), "a final no", || {
            let answer = elevate_with(&fixture, &withdrawn);
            assert_ne!(answer.status, 201, "{}", answer.text);
            (answer.outcome() == (401, "oidc_token_invalid")).then_some(())
        });
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).max().unwrap()
    });
    println!(
        "{} given, {} asked to wait, longest {longest:?}",
        given.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed)
    );
    assert!(longest < REFETCH + Duration::from_secs(5), "{longest:?}");
    // Eight busy clients for a minute cause only a few requests to the issuer.
    let fetches = fixture.provider.fetches().unwrap();
    assert!(fetches.jwks <= 8, "{fetches:?}");
}

#[test]
fn a_provider_that_is_down_does_not_stop_those_whose_keys_are_known() {
    let fixture = Fixture::start();
    fixture.elevate().expect(201);
    for outage in [Outage::Refused, Outage::Silent, Outage::Error] {
        fixture.provider.stop_answering(outage).unwrap();
        fixture.elevate().expect(201);
    }
}

#[test]
fn unreachable_issuer_is_answered_with_retry_later() {
    let fixture = Fixture::start();
    fixture.provider.stop_answering(Outage::Error).unwrap();
    assert_eq!(fixture.elevate().outcome(), (503, "issuer_unavailable"));
    assert_eq!(fixture.broker.given().len(), 0);
    fixture.provider.answer_again().unwrap();
    eventually("a grant, once the provider is back", || (fixture.elevate().status == 201).then_some(()));
}

#[test]
fn our_client_waits_until_a_provider_is_back() {
    let fixture = Fixture::start();
    fixture.provider.stop_answering(Outage::Error).unwrap();
    let mut running = fixture
        .client(&["run", "--policy", "orders-read", "--ttl", "15m", "--", "sh", "-c", "echo ran > ran"])
        .start();
    eventually("a retry", || running.stderr().contains("HTTP 503").then_some(()));
    fixture.provider.answer_again().unwrap();
    assert_eq!(running.line_in("ran"), "ran");
    running.finish().assert_code(0);
}

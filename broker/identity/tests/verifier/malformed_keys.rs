//! A flood of tokens with unknown keys does not delay tokens with known keys.

use std::sync::Arc;
use std::time::Duration;

use identity::{Http, Options, Refused, Verifier};
use protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::local_issuer::{DISCOVERY, LocalIssuer};
use crate::signed::{Key, Pair, agent, claims_with, now, rule, secret, signed_part};

struct Fixture {
    local: LocalIssuer,
    verifier: Verifier,
}

impl Fixture {
    /// An issuer whose key `good` is cached.
    async fn start() -> Arc<Self> {
        let local = LocalIssuer::start(&[good()]).await;
        let fixture =
            Arc::new(Self { local, verifier: Verifier::new(Http::new(None).unwrap(), Options::default()) });
        fixture.verify(&good(), 0).await.unwrap();
        fixture
    }

    async fn verify(&self, key: &Key, second: u64) -> Result<(), Refused> {
        self.present(&key.sign(&self.claims(second)), second).await
    }

    /// An unsigned token with an unknown `kid`.
    async fn garbage(&self, kid: &str, second: u64) -> Result<(), Refused> {
        let header = json!({ "alg": "EdDSA", "kid": kid }).to_string();
        let signed = signed_part(&header, &self.claims(second).to_string());
        self.present(&format!("{signed}.AAAA"), second).await
    }

    fn claims(&self, second: u64) -> Value {
        let at = at(second).as_secs();
        let mut claims = claims_with(&self.local.url, "iat", at.into());
        claims["exp"] = (at + 300).into();
        claims
    }

    async fn present(&self, token: &str, second: u64) -> Result<(), Refused> {
        let rules = [rule(&self.local.url)];
        self.verifier.verify(&secret(token), &agent(), &rules, at(second)).await.map(|_| ())
    }

    /// Presents ten tokens at once, each with another `kid`, without waiting for the results.
    fn flood(self: &Arc<Self>, second: u64) -> JoinSet<Result<(), Refused>> {
        let mut flood = JoinSet::new();
        for n in 0..10 {
            let fixture = Arc::clone(self);
            flood.spawn(async move { fixture.garbage(&format!("garbage-{second}-{n}"), second).await });
        }
        flood
    }

    /// Waits until the issuer has had so many requests.
    async fn until_asked(&self, times: usize) {
        while self.local.asked(DISCOVERY) < times {
            tokio::task::yield_now().await;
        }
    }
}

fn at(second: u64) -> Timestamp {
    now().plus(Duration::from_secs(second))
}

fn good() -> Key {
    Key::new(Pair::Ec, "good")
}

async fn all_refused(flood: JoinSet<Result<(), Refused>>) {
    for verified in flood.join_all().await {
        let code = verified.unwrap_err().code();
        assert!(matches!(code, ErrorCode::OidcTokenInvalid | ErrorCode::IssuerUnavailable), "{code:?}");
    }
}

#[tokio::test]
async fn known_keys_work_during_a_flood_of_unknown_ones() {
    let fixture = Fixture::start().await;
    // Twenty minutes, in which good and bad tokens cause refreshes in turn.
    for second in (1..1200).step_by(13) {
        all_refused(fixture.flood(second)).await;
        fixture.verify(&good(), second).await.unwrap();
    }
    let asked = fixture.local.asked(DISCOVERY);
    assert!((2..=1200 / 30 + 3).contains(&asked), "{asked}");
}

#[tokio::test]
async fn known_keys_do_not_wait_for_fetches_of_a_flood() {
    let fixture = Fixture::start().await;
    for (second, asked) in [(1, 2), (601, 3)] {
        fixture.local.closes();
        // The second time the keys are stale, and a bad token causes the refresh.
        let flood = fixture.flood(second);
        fixture.until_asked(asked).await;
        let known = good();
        for second in [second, second + 1] {
            tokio::select! {
                biased;
                verified = fixture.verify(&known, second) => verified.unwrap(),
                () = std::future::ready(()) => panic!("second {second}: waits for somebody else's fetch"),
            }
        }
        assert_eq!(fixture.local.asked(DISCOVERY), asked);
        fixture.local.opens();
        all_refused(flood).await;
    }
}

#[tokio::test]
async fn known_keys_work_during_a_flood_and_an_outage() {
    let fixture = Fixture::start().await;
    fixture.local.is_down();
    for second in (1..600 + 3600).step_by(97) {
        all_refused(fixture.flood(second)).await;
        fixture.verify(&good(), second).await.unwrap();
    }
}

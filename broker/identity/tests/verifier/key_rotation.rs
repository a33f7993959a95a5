//! Key rotation, refreshes of the cache, and outages of the issuer.

use std::time::Duration;

use identity::{Http, Options, Refused, Verifier};
use protocol::{ErrorCode, Timestamp};
use tokio::task::JoinSet;

use crate::local_issuer::{DISCOVERY, KEYS, LocalIssuer};
use crate::signed::{Key, Pair, agent, claims_with, now, rule, secret};

struct Fixture {
    local: LocalIssuer,
    verifier: Verifier,
}

impl Fixture {
    async fn start(keys: &[Key]) -> Self {
        let verifier = Verifier::new(Http::new(None).unwrap(), Options::default());
        Self { local: LocalIssuer::start(keys).await, verifier }
    }

    /// Verifies a token of this time, signed with `key`.
    async fn verify(&self, key: &Key, seconds: u64) -> Result<(), Refused> {
        self.verify_at(key, now().plus(Duration::from_secs(seconds))).await
    }

    async fn verify_at(&self, key: &Key, at: Timestamp) -> Result<(), Refused> {
        let mut claims = claims_with(&self.local.url, "iat", at.as_secs().into());
        claims["exp"] = (at.as_secs() + 300).into();
        let token = secret(&key.sign(&claims));
        self.verifier.verify(&token, &agent(), &[rule(&self.local.url)], at).await.map(|_| ())
    }
}

fn ec(kid: impl Into<Option<&'static str>>) -> Key {
    Key::new(Pair::Ec, kid)
}

fn ed(kid: impl Into<Option<&'static str>>) -> Key {
    Key::new(Pair::Ed25519, kid)
}

#[tokio::test]
async fn a_rotated_key_works_with_its_first_token() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    fixture.local.publishes(&[ec("1"), ed("2")]);
    fixture.verify(&ed("2"), 1).await.unwrap();
    assert_eq!(fixture.local.asked(KEYS), 2);
}

#[tokio::test]
async fn unknown_keys_have_the_issuer_asked_once_in_30_seconds() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    let refused = fixture.verify(&ed("x"), 1).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OidcTokenInvalid, "{refused}");
    for second in 2..31 {
        let refused = fixture.verify(&ed("y"), second).await.unwrap_err();
        // The token may be valid, so the client may retry.
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
        assert!(refused.to_string().contains("again from 2026-06-08T14:00:45.000Z"), "{refused}");
        fixture.verify(&ec("1"), second).await.expect("known keys are not held up");
    }
    assert_eq!(fixture.local.asked(KEYS), 2);
    fixture.local.publishes(&[ec("1"), ed("y")]);
    fixture.verify(&ed("y"), 31).await.unwrap();
    assert_eq!(fixture.local.asked(KEYS), 3);
}

#[tokio::test]
async fn keys_without_kid_rotate_and_bad_signatures_cause_no_extra_fetch() {
    let fixture = Fixture::start(&[ec(None)]).await;
    fixture.verify(&ec(None), 0).await.unwrap();
    fixture.local.publishes(&[ed(None)]);
    fixture.verify(&ed(None), 1).await.unwrap();
    let refused = fixture.verify(&ec(None), 2).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OidcTokenInvalid, "{refused}");
    assert_eq!(fixture.local.asked(KEYS), 2);
}

#[tokio::test]
async fn concurrent_callers_share_one_fetch() {
    let fixture = std::sync::Arc::new(Fixture::start(&[ec("1")]).await);
    for (key, second, asked) in [(ec("1"), 0, 1), (ed("2"), 1, 2)] {
        fixture.local.publishes(&[ec("1"), ed("2")]);
        if second == 0 {
            fixture.local.publishes(&[ec("1")]);
        }
        fixture.local.closes();
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let (fixture, key) = (std::sync::Arc::clone(&fixture), key.clone());
            crowd.spawn(async move { fixture.verify(&key, second).await });
        }
        while fixture.local.asked(DISCOVERY) < asked {
            tokio::task::yield_now().await;
        }
        fixture.local.opens();
        for verified in crowd.join_all().await {
            verified.unwrap();
        }
        assert_eq!((fixture.local.asked(DISCOVERY), fixture.local.asked(KEYS)), (asked, asked));
    }
}

#[tokio::test]
async fn a_fetch_completes_after_its_caller_is_cancelled() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    fixture.local.publishes(&[ec("1"), ed("2")]);
    fixture.local.closes();
    let rotated = ed("2");
    tokio::select! {
        biased;
        verified = fixture.verify(&rotated, 1) => panic!("answered by a closed issuer: {verified:?}"),
        () = async { while fixture.local.asked(DISCOVERY) < 2 { tokio::task::yield_now().await } } => {}
    }
    fixture.local.opens();
    fixture.verify(&ed("2"), 2).await.unwrap();
    assert_eq!(fixture.local.asked(DISCOVERY), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_once_the_cache_is_stale() {
    let fixture = Fixture::start(&[ec("1"), ed("2")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    fixture.local.publishes(&[ed("2")]);
    fixture.verify(&ec("1"), 599).await.expect("fresh for ten minutes");
    assert_eq!(fixture.local.asked(KEYS), 1);
    let refused = fixture.verify(&ec("1"), 600).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OidcTokenInvalid, "{refused}");
}

#[tokio::test]
async fn max_age_is_clamped_to_a_minute_and_an_hour() {
    for (header, fresh) in [
        ("public, max-age=120", 120),
        ("max-age=0", 60),
        ("Max-Age=86400", 3600),
        ("no-store", 600),
        ("max-age=soon", 600),
    ] {
        let fixture = Fixture::start(&[]).await;
        fixture.local.publishes_for(&[ec("1")], header);
        fixture.verify(&ec("1"), 0).await.unwrap();
        fixture.verify(&ec("1"), fresh - 1).await.unwrap();
        assert_eq!(fixture.local.asked(KEYS), 1, "{header}");
        fixture.verify(&ec("1"), fresh).await.unwrap();
        assert_eq!(fixture.local.asked(KEYS), 2, "{header}");
    }
}

#[tokio::test]
async fn keys_outlive_an_outage_for_an_hour_and_not_longer() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    fixture.local.is_down();
    fixture.verify(&ec("1"), 600).await.unwrap();
    for second in 601..630 {
        fixture.verify(&ec("1"), second).await.unwrap();
    }
    assert_eq!(fixture.local.asked(DISCOVERY), 2, "a failed refresh is not repeated within 30 s");
    fixture.verify(&ec("1"), 600 + 3599).await.unwrap();
    let refused = fixture.verify(&ec("1"), 600 + 3600).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    fixture.local.describes(&fixture.local.url, &format!("{}{KEYS}", fixture.local.url));
    fixture.verify(&ec("1"), 600 + 3605).await.expect("back after the outage");
}

#[tokio::test]
async fn an_unknown_key_during_an_outage_is_refused_as_temporary() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.verify(&ec("1"), 0).await.unwrap();
    fixture.local.is_down();
    let refused = fixture.verify(&ed("2"), 1).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    fixture.verify(&ec("1"), 2).await.unwrap();
}

#[tokio::test]
async fn a_failed_first_fetch_is_not_repeated_for_five_seconds() {
    let fixture = Fixture::start(&[ec("1")]).await;
    fixture.local.is_down();
    for second in 0..5 {
        let refused = fixture.verify(&ec("1"), second).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    }
    assert_eq!(fixture.local.asked(DISCOVERY), 1);
    fixture.local.describes(&fixture.local.url, &format!("{}{KEYS}", fixture.local.url));
    fixture.verify(&ec("1"), 5).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_no_rule_names_is_never_asked() {
    let fixture = Fixture::start(&[ec("1")]).await;
    let token = secret(&ec("1").sign(&claims_with(&fixture.local.url, "x", 1.into())));
    for rules in [vec![], vec![rule("https://issuer.example")]] {
        let refused = fixture.verifier.verify(&token, &agent(), &rules, now()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerNotTrusted, "{refused}");
    }
    assert_eq!(fixture.local.asked_for_anything(), 0);
}

#[tokio::test]
async fn keys_are_fetched_only_from_the_urls_of_the_issuer() {
    let other = LocalIssuer::start(&[ec("1")]).await;
    let redirect = |path| Some(("location", format!("{}{path}", other.url)));
    for (what, says) in [("discovery redirects", DISCOVERY), ("keys redirect", KEYS)] {
        let fixture = Fixture::start(&[ec("1")]).await;
        fixture.local.says(says, 302, redirect(says), "");
        let refused = fixture.verify(&ec("1"), 0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{what}");
        assert!(refused.to_string().contains("redirects are not followed"), "{what}: {refused}");
    }
    for (document, jwks_uri) in [
        (other.url.as_str(), "/keys"),
        ("", "http://169.254.169.254/keys"),
        ("", "http://issuer.example/keys"),
        ("", "file:///etc/passwd"),
        ("", "not a URL"),
    ] {
        let fixture = Fixture::start(&[ec("1")]).await;
        let issuer = if document.is_empty() { fixture.local.url.as_str() } else { document };
        fixture.local.describes(issuer, jwks_uri);
        let refused = fixture.verify(&ec("1"), 0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{document} {jwks_uri}");
        assert_eq!(fixture.local.asked(KEYS), 0, "{document} {jwks_uri}");
    }
    assert_eq!(other.asked_for_anything(), 0);
}

#[tokio::test]
async fn an_invalid_key_set_does_not_replace_a_valid_one() {
    let endless = " ".repeat(300 * 1024);
    for body in
        ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}"#, &endless]
    {
        let fixture = Fixture::start(&[ec("1")]).await;
        fixture.verify(&ec("1"), 0).await.unwrap();
        fixture.local.says(KEYS, 200, None, body);
        fixture.verify(&ec("1"), 600).await.expect("the keys at hand go on working");
        assert_eq!(fixture.local.asked(KEYS), 2);
    }
}

//! Key rotation, refreshes of the cache, and outages of the issuer.

use std::time::Duration;

use identity::{Http, Options, Refused, Verifier};
use protocol::{ErrorCode, Timestamp};
use tokio::task::JoinSet;

use crate::local_issuer::{DISCOVERY, KEYS, LocalIssuer};
use crate::signed::{Key, Pair, agent, claims_with, now, rule, secret};

struct World {
    local: LocalIssuer,
    verifier: Verifier,
}

impl World {
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
    let world = World::start(&[ec("1")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    world.local.publishes(&[ec("1"), ed("2")]);
    world.verify(&ed("2"), 1).await.unwrap();
    assert_eq!(world.local.asked(KEYS), 2);
}

#[tokio::test]
async fn unknown_keys_have_the_issuer_asked_once_in_30_seconds() {
    let world = World::start(&[ec("1")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    let refused = world.verify(&ed("x"), 1).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OidcTokenInvalid, "{refused}");
    for second in 2..31 {
        let refused = world.verify(&ed("y"), second).await.unwrap_err();
        // The token may be valid, so the client may retry.
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
        assert!(refused.to_string().contains("again from 2026-06-08T14:00:45.000Z"), "{refused}");
        world.verify(&ec("1"), second).await.expect("known keys are not held up");
    }
    assert_eq!(world.local.asked(KEYS), 2);
    world.local.publishes(&[ec("1"), ed("y")]);
    world.verify(&ed("y"), 31).await.unwrap();
    assert_eq!(world.local.asked(KEYS), 3);
}

#[tokio::test]
async fn keys_without_kid_rotate_and_bad_signatures_cause_no_extra_fetch() {
    let world = World::start(&[ec(None)]).await;
    world.verify(&ec(None), 0).await.unwrap();
    world.local.publishes(&[ed(None)]);
    world.verify(&ed(None), 1).await.unwrap();
    let refused = world.verify(&ec(None), 2).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::OidcTokenInvalid, "{refused}");
    assert_eq!(world.local.asked(KEYS), 2);
}

#[tokio::test]
async fn concurrent_callers_share_one_fetch() {
    let world = std::sync::Arc::new(World::start(&[ec("1")]).await);
    for (key, second, asked) in [(ec("1"), 0, 1), (ed("2"), 1, 2)] {
        world.local.publishes(&[ec("1"), ed("2")]);
        if second == 0 {
            world.local.publishes(&[ec("1")]);
        }
        world.local.closes();
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let (world, key) = (std::sync::Arc::clone(&world), key.clone());
            crowd.spawn(async move { world.verify(&key, second).await });
        }
        while world.local.asked(DISCOVERY) < asked {
            tokio::task::yield_now().await;
        }
        world.local.opens();
        for verified in crowd.join_all().await {
            verified.unwrap();
        }
        assert_eq!((world.local.asked(DISCOVERY), world.local.asked(KEYS)), (asked, asked));
    }
}

#[tokio::test]
async fn a_fetch_completes_after_its_caller_is_cancelled() {
    let world = World::start(&[ec("1")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    world.local.publishes(&[ec("1"), ed("2")]);
    world.local.closes();
    let rotated = ed("2");
    tokio::select! {
        biased;
        verified = world.verify(&rotated, 1) => panic!("answered by a closed issuer: {verified:?}"),
        () = async { while world.local.asked(DISCOVERY) < 2 { tokio::task::yield_now().await } } => {}
    }
    world.local.opens();
    world.verify(&ed("2"), 2).await.unwrap();
    assert_eq!(world.local.asked(DISCOVERY), 2);
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_once_the_cache_is_stale() {
    let world = World::start(&[ec("1"), ed("2")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    world.local.publishes(&[ed("2")]);
    world.verify(&ec("1"), 599).await.expect("fresh for ten minutes");
    assert_eq!(world.local.asked(KEYS), 1);
    let refused = world.verify(&ec("1"), 600).await.unwrap_err();
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
        let world = World::start(&[]).await;
        world.local.publishes_for(&[ec("1")], header);
        world.verify(&ec("1"), 0).await.unwrap();
        world.verify(&ec("1"), fresh - 1).await.unwrap();
        assert_eq!(world.local.asked(KEYS), 1, "{header}");
        world.verify(&ec("1"), fresh).await.unwrap();
        assert_eq!(world.local.asked(KEYS), 2, "{header}");
    }
}

#[tokio::test]
async fn keys_outlive_an_outage_for_an_hour_and_not_longer() {
    let world = World::start(&[ec("1")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    world.local.is_down();
    world.verify(&ec("1"), 600).await.unwrap();
    for second in 601..630 {
        world.verify(&ec("1"), second).await.unwrap();
    }
    assert_eq!(world.local.asked(DISCOVERY), 2, "a failed refresh is not repeated within 30 s");
    world.verify(&ec("1"), 600 + 3599).await.unwrap();
    let refused = world.verify(&ec("1"), 600 + 3600).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    world.local.describes(&world.local.url, &format!("{}{KEYS}", world.local.url));
    world.verify(&ec("1"), 600 + 3605).await.expect("back after the outage");
}

#[tokio::test]
async fn an_unknown_key_during_an_outage_is_refused_as_temporary() {
    let world = World::start(&[ec("1")]).await;
    world.verify(&ec("1"), 0).await.unwrap();
    world.local.is_down();
    let refused = world.verify(&ed("2"), 1).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    world.verify(&ec("1"), 2).await.unwrap();
}

#[tokio::test]
async fn a_failed_first_fetch_is_not_repeated_for_five_seconds() {
    let world = World::start(&[ec("1")]).await;
    world.local.is_down();
    for second in 0..5 {
        let refused = world.verify(&ec("1"), second).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{refused}");
    }
    assert_eq!(world.local.asked(DISCOVERY), 1);
    world.local.describes(&world.local.url, &format!("{}{KEYS}", world.local.url));
    world.verify(&ec("1"), 5).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_no_rule_names_is_never_asked() {
    let world = World::start(&[ec("1")]).await;
    let token = secret(&ec("1").sign(&claims_with(&world.local.url, "x", 1.into())));
    for rules in [vec![], vec![rule("https://issuer.example")]] {
        let refused = world.verifier.verify(&token, &agent(), &rules, now()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerNotTrusted, "{refused}");
    }
    assert_eq!(world.local.asked_for_anything(), 0);
}

#[tokio::test]
async fn keys_are_fetched_only_from_the_urls_of_the_issuer() {
    let other = LocalIssuer::start(&[ec("1")]).await;
    let redirect = |path| Some(("location", format!("{}{path}", other.url)));
    for (what, says) in [("discovery redirects", DISCOVERY), ("keys redirect", KEYS)] {
        let world = World::start(&[ec("1")]).await;
        world.local.says(says, 302, redirect(says), "");
        let refused = world.verify(&ec("1"), 0).await.unwrap_err();
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
        let world = World::start(&[ec("1")]).await;
        let issuer = if document.is_empty() { world.local.url.as_str() } else { document };
        world.local.describes(issuer, jwks_uri);
        let refused = world.verify(&ec("1"), 0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IssuerUnavailable, "{document} {jwks_uri}");
        assert_eq!(world.local.asked(KEYS), 0, "{document} {jwks_uri}");
    }
    assert_eq!(other.asked_for_anything(), 0);
}

#[tokio::test]
async fn an_invalid_key_set_does_not_replace_a_valid_one() {
    let endless = " ".repeat(300 * 1024);
    for body in
        ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"1"}]}"#, &endless]
    {
        let world = World::start(&[ec("1")]).await;
        world.verify(&ec("1"), 0).await.unwrap();
        world.local.says(KEYS, 200, None, body);
        world.verify(&ec("1"), 600).await.expect("the keys at hand go on working");
        assert_eq!(world.local.asked(KEYS), 2);
    }
}

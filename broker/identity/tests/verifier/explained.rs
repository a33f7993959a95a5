//! What trust rules say to a token that is only tried.

use domain::ClaimRule;
use identity::{Http, Options, Verifier, explain_run};
use protocol::ErrorCode;
use serde_json::json;

use crate::local_issuer::LocalIssuer;
use crate::signed::{Key, NOW, Pair, claims, claims_with, now, rule, secret};

fn verifier() -> Verifier {
    Verifier::new(Http::new(None).unwrap(), Options::default())
}

#[tokio::test]
async fn each_rule_is_explained_and_the_token_apart_from_them() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let mut other_ref = rule(&local.url);
    other_ref.claims.insert("ref".to_owned(), ClaimRule::AnyOf(vec!["refs/heads/release".to_owned()]));
    let mut other_audience = rule(&local.url);
    other_audience.audience = "another".to_owned();
    let rules = [rule(&local.url), other_ref, rule("https://issuer.example"), other_audience];
    let explained = verifier().explain(&secret(&a.sign(&claims(&local.url))), &rules, now()).await.unwrap();
    assert!(explained.token.is_none(), "{:?}", explained.token);
    let codes: Vec<_> =
        explained.rules.iter().map(|refused| refused.as_ref().map(|why| why.code())).collect();
    let expected = [
        None,
        Some(ErrorCode::ClaimsNotTrusted),
        Some(ErrorCode::IssuerNotTrusted),
        Some(ErrorCode::OidcTokenInvalid),
    ];
    assert_eq!(codes, expected);
    assert_eq!(explained.claims["ref"], "refs/heads/main");
    // The same from what is recorded of a run.
    let recorded = explain_run(explained.claims, &rules);
    let recorded: Vec<_> =
        recorded.rules.iter().map(|refused| refused.as_ref().map(|why| why.code())).collect();
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn a_token_that_expired_or_was_forged_still_has_claims() {
    let (a, b) = (Key::new(Pair::Ed25519, "a"), Key::new(Pair::RsaA, "a"));
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let rules = [rule(&local.url)];
    let expired = secret(&a.sign(&claims_with(&local.url, "exp", json!(NOW - 3600))));
    let forged = secret(&b.sign(&claims(&local.url)));
    for (token, said) in [(expired, "expired at"), (forged, "is signed with the key")] {
        let explained = verifier().explain(&token, &rules, now()).await.unwrap();
        let refused = explained.token.unwrap().to_string();
        assert!(refused.contains(said), "{refused}");
        assert!(explained.rules[0].is_none() && explained.claims.contains_key("sub"));
    }
    assert!(verifier().explain(&secret("a.b"), &rules, now()).await.is_err());
}

#[tokio::test]
async fn no_key_is_fetched_from_an_issuer_that_no_rule_names() {
    let a = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let token = secret(&a.sign(&claims(&local.url)));
    let explained = verifier().explain(&token, &[rule("https://issuer.example")], now()).await.unwrap();
    assert!(explained.token.is_none() && explained.rules[0].is_some());
    assert_eq!(local.asked_for_anything(), 0);
}

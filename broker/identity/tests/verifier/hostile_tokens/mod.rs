//! Refused tokens.

use identity::{Http, Options, Verifier};
use protocol::ErrorCode;
use serde_json::json;

use crate::local_issuer::LocalIssuer;
use crate::signed::{Key, Pair, agent, claims, claims_with, now, rule, secret};

mod forms;
mod signatures;
mod standard_claims;

/// Whether the issuer's keys are fetched before the token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Issuer {
    Asked,
    LeftAlone,
}
use Issuer::{Asked, LeftAlone};

struct Case {
    what: &'static str,
    token: String,
    code: ErrorCode,
    says: &'static str,
    issuer: Issuer,
}

fn case(what: &'static str, token: String, says: &'static str, issuer: Issuer) -> Case {
    Case { what, token, code: ErrorCode::OidcTokenInvalid, says, issuer }
}

#[tokio::test]
async fn every_hostile_token_is_refused_with_its_reason() {
    let (a, b) = (Key::new(Pair::RsaA, "a"), Key::new(Pair::RsaB, "b"));
    let local = LocalIssuer::start(&[a.clone(), b]).await;
    let attacker = LocalIssuer::start(&[Key::new(Pair::RsaC, "a")]).await;
    let http = Http::new(None).unwrap();
    let rules = [rule(&local.url)];

    let good = a.sign(&claims(&local.url));
    let accepted = Verifier::new(http.clone(), Options::default());
    accepted.verify(&secret(&good), &agent(), &rules, now()).await.expect("the untouched token is accepted");

    let mut cases = signatures::cases(&a, &local.url, &attacker.url);
    cases.extend(standard_claims::cases(&a, &local.url));
    cases.extend(forms::cases(&a, &local.url, &good));
    assert!(cases.len() > 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for Case { what, token, code, says, issuer } in cases {
        let before = local.asked_for_anything();
        let verifier = Verifier::new(http.clone(), Options::default());
        let refused = match verifier.verify(&secret(&token), &agent(), &rules, now()).await {
            Err(refused) => refused,
            Ok(principal) => {
                wrong.push(format!("{what}: accepted as {principal:?}"));
                continue;
            }
        };
        let asked = if local.asked_for_anything() == before { LeftAlone } else { Asked };
        let detail = refused.to_string();
        let as_expected = refused.code() == code
            && detail.contains(says)
            && detail.len() < 1500
            && refused.hint().is_some()
            && asked == issuer;
        if !as_expected {
            wrong.push(format!(
                "{what}: expected {code:?} `{says}` {issuer:?}: {refused:?} `{detail}` {asked:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(attacker.asked_for_anything(), 0, "no header and no claim sends us to another issuer");
}

#[tokio::test]
async fn unmatched_tokens_are_refused_with_the_first_mismatch_of_each_rule() {
    let a = Key::new(Pair::RsaA, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&a)).await;
    let mut other = rule(&local.url);
    other.claims = [("ref".to_owned(), domain::ClaimRule::glob("refs/heads/release-*").unwrap())].into();
    let verifier = Verifier::new(Http::new(None).unwrap(), Options::default());
    let token = a.sign(&claims_with(&local.url, "repository_id", json!("666")));
    let refused =
        verifier.verify(&secret(&token), &agent(), &[rule(&local.url), other], now()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ClaimsNotTrusted);
    assert_eq!(
        refused.to_string(),
        "the claim `repository_id` is `666`: expected `81234567`; by another rule the claim `ref` is \
         `refs/heads/main`: expected a match of the glob `refs/heads/release-*`"
    );
}

#[tokio::test]
async fn a_token_with_one_changed_character_is_refused() {
    let key = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&key)).await;
    let verifier = Verifier::new(Http::new(None).unwrap(), Options::default());
    let rules = [rule(&local.url)];
    let good = key.sign(&claims(&local.url));
    verifier.verify(&secret(&good), &agent(), &rules, now()).await.unwrap();
    for (at, found) in good.char_indices() {
        let (before, after) = (&good[..at], &good[at + 1..]);
        let other = if found == 'A' { 'B' } else { 'A' };
        for changed in [
            format!("{before}{other}{after}"),
            format!("{before}{after}"),
            format!("{before}{found}{found}{after}"),
        ] {
            let verified = verifier.verify(&secret(&changed), &agent(), &rules, now()).await;
            assert!(verified.is_err(), "character {at}: {changed}");
        }
    }
    assert!(local.asked_for_anything() <= 4, "all of it is worth one refetch");
}

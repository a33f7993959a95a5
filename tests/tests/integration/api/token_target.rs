//! The JWT of a `token` grant verifies with an independent library and is inactive as soon as it is revoked.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::fixture::{Fixture, new_key};
use system_tests::http;
use system_tests::oidc_provider::Token;
use system_tests::waiting::eventually;

/// Verifies the token with npm's `jose` and returns its claims.
fn verified(fixture: &Fixture, audience: &str, token: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/node");
    let mut node = Command::new("node")
        .args(["--input-type=module", "-e", include_str!("../../../src/verify_with_jose.mjs")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let order = json!({"issuer": fixture.broker.url(), "audience": audience, "token": token});
    node.stdin.take().unwrap().write_all(order.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn inactive() -> Value {
    json!({"active": false})
}

#[test]
fn third_party_library_verifies_the_grant_token() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let token = grant.text_at("/credentials/token");
    let seen = verified(&fixture, "orders", token);
    let payload = &seen["payload"];
    assert_eq!(seen["header"]["alg"], "EdDSA", "{seen}");
    assert_eq!(payload["iss"], fixture.broker.url());
    assert_eq!((&payload["client_id"], &payload["scope"]), (&json!("orders-agent"), &json!("orders:read")));
    assert_eq!((&payload["grant_id"], &payload["jti"]), (&grant.json["id"], &grant.json["id"]));
    assert_eq!(payload["authorization_details"][0]["identifier"], "orders");
    assert_eq!(payload["authorization_details"][0]["actions"], json!(["read"]));
    assert_eq!(payload["exp"].as_i64().unwrap() - payload["iat"].as_i64().unwrap(), 15 * 60);
    assert!(payload["provenance"].to_string().contains("octo/my-app"), "{payload}");
    assert!(payload["provenance"].to_string().contains("a7c1f24d"), "{payload}");
    assert_eq!(
        verified(&fixture, "billing", token)["refused"],
        "ERR_JWT_CLAIM_VALIDATION_FAILED",
        "for orders only"
    );
}

#[test]
fn introspection_is_active_until_the_revoke() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let token = grant.text_at("/credentials/token");
    let active = fixture.broker.introspect(token);
    assert_eq!((&active["active"], &active["scope"]), (&json!(true), &json!("orders:read")));
    assert_eq!(active["grant_id"], grant.json["id"]);
    let revoke = fixture.broker.request(Method::DELETE, &format!("/v2/agentic/jit/{}", grant.text_at("/id")));
    http::send(revoke.bearer_auth(&fixture.agent.auth_token)).expect(200);
    // The revoke has been answered, so the token is inactive without a delay.
    assert_eq!(fixture.broker.introspect(token), inactive(), "the response reveals more than `active`");
    assert!(
        verified(&fixture, "orders", token).get("payload").is_some(),
        "its signature holds until it expires"
    );
}

#[test]
fn expired_token_is_refused_by_broker_and_library() {
    let fixture = Fixture::start();
    let mut body = fixture.body();
    body["ttl"] = json!("1s");
    let grant = http::send(fixture.elevation(&new_key(), &body)).expect(201);
    let token = grant.text_at("/credentials/token");
    eventually("the deadline", || (fixture.broker.introspect(token) == inactive()).then_some(()));
    eventually("a refusal by the library", || {
        (verified(&fixture, "orders", token)["refused"] == "ERR_JWT_EXPIRED").then_some(())
    });
}

#[test]
fn token_of_another_signer_is_not_active() {
    let fixture = Fixture::start();
    let other = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let token = grant.text_at("/credentials/token");
    let parts: Vec<&str> = token.split('.').collect();
    let mut payload: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    payload["scope"] = json!("orders:write");
    let coded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let cases = [
        ("another scope under the signature", format!("{}.{}.{}", parts[0], coded(&payload), parts[2])),
        ("no algorithm", format!("{}.{}.", coded(&json!({"alg": "none"})), parts[1])),
        ("the signature cut", token[..token.len() - 3].to_owned()),
        ("another broker's", other.elevate().expect(201).text_at("/credentials/token").to_owned()),
        ("the workload's own OIDC token", fixture.oidc_token()),
        (
            "a provider's token with our issuer's name",
            fixture.provider.mint(&Token::with_claims(payload.clone())).unwrap(),
        ),
        ("the auth token", fixture.agent.auth_token.clone()),
        ("nonsense", "nonsense".to_owned()),
    ];
    for (what, forged) in cases {
        assert_eq!(fixture.broker.introspect(&forged), inactive(), "{what}");
    }
    assert_eq!(fixture.broker.introspect(token)["active"], true);
}

#[test]
fn a_stolen_signing_key_gives_a_live_grant_no_other_claims() {
    let mut fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let token = grant.text_at("/credentials/token");
    let parts: Vec<&str> = token.split('.').collect();
    let read = |part: &str| -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, payload) = (read(parts[0]), read(parts[1]));

    fixture.broker.kill();
    let query = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT private_pem FROM signing_keys').fetchone()[0])";
    let read = Command::new("python3").arg("-c").arg(query).arg(fixture.broker.database()).output().unwrap();
    let key = EncodingKey::from_ed_pem(&read.stdout).unwrap();
    fixture.broker.restart();

    let mut signed_as = Header::new(Algorithm::EdDSA);
    signed_as.kid = header["kid"].as_str().map(str::to_owned);
    let sign = |claims: &Value| jsonwebtoken::encode(&signed_as, claims, &key).unwrap();
    assert_eq!(fixture.broker.introspect(&sign(&payload))["active"], true, "the same claims");
    let later = payload["exp"].as_i64().unwrap() + 3600;
    for (claim, value) in [
        ("scope", json!("orders:write")),
        ("aud", json!(["billing"])),
        ("sub", json!("billing-agent")),
        ("client_id", json!("billing-agent")),
        ("exp", json!(later)),
        ("authorization_details", json!([])),
        ("provenance", json!({"trust": "oidc"})),
        ("admin", json!(true)),
    ] {
        let mut forged = payload.clone();
        forged[claim] = value;
        assert_eq!(fixture.broker.introspect(&sign(&forged)), inactive(), "{claim}");
    }
    assert!(fixture.broker.log().contains("a signing key may be stolen"));
}

#[test]
fn introspection_is_for_those_who_were_given_a_token_for_it() {
    let fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let ask = || {
        fixture
            .broker
            .request(Method::POST, "/v2/introspect")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("token={}", grant.text_at("/credentials/token")))
    };
    for (who, request) in [
        ("no caller", ask()),
        ("the agent", ask().bearer_auth(&fixture.agent.auth_token)),
        ("the grant itself", ask().bearer_auth(grant.text_at("/credentials/token"))),
    ] {
        assert_eq!(http::send(request).status, 401, "{who}");
    }
    for token in [fixture.broker.introspection_token(), fixture.broker.operator_token()] {
        assert_eq!(http::send(ask().bearer_auth(token)).expect(200).json["active"], true);
    }
}

#[test]
fn tokens_outlive_the_broker_that_signed_them() {
    let mut fixture = Fixture::start();
    let grant = fixture.elevate().expect(201);
    let token = grant.text_at("/credentials/token");
    fixture.broker.kill();
    fixture.broker.restart();
    assert_eq!(fixture.broker.introspect(token)["active"], true);
    assert!(verified(&fixture, "orders", token).get("payload").is_some(), "the signing key changed");
    assert_eq!(fixture.broker.stop(), Some(0), "the broker did not stop cleanly");
    fixture.broker.restart();
    assert_eq!(fixture.broker.introspect(token)["active"], true);
}

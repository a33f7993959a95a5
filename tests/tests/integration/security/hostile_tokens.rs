//! The broker refuses every forged, stale or foreign OIDC token, with an independent issuer and over HTTP.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use system_tests::fixture::{AUDIENCE, Fixture, job_claims, new_key};
use system_tests::http;
use system_tests::oidc_provider::{Key, OidcProvider, OldKeys, Token};

#[derive(Clone)]
struct Case {
    what: &'static str,
    token: String,
    expected: (u16, &'static str),
}

const INVALID: (u16, &str) = (401, "oidc_token_invalid");
const NOT_TRUSTED: (u16, &str) = (401, "issuer_not_trusted");

#[test]
fn every_hostile_token_is_refused_and_gets_nothing() {
    let fixture = Fixture::start();
    let good = fixture.elevate().expect(201);
    let attacker = OidcProvider::start().unwrap();
    let cases = [made_by_the_provider(&fixture, &attacker), made_by_hand(&fixture)].concat();
    assert!(cases.len() >= 40, "{}", cases.len());

    let mut wrong = Vec::new();
    for case in &cases {
        let mut body = fixture.body();
        body["oidc_token"] = json!(case.token);
        let answer = http::send(fixture.elevation(&new_key(), &body));
        if answer.outcome() != case.expected {
            wrong.push(format!(
                "{}: expected {:?}, found {} {}",
                case.what, case.expected, answer.status, answer.text
            ));
        }
        if case.token.len() > 100 && answer.text.contains(&case.token) {
            wrong.push(format!("{}: the answer repeats the token", case.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let given = fixture.broker.given();
    assert_eq!(given.len(), 1, "a hostile token received a grant: {given:?}");
    assert_eq!(given[0]["id"], good.json["id"]);
    assert_eq!(attacker.fetches().unwrap().jwks, 0, "no header and no claim sends the broker elsewhere");
    assert_eq!(attacker.fetches().unwrap().discovery, 0);
    fixture.elevate().expect(201);
}

fn made_by_the_provider(fixture: &Fixture, attacker: &OidcProvider) -> Vec<Case> {
    let provider = &fixture.provider;
    let now = now();
    let token = || Token::with_claims(job_claims("job-1"));
    let with = |claim: &str, value: Value| {
        let mut claims = job_claims("job-1");
        claims[claim] = value;
        Token::with_claims(claims).audience(AUDIENCE)
    };
    let case = |what, token: Token, expected| Case { what, token: provider.mint(&token).unwrap(), expected };
    let elsewhere = format!("{}/jwks", attacker.issuer());
    let mut cases = vec![
        case("no audience", token(), INVALID),
        case("another audience", token().audience("sts.amazonaws.com"), INVALID),
        case("another audience in a list", token().audience(json!(["sts.amazonaws.com"])), INVALID),
        case("our audience and another", token().audience(json!([AUDIENCE, "sts.amazonaws.com"])), INVALID),
        case("our audience in other case", token().audience("Cloudanix-JIT"), INVALID),
        case("an empty audience", token().audience(""), INVALID),
        case("an empty list of audiences", token().audience(json!([])), INVALID),
        case("an audience in a list in a list", token().audience(json!([[AUDIENCE]])), INVALID),
        case("expired", token().audience(AUDIENCE).expires_in(-60), INVALID),
        case("valid in a minute", with("nbf", json!(now + 90)), INVALID),
        case("issued in a minute", with("iat", json!(now + 90)), INVALID),
        case("issued the day before yesterday", with("iat", json!(now - 2 * 86_400)), INVALID),
        case("no end", with("exp", Value::Null), INVALID),
        case("no beginning", with("iat", Value::Null), INVALID),
        case("an end in words", with("exp", json!("tomorrow")), INVALID),
        case("an end far beyond time", with("exp", json!(1e30)), INVALID),
        case("no subject", with("sub", Value::Null), INVALID),
        case("a subject that is a number", with("sub", json!(7)), INVALID),
        case("no issuer", with("iss", Value::Null), INVALID),
        case("an issuer in a list", with("iss", json!([provider.issuer()])), INVALID),
        case("an issuer with a slash", with("iss", json!(format!("{}/", provider.issuer()))), NOT_TRUSTED),
        case(
            "an issuer under another name",
            with("iss", json!(provider.issuer().replace("127.0.0.1", "localhost"))),
            NOT_TRUSTED,
        ),
        case(
            "an issuer that goes on",
            with("iss", json!(format!("{}.evil.example", provider.issuer()))),
            NOT_TRUSTED,
        ),
        case("the attacker as issuer", with("iss", json!(attacker.issuer())), NOT_TRUSTED),
        case("another project", with("project_id", json!("2")), (403, "claims_not_trusted")),
        case(
            "another project beside ours",
            with("project_id", json!({"1": "1"})),
            (403, "claims_not_trusted"),
        ),
        case("a 1 MB token", with("x", json!("x".repeat(1 << 20))), (413, "body_too_large")),
        case("a 40 kB token", with("x", json!("x".repeat(30_000))), INVALID),
    ];
    for (what, name, value) in [
        ("a jku of the attacker", "jku", json!(elsewhere)),
        ("an x5u of the attacker", "x5u", json!(elsewhere)),
        ("an x5c", "x5c", json!(["MIIB"])),
        ("a jwk", "jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("an unencoded payload", "b64", json!(false)),
        ("a token in a token", "cty", json!("JWT")),
        ("an access token", "typ", json!("at+jwt")),
        ("a key id that is a number", "kid", json!(1)),
    ] {
        cases.push(case(what, token().audience(AUDIENCE).header(name, value), INVALID));
    }
    let kid = header_of(&fixture.oidc_token())["kid"].clone();
    let forged = Token::with_claims(job_claims("job-1")).audience(AUDIENCE);
    let mut claims = job_claims("job-1");
    claims["iss"] = json!(provider.issuer());
    let as_ours = Token::with_claims(claims).audience(AUDIENCE).header("kid", kid);
    cases.push(Case {
        what: "another provider's own token",
        token: attacker.mint(&forged).unwrap(),
        expected: NOT_TRUSTED,
    });
    cases.push(Case {
        what: "ours, signed by another provider under our key's id",
        token: attacker.mint(&as_ours).unwrap(),
        expected: INVALID,
    });
    cases
}

/// Tokens that no issuer would sign.
fn made_by_hand(fixture: &Fixture) -> Vec<Case> {
    let genuine = fixture.oidc_token();
    let parts: Vec<&str> = genuine.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let kid = header_of(&genuine)["kid"].clone();
    let invalid = |what, token: String| Case { what, token, expected: INVALID };
    let coded = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let with_alg = |alg: &str| coded(&json!({"alg": alg, "typ": "JWT", "kid": kid}));

    let mut cases: Vec<Case> = ["none", "None", "NONE", "nOnE", ""]
        .into_iter()
        .flat_map(|alg| {
            let signed = format!("{}.{payload}", with_alg(alg));
            [
                invalid("no algorithm", format!("{signed}.")),
                invalid("no algorithm, signed", format!("{signed}.{signature}")),
            ]
        })
        .collect();
    let (jwk, pem) = public_key(fixture, &kid);
    for (what, secret) in [
        ("HMAC with the JWK", jwk.clone()),
        ("HMAC with the PEM", pem.clone()),
        ("HMAC with the PEM, trimmed", pem.trim().to_owned()),
    ] {
        for alg in ["HS256", "RS256"] {
            let signed = format!("{}.{payload}", with_alg(alg));
            let mac = jsonwebtoken::crypto::sign(
                signed.as_bytes(),
                &EncodingKey::from_secret(secret.as_bytes()),
                Algorithm::HS256,
            );
            cases.push(invalid(what, format!("{signed}.{}", mac.unwrap())));
        }
    }
    let mut claims = payload_of(&genuine);
    claims["project_id"] = json!("1");
    claims["user_login"] = json!("root");
    let text = claims.to_string();
    let twice = format!("{{\"aud\":\"sts.amazonaws.com\",{}", &text[1..]);
    cases.extend([
        invalid("another payload", format!("{header}.{}.{signature}", coded(&claims))),
        invalid(
            "a claim that comes twice",
            format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(twice)),
        ),
        invalid("no signature", format!("{header}.{payload}.")),
        invalid("a signature of zeros", format!("{header}.{payload}.{}", "A".repeat(342))),
        invalid("the signature cut", genuine[..genuine.len() - 4].to_owned()),
        invalid("two parts", format!("{header}.{payload}")),
        invalid("four parts", format!("{genuine}.{signature}")),
        invalid("padding", format!("{genuine}==")),
        invalid("`Bearer` before it", format!("Bearer {genuine}")),
        invalid("a newline behind it", format!("{genuine}\n")),
        invalid("nothing", String::new()),
        invalid("dots", "..".to_owned()),
        invalid("15 kB of dots", ".".repeat(15_000)),
        invalid(
            "nested without end",
            format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode("[".repeat(10_000))),
        ),
    ]);
    // One token is signed by a withdrawn key, the other by a key that the issuer never had.
    let other = OidcProvider::start().unwrap();
    other.rotate(OldKeys::Removed).unwrap();
    let mut claims = job_claims("job-1");
    claims["iss"] = json!(fixture.provider.issuer());
    let stale = Token::with_claims(claims).audience(AUDIENCE).signed_by(Key::Previous);
    // An unknown key may be new: the broker answers "try again later" and refuses once it has refetched the keys.
    cases.push(invalid("an unknown key's id", other.mint(&stale).unwrap()));
    cases
}

/// The issuer's public key as JWK and as PEM, which an attacker can also read.
fn public_key(fixture: &Fixture, kid: &Value) -> (String, String) {
    let keys =
        http::send(http::request(reqwest::Method::GET, &format!("{}/jwks", fixture.provider.issuer())));
    let keys = keys.json["keys"].as_array().unwrap().clone();
    let jwk = keys.into_iter().find(|key| key["kid"] == *kid).unwrap().to_string();
    let script = "const key = require('crypto').createPublicKey({key: JSON.parse(process.argv[1]), format: 'jwk'}); \
                  process.stdout.write(key.export({type: 'spki', format: 'pem'}))";
    let pem = Command::new("node").args(["-e", script, &jwk]).output().unwrap();
    assert!(pem.status.success());
    (jwk, String::from_utf8(pem.stdout).unwrap())
}

fn header_of(token: &str) -> Value {
    part(token, 0)
}

fn payload_of(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn now() -> i64 {
    let token = OidcProvider::start().unwrap().mint(&Token::with_claims(json!({}))).unwrap();
    payload_of(&token)["iat"].as_i64().unwrap()
}

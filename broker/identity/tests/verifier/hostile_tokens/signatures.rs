//! Refused signatures, keys and algorithms.

use protocol::ErrorCode;
use serde_json::{Value, json};

use super::Issuer::{Asked, LeftAlone};
use super::{Case, case};
use crate::signed::{Key, Pair, claims, sign_hmac, signed_part};

pub(super) fn cases(a: &Key, issuer: &str, attacker: &str) -> Vec<Case> {
    let payload = claims(issuer).to_string();
    let with_alg = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": "a" }).to_string();
    let with_header = |name: &str, value: Value| {
        let mut header = a.header();
        header[name] = value;
        header.to_string()
    };
    let pem: &[u8] = include_bytes!("../keys/rsa-a.pub.pem");
    let jwk = a.public().to_string();
    let c = Key::new(Pair::RsaC, "a");
    let good = a.sign(&claims(issuer));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let by_c = |name: &str, value: Value| c.sign_text(&with_header(name, value), &payload);

    let mut cases = vec![
        case(
            "HMAC with the public key's PEM",
            sign_hmac(&with_alg("HS256"), &payload, pem),
            "`HS256`",
            LeftAlone,
        ),
        case(
            "HMAC with the JWK",
            sign_hmac(&with_alg("HS256"), &payload, jwk.as_bytes()),
            "`HS256`",
            LeftAlone,
        ),
        case("HMAC called RS256", sign_hmac(&with_alg("RS256"), &payload, pem), "does not verify", Asked),
        case("no signature under RS256", format!("{signed}."), "signature is not base64url", LeftAlone),
        case("one zero byte as signature", format!("{signed}.AA"), "does not verify", Asked),
        case("another issuer's key", c.sign(&claims(issuer)), "does not verify", Asked),
        Case {
            code: ErrorCode::IssuerNotTrusted,
            ..case("another issuer's token", c.sign(&claims(attacker)), "expected `http://127", LeftAlone)
        },
        case("unknown kid", Key::new(Pair::RsaC, "z").sign(&claims(issuer)), "the key `z`", Asked),
        case("empty kid", a.sign_text(&with_header("kid", json!("")), &payload), "the key ``", Asked),
        case(
            "kid missing with two keys",
            Key::new(Pair::RsaA, None).sign(&claims(issuer)),
            "without `kid`",
            Asked,
        ),
        case(
            "kid is a number",
            a.sign_text(&with_header("kid", json!(1)), &payload),
            "`kid` is `1`",
            LeftAlone,
        ),
        case(
            "kid of the other key",
            a.sign_text(&with_header("kid", json!("b")), &payload),
            "does not verify",
            Asked,
        ),
        case(
            "ES256 with the kid of an RSA key",
            Key::new(Pair::Ec, "a").sign(&claims(issuer)),
            "for `ES256`",
            Asked,
        ),
        case("RS256 signature called PS256", good_as("PS256", a, &payload), "does not verify", Asked),
        case("RS256 signature called RS512", good_as("RS512", a, &payload), "does not verify", Asked),
        case(
            "another payload under the signature",
            format!("{}.{signature}", signed_part(&a.header().to_string(), &payload.replace("main", "evil"))),
            "does not verify",
            Asked,
        ),
        case("jku to another key", by_c("jku", json!(format!("{attacker}/keys"))), "`jku`", LeftAlone),
        case("x5u to another key", by_c("x5u", json!(format!("{attacker}/keys"))), "`x5u`", LeftAlone),
        case("x5c with another key", by_c("x5c", json!(["MIIB"])), "`x5c`", LeftAlone),
        case("jwk with another key", by_c("jwk", c.public()), "`jwk`", LeftAlone),
        case(
            "critical extension",
            a.sign_text(&with_header("crit", json!(["exp"])), &payload),
            "`crit`",
            LeftAlone,
        ),
        case(
            "empty list of critical extensions",
            a.sign_text(&with_header("crit", json!([])), &payload),
            "`crit`",
            LeftAlone,
        ),
        case(
            "unencoded payload",
            a.sign_text(&with_header("b64", json!(false)), &payload),
            "`b64`",
            LeftAlone,
        ),
        case(
            "a token in a token",
            a.sign_text(&with_header("cty", json!("JWT")), &payload),
            "`cty`",
            LeftAlone,
        ),
        case(
            "an access token",
            a.sign_text(&with_header("typ", json!("at+jwt")), &payload),
            "`typ`",
            LeftAlone,
        ),
        case(
            "alg twice",
            a.sign_text(r#"{"alg":"none","kid":"a","alg":"RS256"}"#, &payload),
            "`alg` comes twice",
            LeftAlone,
        ),
        case(
            "alg is a list",
            a.sign_text(r#"{"alg":["RS256"],"kid":"a"}"#, &payload),
            "signed with `[",
            LeftAlone,
        ),
        case("alg missing", a.sign_text(r#"{"kid":"a"}"#, &payload), "signed with nothing", LeftAlone),
    ];
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "HS384", "HS512", "ES512", "RSA-OAEP", "dir"] {
        let unsigned = signed_part(&with_alg(alg), &payload);
        cases.push(case("alg that is not allowed", format!("{unsigned}.AAAA"), "signed with `", LeftAlone));
        cases.push(case("such an alg and no signature", format!("{unsigned}."), "base64url", LeftAlone));
        cases.push(case("such an alg and two parts", unsigned, "has 2 parts", LeftAlone));
    }
    cases
}

/// The RS256 signature over a header that names another algorithm.
fn good_as(alg: &str, key: &Key, payload: &str) -> String {
    key.sign_text(&json!({ "alg": alg, "kid": "a" }).to_string(), payload)
}

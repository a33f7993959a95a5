//! Tokens that somebody made to be let in.

use identity::{Http, Options, Verifier};
use protocol::ErrorCode;
use serde_json::{Value, json};

use crate::local_issuer::LocalIssuer;
use crate::signed::{
    AUDIENCE, Key, NOW, Pair, agent, claims, claims_with, now, rule, secret, sign_hmac, signed_part,
};

/// Whether the issuer is asked for its keys before the token is refused.
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
async fn every_hostile_token_is_refused_for_its_own_reason() {
    let (a, b) = (Key::new(Pair::RsaA, "a"), Key::new(Pair::RsaB, "b"));
    let local = LocalIssuer::start(&[a.clone(), b]).await;
    let attacker = LocalIssuer::start(&[Key::new(Pair::RsaC, "a")]).await;
    let http = Http::new(None).unwrap();
    let rules = [rule(&local.url)];

    let good = a.sign(&claims(&local.url));
    let accepted = Verifier::new(http.clone(), Options::default());
    accepted.verify(&secret(&good), &agent(), &rules, now()).await.expect("the untouched token is accepted");

    let mut cases = signatures(&a, &local.url, &attacker.url);
    cases.extend(standard_claims(&a, &local.url));
    cases.extend(forms(&a, &local.url, &good));
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

/// Who signed it, and with what?
fn signatures(a: &Key, issuer: &str, attacker: &str) -> Vec<Case> {
    let payload = claims(issuer).to_string();
    let with_alg = |alg: &str| json!({ "alg": alg, "typ": "JWT", "kid": "a" }).to_string();
    let with_header = |name: &str, value: Value| {
        let mut header = a.header();
        header[name] = value;
        header.to_string()
    };
    let pem: &[u8] = include_bytes!("keys/rsa-a.pub.pem");
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

/// For whom, and when?
fn standard_claims(a: &Key, issuer: &str) -> Vec<Case> {
    let with = |name: &str, value: Value| a.sign(&claims_with(issuer, name, value));
    let without = |name: &str| {
        let mut claims = claims(issuer);
        claims.as_object_mut().unwrap().remove(name);
        a.sign(&claims)
    };
    let untrusted = |what, iss: String| Case {
        code: ErrorCode::IssuerNotTrusted,
        ..case(what, with("iss", json!(iss)), "expected `http://127", LeftAlone)
    };
    let mut cases = vec![
        case("wrong aud", with("aud", json!("sts.amazonaws.com")), "`sts.amazonaws.com`", LeftAlone),
        case(
            "wrong aud in a list",
            with("aud", json!(["sts.amazonaws.com"])),
            "`sts.amazonaws.com`",
            LeftAlone,
        ),
        case("aud for somebody else too", with("aud", json!([AUDIENCE, "evil"])), "`evil`", LeftAlone),
        case("aud in other case", with("aud", json!("Cloudanix-JIT")), "`Cloudanix-JIT`", LeftAlone),
        case("aud with a slash", with("aud", json!("cloudanix-jit/")), "`cloudanix-jit/`", LeftAlone),
        case("aud empty", with("aud", json!("")), "audience ``", LeftAlone),
        case("aud an empty list", with("aud", json!([])), "`aud` is `[]`", LeftAlone),
        case("aud a list in a list", with("aud", json!([[AUDIENCE]])), "`aud` is `[[", LeftAlone),
        case("aud null", with("aud", json!(null)), "`aud` is `null`", LeftAlone),
        case("aud missing", without("aud"), "`aud` is missing", LeftAlone),
        untrusted("issuer with a slash", format!("{issuer}/")),
        untrusted("issuer in other case", issuer.to_uppercase()),
        untrusted("issuer with a space", format!("{issuer} ")),
        untrusted("issuer with a user", issuer.replace("//", "//user@")),
        untrusted("issuer under another name", issuer.replace("127.0.0.1", "localhost")),
        untrusted("issuer that goes on", format!("{issuer}.evil.example")),
        case("iss missing", without("iss"), "`iss` is missing", LeftAlone),
        case("iss a list", with("iss", json!([issuer])), "`iss` is `[", LeftAlone),
        case("sub missing", without("sub"), "`sub` is missing", LeftAlone),
        case("sub a number", with("sub", json!(7)), "`sub` is `7`", LeftAlone),
        case("jti a number", with("jti", json!(7)), "`jti` is `7`", LeftAlone),
        case("jti empty", with("jti", json!("")), "`jti` is `\"\"`", LeftAlone),
        case("expired", with("exp", json!(NOW - 31)), "expired at", LeftAlone),
        case("expired at the end of the leeway", with("exp", json!(NOW - 30)), "expired at", LeftAlone),
        case("not yet valid", with("nbf", json!(NOW + 31)), "`nbf` is 2026", LeftAlone),
        case("issued in the future", with("iat", json!(NOW + 31)), "`iat` is 2026", LeftAlone),
        case(
            "issued the day before",
            with("iat", json!(NOW - 86_401)),
            "expected 2026-06-07T14:00:14",
            LeftAlone,
        ),
        case("nbf a text", with("nbf", json!("0")), "`nbf` is", LeftAlone),
        case("exp missing", without("exp"), "`exp` is missing", LeftAlone),
        case("iat missing", without("iat"), "`iat` is missing", LeftAlone),
    ];
    for exp in [
        json!(1_790_000_000.5),
        json!(1e30),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(253_402_300_800_u64),
        json!("1790000000"),
        json!(true),
        json!(null),
        json!([NOW + 300]),
    ] {
        cases.push(case("exp that is no time", with("exp", exp), "`exp` is `", LeftAlone));
    }
    cases
}

/// Can it be read in one way only?
fn forms(a: &Key, issuer: &str, good: &str) -> Vec<Case> {
    let header = a.header().to_string();
    let payload = claims(issuer).to_string();
    let paid = |payload: &str| a.sign_text(&header, payload);
    let also = |member: &str| paid(&format!("{{{member},{}", payload.strip_prefix('{').unwrap()));
    let mut parts = good.split('.');
    let (h, p, s) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    // 256 bytes leave the last four bits of the last character unused, and zero.
    let last = char::from(s.as_bytes()[s.len() - 1] + 1);
    let other_bits = format!("{h}.{p}.{}{last}", &s[..s.len() - 1]);
    vec![
        case(
            "1 MB token",
            a.sign(&claims_with(issuer, "x", json!("x".repeat(1 << 20)))),
            "at most 16384",
            LeftAlone,
        ),
        case("1 MB of dots", ".".repeat(1 << 20), "at most 16384", LeftAlone),
        case("16 kB of dots", ".".repeat(16 * 1024), "16385 parts", LeftAlone),
        case("nothing", String::new(), "has 1 parts", LeftAlone),
        case("two dots", "..".to_owned(), "header is not base64url", LeftAlone),
        case("dots missing", good.replace('.', ""), "has 1 parts", LeftAlone),
        case("signature missing", format!("{h}.{p}"), "has 2 parts", LeftAlone),
        case("a part too many", format!("{good}.{s}"), "has 4 parts", LeftAlone),
        case("trailing data", format!("{good}x!"), "signature is not", LeftAlone),
        case("padding", format!("{h}=.{p}.{s}"), "header is not", LeftAlone),
        case("padded signature", format!("{good}=="), "signature is not", LeftAlone),
        case("the unused bits set", other_bits, "signature is not", LeftAlone),
        case("a space before", format!(" {good}"), "header is not", LeftAlone),
        case("a newline after", format!("{good}\n"), "signature is not", LeftAlone),
        case("the other alphabet", format!("{h}.{p}.++//"), "signature is not", LeftAlone),
        case("`Bearer` before", format!("Bearer {good}"), "header is not", LeftAlone),
        case("sub twice", also(r#""sub":"x""#), "`sub` comes twice", LeftAlone),
        case("sub twice, once with an escape", also(r#""\u0073ub":"x""#), "`sub` comes twice", LeftAlone),
        case("aud twice", also(r#""aud":"x""#), "`aud` comes twice", LeftAlone),
        case("twice in a nested claim", also(r#""x":{"y":1,"y":2}"#), "`y` comes twice", LeftAlone),
        case("nested and dotted", also(r#""x":{"y":1},"x.y":2"#), "`x.y` is there twice", LeftAlone),
        case("payload a list", paid(&format!("[{payload}]")), "expected an object", LeftAlone),
        case("payload a text", paid(r#""x""#), "expected an object", LeftAlone),
        case("payload not JSON", paid("sub=x"), "well-formed", LeftAlone),
        case("payload not UTF-8", format!("{h}.gICAgA.{s}"), "well-formed", LeftAlone),
        case("payload with more behind it", paid(&format!("{payload}{payload}")), "trailing", LeftAlone),
        case(
            "payload of NaN",
            paid(&payload.replace("\"iat\":", "\"iat\":NaN,\"x\":")),
            "well-formed",
            LeftAlone,
        ),
        case(
            "payload nested deep",
            also(&format!(r#""x":{}1{}"#, "[".repeat(500), "]".repeat(500))),
            "nested deeper",
            LeftAlone,
        ),
        case("payload nested without end", paid(&r#"{"x":"#.repeat(1500)), "nested deeper", LeftAlone),
        case("standard claim of another type", also(r#""nonce":7"#), "not an ID token", Asked),
    ]
}

#[tokio::test]
async fn genuine_tokens_that_no_rule_describes_are_refused_with_every_first_mismatch() {
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
async fn a_token_with_one_character_changed_left_out_or_doubled_is_refused() {
    let key = Key::new(Pair::Ed25519, "a");
    let local = LocalIssuer::start(std::slice::from_ref(&key)).await;
    let verifier = Verifier::new(Http::new(None).unwrap(), Options::default());
    let rules = [rule(&local.url)];
    let good = key.sign(&claims(&local.url));
    verifier.verify(&secret(&good), &agent(), &rules, now()).await.unwrap();
    // Every ninth: in a debug build a signature takes long, and nine steps through all places of a base64 group.
    for (at, found) in good.char_indices().step_by(9) {
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

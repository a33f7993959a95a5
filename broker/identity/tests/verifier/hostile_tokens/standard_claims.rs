//! Refused audiences, issuers and times.

use protocol::ErrorCode;
use serde_json::{Value, json};

use super::Issuer::LeftAlone;
use super::{Case, case};
use crate::signed::{AUDIENCE, Key, NOW, claims, claims_with};

pub(super) fn cases(a: &Key, issuer: &str) -> Vec<Case> {
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

//! Refused forms of tokens: encodings and JSON with more than one meaning.

use serde_json::json;

use super::Issuer::{Asked, LeftAlone};
use super::{Case, case};
use crate::signed::{Key, claims, claims_with};

pub(super) fn cases(a: &Key, issuer: &str, good: &str) -> Vec<Case> {
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

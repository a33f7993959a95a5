use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
id          = "orders-agent"
description = "reads orders"
use_case    = "build-workflow"
max_session = "1h"

[[trust]]
issuer   = "https://token.actions.githubusercontent.com"
audience = "cloudanix-jit"
claims   = { repository_id = "81234567", ref = ["refs/heads/main", "refs/heads/next"], environment = { glob = "prod-*" } }

[boundary]
target   = "token"
policies = { "orders-read" = "orders:read" }
"#;

#[test]
fn a_good_file() {
    let registration = parse(GOOD).unwrap();
    assert_eq!(registration.id.as_str(), "orders-agent");
    assert_eq!(registration.trust[0].platform, Platform::Github);
    assert_eq!(registration.trust[0].claims.len(), 3);
    assert_eq!(registration.boundary.target(), TargetKind::Token);
    assert!(!registration.auth_token_only);
}

#[test]
fn what_is_refused_and_the_reason() {
    let without = |from: &str, to: &str| {
        let start = GOOD.find(from).unwrap();
        let end = GOOD[start..].find(to).map_or(GOOD.len(), |end| start + end);
        format!("{}{}", &GOOD[..start], &GOOD[end..])
    };
    let with = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        GOOD.replacen(from, to, 1)
    };
    for (file, reason) in [
        (without("[[trust]]", "[boundary]"), "`trust`: no trust rule"),
        (without("audience", "claims"), "`trust[0].audience`: no audience"),
        (with("\"cloudanix-jit\"", "\"\""), "`trust[0].audience`: no audience"),
        (without("[boundary]", "~"), "`boundary`: missing"),
        (with("{ \"orders-read\" = \"orders:read\" }", "{}"), "`boundary.policies`: no permitted policy"),
        (with("\"orders:read\"", "\"two scopes\""), "`two scopes` is not a scope"),
        (with("\"token\"", "\"mainframe\""), "`mainframe` is not a target of this broker: expected `token`"),
        (
            with("target   = \"token\"", "target = \"token\"\naccount = \"1\""),
            "`boundary.account`: means nothing for `target = \"token\"`",
        ),
        (
            with("https://token.actions.githubusercontent.com", "http://ci.example"),
            "is not an issuer: expected an https URL",
        ),
        (with("https://token.actions.githubusercontent.com", "https://a@b"), "is not an issuer"),
        (with("https://token.actions.githubusercontent.com", "ftp://127.0.0.1"), "is not an issuer"),
        (with("repository_id = \"81234567\", ", ""), "expected at least one of `repository_id`"),
        (with("\"81234567\"", "\"8123*\""), "write { glob = \"8123*\" }"),
        (with("\"81234567\"", "81234567"), "expected a string, a list of strings or"),
        (with("[\"refs/heads/main\", \"refs/heads/next\"]", "[]"), "an empty list"),
        (with("\"prod-*\"", "\"**\""), "accepts everything"),
        (with("\"prod-*\"", "\"prod-[\""), "is not a glob"),
        (with("\"1h\"", "\"25h\""), "`25h` is out of range"),
        (with("\"1h\"", "3600"), "invalid type: integer"),
        (with("\"orders-agent\"", "\"Orders Agent\""), "`Orders Agent` is not an agent id"),
        (with("\"build-workflow\"", "\"fun\""), "unknown variant `fun`"),
        (with("audience =", "allow = [\"everything\"]\naudience ="), "`everything` is unknown"),
        (
            with("audience =", "platform = \"oidc\"\naudience ="),
            "is github's issuer: expected `github` or nothing, found `oidc`",
        ),
        (with("id          =", "idd ="), "unknown field `idd`"),
        ("".to_owned(), "missing field"),
        ("x".repeat(MAX_BYTES + 1), "expected at most 65536"),
    ] {
        let error = parse(&file).unwrap_err().to_string();
        assert!(error.contains(reason), "expected {reason:?} in {error:?}");
    }
}

#[test]
fn trust_in_the_auth_token_alone_has_to_be_called_dangerous() {
    let start = GOOD.find("[[trust]]").unwrap();
    let end = GOOD.find("[boundary]").unwrap();
    let file = format!("{}{}\n[dangerous]\nallow_auth_token_only = true\n", &GOOD[..start], &GOOD[end..]);
    let registration = parse(&file).unwrap();
    assert!(registration.auth_token_only && registration.trust.is_empty());
}

#[test]
fn loopback_is_this_machine_only() {
    for yes in ["127.0.0.1", "127.8.9.1:80", "localhost:8080", "[::1]:80"] {
        assert!(is_loopback(yes), "{yes}");
    }
    for no in ["127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]:80", ""] {
        assert!(!is_loopback(no), "{no}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }
}

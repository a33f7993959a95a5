//! A job on Gitea, which issues no OIDC tokens: with and without an agent that needs one.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use protocol::ErrorCode;

use crate::program::{GRANT_TOKEN, Program, grant_with_token};
use crate::scripted::{ScriptedBroker, json, problem};

const ASK: [&str; 5] = ["elevate", "--policy", "orders-read", "--ttl", "15m"];

fn on_gitea(broker: &ScriptedBroker) -> Program {
    Program::new(&broker.url(), &ASK)
        .without("CLOUDANIX_OIDC_TOKEN")
        .env("GITHUB_ACTIONS", "true")
        .env("GITEA_ACTIONS", "true")
        .env("GITHUB_REPOSITORY", "neu/orders")
        .env("GITHUB_RUN_NUMBER", "12")
        .env("GITHUB_SHA", "a7c1f24")
}

fn request(broker: &ScriptedBroker) -> serde_json::Value {
    serde_json::from_str(&broker.seen().first().unwrap().body).unwrap()
}

#[test]
fn an_agent_that_needs_no_oidc_token_gets_its_grant_and_sends_facts() {
    for pin in ["", "none"] {
        let broker = ScriptedBroker::start([json(201, grant_with_token())]);
        let program = on_gitea(&broker).env("CLOUDANIX_PLATFORM", pin).hands_over(GRANT_TOKEN);
        program.assert().code(0);
        let request = request(&broker);
        assert!(request.get("oidc_token").is_none(), "{request}");
        let claimed = &request["claimed"];
        assert_eq!(claimed["repository"], "neu/orders", "{claimed}");
        assert_eq!((&claimed["run"], &claimed["commit"]), (&"12".into(), &"a7c1f24".into()), "{claimed}");
    }
}

#[test]
fn an_agent_that_needs_an_oidc_token_learns_that_gitea_has_none() {
    let broker = ScriptedBroker::start([problem(ErrorCode::OidcTokenMissing, "no OIDC token")]);
    on_gitea(&broker)
        .assert()
        .code(4)
        .stderr(contains(
            "gitea gives this job no OIDC token: expected `ACTIONS_ID_TOKEN_REQUEST_URL`, found none",
        ))
        .stderr(contains("`CLOUDANIX_OIDC_TOKEN_FILE`"))
        .stderr(contains("`allow_auth_token_only`"))
        .stderr(contains("id-token: write").not());
}

#[test]
fn other_refusals_are_printed_in_the_brokers_words() {
    let broker =
        ScriptedBroker::start([problem(ErrorCode::PolicyNotPermitted, "policy outside the boundary")]);
    on_gitea(&broker).assert().code(3).stderr(contains("policy outside the boundary"));
}

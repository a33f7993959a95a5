//! What a person may do: by team, by group of agents, and as the rules change.

use reqwest::Method;
use serde_json::json;
use system_tests::fixture::{AUDIENCE, Agent, elevation, job_claims, new_key, registration};
use system_tests::http;
use system_tests::oidc_provider::Token;
use system_tests::waiting::eventually;

use super::{RULES, Signing};

/// An agent in the group `orders`, and its grant.
fn grant_of_orders(signing: &Signing) -> String {
    let broker = &signing.fixture.broker;
    let text = registration("shop-agent", signing.fixture.provider.issuer());
    let token = broker.register(&format!("groups = [\"orders\"]\n{text}"));
    let job = Token::with_claims(job_claims("job-of-orders")).audience(AUDIENCE);
    let oidc_token = signing.fixture.provider.mint(&job).unwrap();
    let body = json!({
        "agent_id": "shop-agent", "oidc_token": oidc_token, "policies": ["orders-read"], "ttl": "15m",
    });
    let agent = Agent { id: "shop-agent".to_owned(), auth_token: token };
    let key = new_key();
    http::send(elevation(broker, &agent, &key, &body)).expect(201).text_at("/id").to_owned()
}

#[test]
fn a_person_sees_the_agents_of_the_team_and_no_others() {
    let signing = Signing::start();
    let theirs = grant_of_orders(&signing);
    let foreign = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let bob = signing.signed_in("bob");

    bob.run(&signing, &["timeline", &theirs]).assert_code(0);
    bob.run(&signing, &["agent", "show", "shop-agent"]).assert_code(0);
    for filter in [&["--agent", "shop-agent"][..], &[]] {
        let listed = bob.run(&signing, &[&["grants", "list"], filter].concat());
        let shown = &listed.assert_code(0).stdout;
        assert!(shown.contains(&theirs) && !shown.contains(&foreign), "{shown}");
    }

    let listed = bob.run(&signing, &["agent", "list"]);
    let agents = &listed.assert_code(0).stdout;
    assert!(agents.contains("shop-agent") && !agents.contains(&signing.fixture.agent.id), "{agents}");

    // A foreign grant is not there for Bob; a foreign agent is refused without a word about whether it exists.
    let unknown = bob.run(&signing, &["timeline", "elev-0000000000000000"]);
    let hidden = bob.run(&signing, &["timeline", &foreign]);
    assert_eq!(hidden.assert_code(unknown.status.code().unwrap()).stderr, unknown.stderr);
    for agent in [signing.fixture.agent.id.as_str(), "no-such-agent"] {
        let refused = bob.run(&signing, &["agent", "show", agent]);
        assert!(refused.assert_code(3).stderr.contains("may not view"), "{}", refused.stderr);
    }
    for line in [
        &["grants", "revoke", &theirs][..],
        &["agent", "disable", "shop-agent"],
        &["agent", "rotate-token", "shop-agent"],
        &["rules", "show"],
        &["rules", "explain", &theirs],
    ] {
        let refused = bob.run(&signing, line);
        assert_ne!(refused.status.code(), Some(0), "{line:?}");
        assert!(refused.stderr.contains("Bob Example may not"), "{line:?}: {}", refused.stderr);
    }
    assert_eq!(signing.fixture.broker.live().len(), 2);
}

#[test]
fn a_change_of_the_rules_holds_for_open_sessions_and_a_mistake_changes_nothing() {
    let signing = Signing::start();
    let carol = signing.signed_in("carol");
    let session = carol.run(&signing, &["whoami", "--person"]);
    assert!(session.assert_code(0).stdout.contains("rights     none"), "{}", session.stdout);
    let broker = &signing.fixture.broker;
    let file = broker.folder().join("people.cedar");
    let write = |text: &str| {
        system_tests::certificates::put(&file, text);
        broker.hang_up();
    };
    write(&format!("{RULES}\n@id(\"all\") permit (principal, action == Action::\"view\", resource);"));
    let may = |line: &[&str]| carol.run(&signing, line).status.code() == Some(0);
    eventually("the new rules", || may(&["rules", "show"]).then_some(()));
    write("@id(\"typo\") permit (principal, action == Action::\"veiw\", resource);");
    eventually("the refusal in the log", || {
        broker.log().contains("the rights of persons stay as they were").then_some(())
    });
    assert!(may(&["rules", "show"]));
    write(RULES);
    eventually("the rules from before", || (!may(&["rules", "show"])).then_some(()));
}

#[test]
fn a_person_registers_an_agent_and_changes_the_rules_under_the_own_name() {
    let signing = Signing::start();
    let alice = signing.signed_in("alice");
    let text = registration("billing-agent", signing.fixture.provider.issuer());
    let broker = signing.fixture.broker.url();
    let applied =
        alice.client(broker, &["agent", "apply", "-f", "agent.toml"]).file("agent.toml", &text).finish();
    applied.assert_code(0);
    let rules = [("all.cedar", "@id(\"all\") permit (principal, action, resource);")];
    let applied = alice.client(broker, &["rules", "apply", "rules"]).folder_with("rules", &rules).finish();
    applied.assert_code(0);
    let history = signing.fixture.broker.operator(Method::GET, "/v2/rules/history").expect(200);
    let by = format!("Alice Example (alice at {})", signing.provider.issuer());
    assert!(history.text.contains(&by), "{}", history.text);
    assert!(signing.fixture.broker.log().contains(&format!("by={by}")), "the log names the person");
}

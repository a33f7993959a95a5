//! Agents in the console: registered through the wizard, changed, disabled; and those that come from files.

use std::fs;

use reqwest::Method;
use serde_json::json;
use system_tests::browser::{Look, Tab};
use system_tests::client::Client;
use system_tests::fixture::{AUDIENCE, job_claims, registration};
use system_tests::http;
use system_tests::oidc_provider::Token;
use system_tests::people::Browser;
use system_tests::waiting::eventually;

use super::Signing;
use super::browser::{ANSWERS, TRUST, at, signed_in};

/// Fills in the pages up to the file.
fn through_the_wizard(signing: &Signing, tab: &Tab, id: &str, project: &str) {
    tab.click("nav >> text=Agents");
    tab.click("text=Register an agent");
    tab.fill("[name=id]", id);
    tab.fill("[name=description]", "deploys <main>");
    tab.click("text=Next").has("Step 2 of 4").has("Services of your own");
    tab.fill("[name=policies]", "orders-read = orders:read\norders-write = orders:write");
    tab.fill("[name=max_session]", "30m");
    tab.choose("[name=platform]", "gitlab");
    tab.click("text=Next").has("Step 3 of 4").has("GitLab CI");
    assert_eq!(tab.value("[name=issuer]"), "https://gitlab.com");
    tab.fill("[name=issuer]", signing.fixture.provider.issuer());
    tab.fill("[name='claim:project_id']", project);
    tab.click("text=Next").has("The broker accepts this registration.");
}

/// A client in a job of the agent's project.
fn job(signing: &Signing, id: &str, auth_token: &str) -> Client {
    signing
        .fixture
        .client(&["run", "--policy", "orders-read", "--ttl", "5m", "--", "true"])
        .env("CLOUDANIX_AGENT_ID", id)
        .env("CLOUDANIX_AUTH_TOKEN", auth_token)
}

#[test]
fn a_newcomer_registers_an_agent_through_the_wizard_and_its_job_gets_a_grant() {
    for javascript in [true, false] {
        let signing = Signing::start();
        let alice = signed_in(&signing, "alice", Look { javascript, ..Look::default() });
        through_the_wizard(&signing, &alice, "web-deploy", "1");
        // What its job would present, tried before anything depends on it.
        let token = signing.fixture.oidc_token();
        alice.fill("[name=token]", &token);
        let tried = alice.click("button:has-text('Try')");
        tried.has("Rule 1: accepts these claims").has("The broker accepts this registration.");
        assert_eq!(alice.value("[name=token]"), "", "a page has the token");
        let (name, file) = alice.download("button:has-text('Download')");
        assert_eq!(name, "agent.toml");
        assert!(file.contains("description = \"deploys <main>\""), "{file}");
        let registered = alice.click("button:has-text('Register')");
        assert_eq!(registered.path(), "/console/agents/web-deploy");
        registered.has("active").has("deploys <main>").has("30m").has("orders-write = \"orders:write\"");
        let (name, auth_token) = alice.download("button:has-text('Download a new auth token')");
        assert_eq!(name, "web-deploy.auth-token");
        job(&signing, "web-deploy", auth_token.trim()).finish().assert_code(0);
        alice.click("nav >> text=Agents").has("web-deploy").has("orders-agent");
    }
}

#[test]
fn a_mistake_is_shown_on_its_page_with_what_was_typed() {
    let signing = Signing::start();
    let alice = signed_in(&signing, "alice", Look::default());
    alice.open(&at(&signing, "/console/agents/new"));
    alice.fill("[name=id]", "Web Deploy");
    alice.click("text=Next").has("Step 1 of 4").has("Web Deploy");
    assert_eq!(alice.value("[name=id]"), "Web Deploy");
    alice.fill("[name=id]", "web-deploy");
    alice.click("text=Next").has("Step 2 of 4");
    alice.fill("[name=policies]", "orders-read = orders read\nand more");
    alice.click("text=Next").has("policies: expected `name = value` on each line, found `and more`");
    assert_eq!(alice.value("[name=policies]"), "orders-read = orders read\nand more");
    alice.fill("[name=policies]", "orders-read = orders read");
    alice.click("text=Next").has("Step 2 of 4").has("`orders read` is not a scope");
    alice.fill("[name=policies]", "orders-read = orders:read");
    alice.fill("[name=max_session]", "25h");
    alice.click("text=Next").has("Step 2 of 4").has("25h");
    alice.fill("[name=max_session]", "1h");
    alice.click("text=Next").has("Step 3 of 4");
    alice.fill("[name='claim:ref']", "refs/heads/main");
    alice.click("text=Next").has("Step 3 of 4").has("accepts the runs of every customer");
    // Back keeps what was typed, also what the page before did not ask for.
    alice.click("button:has-text('Back')").has("Step 2 of 4");
    assert_eq!(alice.value("[name=policies]"), "orders-read = orders:read");
    alice.click("text=Next");
    assert_eq!(alice.value("[name='claim:ref']"), "refs/heads/main");
    alice.fill("[name='claim:repository']", "octo-org/my-app");
    alice.click("text=Next").has("Step 4 of 4").has("The broker accepts this registration.");
}

#[test]
fn a_link_of_another_site_leads_to_the_first_page_of_the_wizard() {
    let signing = Signing::start();
    let mut browser = Browser::default();
    browser.sign_in(&at(&signing, "/console"), "alice");
    let cookies = browser.cookies(signing.fixture.broker.url()).join("; ");
    let path = format!("/console/agents/new?{ANSWERS}&{TRUST}&done=trust");
    for (site, step) in [("cross-site", 1), ("same-site", 1), ("same-origin", 4), ("none", 4)] {
        let request = http::request(Method::GET, &at(&signing, &path)).header("cookie", &cookies);
        let page = http::send(request.header("sec-fetch-site", site));
        assert!(page.text.contains(&format!("Step {step} of 4")), "{site}: {}", page.text);
        assert!(page.text.contains("81234567"), "{site}: the answers are kept");
    }
}

#[test]
fn a_run_is_tried_on_the_rules_by_its_token_or_by_its_grant() {
    let signing = Signing::start();
    let grant = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let alice = signed_in(&signing, "alice", Look::default());
    through_the_wizard(&signing, &alice, "web-deploy", "2");
    alice.choose("[name=grant]", &grant);
    let refused = alice.click("button:has-text('Try')");
    refused.has("Rule 1: refuses · the claim `project_id` is `1`: expected `2`").has("octo/my-app");
    // An expired token still says what its claims are.
    let expired = Token::with_claims(job_claims("job-1")).audience(AUDIENCE).expires_in(-600);
    alice.fill("[name=token]", &signing.fixture.provider.mint(&expired).unwrap());
    let refused = alice.click("button:has-text('Try')");
    refused
        .has("Rule 1: refuses · the claim `project_id` is `1`")
        .has("The token itself: the token expired at");
    alice.fill("[name=token]", "not a token");
    alice.click("button:has-text('Try')").has("expected header, payload and signature");
    assert!(!signing.fixture.broker.log().contains("not a token"));
    // The token of the job is still good for its grant.
    let trusted = registration("other-agent", signing.fixture.provider.issuer());
    let token = signing.fixture.oidc_token();
    alice.fill("[name=registration]", &trusted);
    alice.fill("[name=token]", &token);
    alice.click("button:has-text('Try')").has("Rule 1: accepts these claims");
    signing.fixture.elevate().expect(201);
    assert!(!signing.fixture.broker.log().contains(&token));
}

#[test]
fn an_agent_is_changed_disabled_and_enabled_by_persons_with_the_right() {
    let signing = Signing::start();
    let grant = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let alice = signed_in(&signing, "alice", Look::default());
    alice.open(&at(&signing, "/console/agents/orders-agent"));
    alice.click("text=Change it").has("already");
    let text = alice.value("[name=registration]").replace("max_session = \"1h\"", "max_session = \"20m\"");
    alice.fill("[name=registration]", &text);
    alice.click("button:has-text('Replace')").has("20m");
    // A second registration of the same name replaces nothing by mistake.
    through_the_wizard(&signing, &alice, "orders-agent", "1");
    alice.click("button:has-text('Replace')").has("30m");
    alice.click("button:has-text('Disable')").has("disabled");
    let ended = eventually("the end of the grant", || {
        let shown = alice.open(&at(&signing, &format!("/console/grants/{grant}")));
        shown.text.contains("REVOKED").then_some(shown)
    });
    ended.has("Alice Example");
    alice.open(&at(&signing, "/console/agents/orders-agent"));
    alice.click("button:has-text('Enable')").has("active");

    let bob = signed_in(&signing, "bob", Look::default());
    assert!(!bob.open(&at(&signing, "/console/agents")).text.contains("orders-agent"));
    bob.open(&at(&signing, "/console/agents/new")).has("Bob Example may not register");
}

#[test]
fn an_agent_that_comes_from_a_file_is_read_only() {
    let signing = Signing::start();
    let folder = tempfile::tempdir().unwrap();
    let source = registration("file-agent", signing.fixture.provider.issuer());
    fs::write(folder.path().join("file-agent.toml"), &source).unwrap();
    let agents = format!("agents = \"{}\"\nlisten =", folder.path().display());
    signing.fixture.broker.reconfigure(|text| text.replacen("listen =", &agents, 1));
    signing.fixture.broker.hang_up();
    let agent = eventually("the agent of the file", || {
        let found = signing.fixture.broker.operator(Method::GET, "/v2/agents/file-agent");
        (found.status == 200 && found.json["from_file"] == true).then_some(found)
    });
    assert_eq!(agent.text_at("/registration"), source);
    let alice = signed_in(&signing, "alice", Look::default());
    let shown = alice.open(&at(&signing, "/console/agents/file-agent"));
    shown.has("From a file in the broker's folder of registrations");
    assert!(!shown.text.contains("Change it, or"), "{}", shown.text);
    let file = alice.open(&at(&signing, "/console/agents/file-agent/file"));
    file.has("change it there");
    assert!(!file.text.contains("Replace") && !file.text.contains("Register\n"), "{}", file.text);
    // Also if a form is sent that no page has.
    let mut browser = Browser::default();
    let inbox = browser.sign_in(&at(&signing, "/console"), "alice");
    let fields = [("csrf", inbox.field("csrf")), ("registration", &source), ("replace", "true")];
    let refused = browser.post(&at(&signing, "/console/agents"), &fields);
    assert!(refused.text.contains("comes from a file"), "{}", refused.text);
    let checked = signing.fixture.operator_client(&["agent", "check", "-f", "agent.toml"]);
    let checked = checked.file("agent.toml", &source).finish();
    assert!(checked.assert_code(0).stderr.contains("replaces it again"), "{}", checked.stderr);
    // Without the folder it is an agent like any other.
    signing.fixture.broker.reconfigure(|text| text.replacen(&agents, "listen =", 1));
    signing.fixture.broker.hang_up();
    eventually("the agent without its file", || {
        let found = signing.fixture.broker.operator(Method::GET, "/v2/agents/file-agent");
        (found.json["from_file"] == false).then_some(())
    });
}

#[test]
fn no_page_has_a_token_and_a_new_one_ends_the_others() {
    let signing = Signing::start();
    let mut alice = Browser::default();
    let inbox = alice.sign_in(&at(&signing, "/console"), "alice");
    let csrf = inbox.field("csrf").to_owned();
    let tokens = at(&signing, "/console/agents/orders-agent/tokens");
    let made = alice.post(&tokens, &[("csrf", &csrf), ("overlap", "1h")]);
    let token = made.text.trim().to_owned();
    assert!(made.status == 200 && token.starts_with("cjat_"), "{}", made.status);
    let page = alice.get(&at(&signing, "/console/agents/orders-agent"));
    assert!(!page.text.contains(&token) && !page.text.contains(&signing.fixture.agent.auth_token));
    // Both are accepted meanwhile; then the last alone.
    job(&signing, "orders-agent", &signing.fixture.agent.auth_token).finish().assert_code(0);
    job(&signing, "orders-agent", &token).finish().assert_code(0);
    let last = alice.post(&tokens, &[("csrf", &csrf)]).text;
    job(&signing, "orders-agent", &token).finish().assert_code(125);
    job(&signing, "orders-agent", last.trim()).finish().assert_code(0);
    let refused = alice.post(&tokens, &[("csrf", &csrf), ("overlap", "soon")]);
    assert_eq!(refused.status, 422, "{}", refused.text);
    let log = signing.fixture.broker.log();
    assert!(!log.contains(&token) && !log.contains(last.trim()));
}

#[test]
fn the_command_line_checks_a_registration_as_the_console_does() {
    let signing = Signing::start();
    let grant = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let file = registration("orders-agent", signing.fixture.provider.issuer());
    let check = |more: &[&str], file: &str| {
        let arguments = [&["agent", "check", "-f", "agent.toml"], more].concat();
        let client = signing.fixture.operator_client(&arguments).file("agent.toml", file);
        client.file("token.jwt", &signing.fixture.oidc_token()).finish()
    };
    let alone = check(&[], &file);
    assert!(
        alone.assert_code(0).stderr.contains("can be applied · replaces a registration"),
        "{}",
        alone.stderr
    );
    for more in [["--token-file", "token.jwt"], ["--grant", &grant]] {
        let accepted = check(&more, &file);
        assert!(
            accepted.assert_code(0).stderr.contains("trust[0] accepts these claims"),
            "{}",
            accepted.stderr
        );
        assert!(accepted.stdout.contains("project_path = octo/my-app\n"), "{}", accepted.stdout);
        let refused = check(&more, &file.replace("\"1\"", "\"2\""));
        refused.assert_code(1);
        for part in ["trust[0]: the claim `project_id` is `1`", "none of the 1 trust rules accepts it"] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    let unknown = check(&["--grant", "elev-0000000000000000"], &file);
    assert!(unknown.assert_code(2).stderr.contains("grant_not_found"), "{}", unknown.stderr);
    let invalid = check(&[], "id = 1");
    assert!(invalid.assert_code(2).stderr.contains("invalid_registration"), "{}", invalid.stderr);
    let both = json!({"registration": file, "token": "a", "grant": grant});
    let broker = &signing.fixture.broker;
    let request = broker.request(Method::POST, "/v2/registrations/check").json(&both);
    let refused = http::send(request.bearer_auth(broker.operator_token()));
    assert_eq!(refused.outcome(), (422, "invalid_request"));
}

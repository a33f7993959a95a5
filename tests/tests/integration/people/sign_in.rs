//! The sign-in from end to end, with the client and a browser.

use serde_json::json;
use system_tests::people::ProviderOptions;

use super::{Person, Signing, people};

#[test]
fn a_person_signs_in_ends_a_grant_and_is_on_its_timeline() {
    let signing = Signing::start();
    let grant = signing.fixture.elevate().expect(201).text_at("/id").to_owned();
    let mut alice = Person::new("alice");
    let refused = alice.run(&signing, &["grants", "list"]);
    assert!(
        refused.assert_code(2).stderr.contains("sign in with `cloudanix-jit login`"),
        "{}",
        refused.stderr
    );

    let login = alice.login(&signing, &[]);
    assert!(login.assert_code(0).stderr.contains("✓ login    Alice Example · until "), "{}", login.stderr);
    let whoami = alice.run(&signing, &["whoami", "--person", "--output", "json"]);
    let session = whoami.assert_code(0).json();
    assert_eq!(session["person"]["issuer"], signing.provider.issuer());
    assert_eq!(session["person"]["subject"], "alice");
    assert_eq!(session["groups"], json!(["everyone", "platform"]));
    assert_eq!(session["rights"], json!(["view", "operate", "register", "audit"]));

    let listed = alice.run(&signing, &["grants", "list", "--live"]);
    assert!(listed.assert_code(0).stdout.contains(&grant), "{}", listed.stdout);
    alice.run(&signing, &["grants", "revoke", &grant]).assert_code(0);
    let timeline = signing.fixture.broker.timeline(&grant);
    let end = timeline["events"].as_array().unwrap().iter().find(|event| event["kind"] == "revoke").unwrap();
    assert_eq!(end["text"], "ended by Alice Example");
    let issuer = signing.provider.issuer();
    let actor = json!({"kind": "person", "issuer": issuer, "subject": "alice", "name": "Alice Example"});
    assert_eq!(end["actor"], actor);

    alice.run(&signing, &["logout"]).assert_code(0);
    alice.run(&signing, &["grants", "list"]).assert_code(2);
    let again = alice.run(&signing, &["logout"]);
    assert!(again.assert_code(0).stderr.contains("there was no session"), "{}", again.stderr);
}

#[test]
fn without_a_browser_on_the_machine_the_code_is_pasted() {
    let signing = Signing::start();
    let mut alice = Person::new("alice");
    let client = alice.client(signing.fixture.broker.url(), &["login", "--no-browser"]);
    let mut running = client.with_input().start();
    let lines = running.line_in("stderr");
    let (_, address) = lines.lines().next().unwrap().split_once("sign in at ").expect("the address");
    let page = alice.browser.sign_in(address, "alice");
    assert!(page.text.contains("You are signed in as <strong>Alice Example</strong>"), "{}", page.text);
    running.write(&format!("{}\n", page.code()));
    running.finish().assert_code(0);
    alice.run(&signing, &["whoami", "--person"]).assert_code(0);
}

#[test]
fn a_confidential_client_and_claims_at_the_userinfo_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "a-secret-of-the-broker-at-the-provider";
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let options = ProviderOptions { client_secret: Some(secret), claims_at_userinfo: true };
    let signing = Signing::with(options, &format!("client_secret_file = \"{}\"", file.display()));
    let alice = signing.signed_in("alice");
    let session = alice.run(&signing, &["whoami", "--person", "--output", "json"]).json();
    assert_eq!(session["person"]["name"], "Alice Example");
    assert_eq!(session["groups"], json!(["everyone", "platform"]));
}

#[test]
fn a_session_at_the_provider_is_used_unless_a_fresh_sign_in_is_wanted() {
    let signing = Signing::start();
    let mut alice = signing.signed_in("alice");
    let proved = |alice: &Person| {
        let session = alice.run(&signing, &["whoami", "--person", "--output", "json"]).json();
        session["authenticated_at"].as_str().unwrap().to_owned()
    };
    let forms = |alice: &Person| {
        alice.browser.visited.iter().filter(|url| url.path().starts_with("/interaction/")).count()
    };
    let (first, asked) = (proved(&alice), forms(&alice));
    alice.login(&signing, &[]).assert_code(0);
    assert_eq!((proved(&alice), forms(&alice)), (first.clone(), asked), "the provider asked nothing");
    alice.login(&signing, &["--fresh"]).assert_code(0);
    assert!(forms(&alice) > asked, "the provider asked again");
    assert!(proved(&alice) >= first);
}

#[test]
fn a_second_sign_in_knows_new_groups_and_an_open_session_the_old_ones() {
    let mut signing = Signing::start();
    let carol = signing.signed_in("carol");
    carol.run(&signing, &["rules", "show"]).assert_code(3);
    let mut promoted = people();
    promoted["carol"]["groups"] = json!(["platform"]);
    signing.provider.set_people(&promoted).unwrap();
    carol.run(&signing, &["rules", "show"]).assert_code(3);
    signing.signed_in("carol").run(&signing, &["rules", "show"]).assert_code(0);
}

#[test]
fn sessions_of_two_brokers_are_kept_apart() {
    let (one, other) = (Signing::start(), Signing::start());
    let mut alice = Person::new("alice");
    alice.login(&one, &[]).assert_code(0);
    alice.run(&one, &["rules", "show"]).assert_code(0);
    alice.run(&other, &["rules", "show"]).assert_code(2);
    alice.login(&other, &[]).assert_code(0);
    for signing in [&one, &other] {
        alice.run(signing, &["rules", "show"]).assert_code(0);
    }
}

//! Sessions that others end: an operator, and the provider by a security event.

use reqwest::Method;
use serde_json::json;
use system_tests::fixture::Fixture;
use system_tests::http;
use system_tests::oidc_provider::Token;
use system_tests::people::{configure_issuer, session};
use system_tests::waiting::eventually;

use super::{Person, RULES, Signing};

#[test]
fn all_sessions_of_a_person_are_ended_by_another() {
    let signing = Signing::start();
    let alice = signing.signed_in("alice");
    let (laptop, desktop) = (signing.signed_in("bob"), signing.signed_in("bob"));
    let listed = alice.run(&signing, &["sessions", "list", "--output", "json"]);
    let listed = listed.assert_code(0).json();
    let subjects: Vec<_> =
        listed["sessions"].as_array().unwrap().iter().map(|one| one["person"]["subject"].clone()).collect();
    assert_eq!(subjects.iter().filter(|subject| *subject == "bob").count(), 2, "{listed}");
    let text = alice.run(&signing, &["sessions", "list"]);
    assert!(text.assert_code(0).stdout.contains("Bob Example"), "{}", text.stdout);
    laptop.run(&signing, &["sessions", "list"]).assert_code(3);

    let ended = alice.run(&signing, &["sessions", "end", "bob"]);
    assert!(ended.assert_code(0).stderr.contains("2 sessions ended"), "{}", ended.stderr);
    let whoami = |person: &Person| person.run(&signing, &["whoami", "--person"]);
    for bob in [&laptop, &desktop] {
        assert!(whoami(bob).assert_code(4).stderr.contains("session ended"), "{}", whoami(bob).stderr);
    }
    whoami(&alice).assert_code(0);
    let again = signing.fixture.operator_client(&["sessions", "end", "bob"]).finish();
    assert!(again.assert_code(0).stderr.contains("0 sessions ended"), "{}", again.stderr);
}

#[test]
fn a_provider_that_revokes_a_session_ends_it_here() {
    let fixture = Fixture::start();
    let issuer = fixture.provider.issuer().to_owned();
    configure_issuer(&fixture.broker, &issuer, RULES, "");
    fixture.broker.reconfigure(|text| {
        format!(
            "{text}\n[posture.idp]\nmax_age_minutes = 60\n[posture.idp.security_events]\n\
             issuer = \"{issuer}\"\naudience = \"https://jit.example.com\"\nsubject = \"actor\"\n"
        )
    });
    fixture.broker.hang_up();
    // This provider signs every person in under the same name.
    let token = session(&fixture.broker, "johndoe");
    let current = || {
        let request = fixture.broker.request(Method::GET, "/v2/sessions/current").bearer_auth(&token);
        http::send(request).status
    };
    let push = |subject: &str, kind: &str, event: serde_json::Value| {
        let kind = format!("https://schemas.openid.net/secevent/caep/event-type/{kind}");
        let subject = json!({"format": "iss_sub", "iss": issuer, "sub": subject});
        let claims = json!({"jti": "1", "sub_id": subject, "events": {kind: event}, "exp": null});
        let event =
            Token::with_claims(claims).audience("https://jit.example.com").header("typ", "secevent+jwt");
        let request = fixture.broker.request(Method::POST, "/v2/security-events/idp");
        let event = fixture.provider.mint(&event).unwrap();
        http::send(request.header("content-type", "application/secevent+jwt").body(event)).status
    };
    let compliant = json!({"current_status": "not-compliant", "previous_status": "compliant"});
    eventually("the transmitter in the configuration", || {
        (push("johndoe", "device-compliance-change", compliant.clone()) == 202).then_some(())
    });
    assert_eq!(push("another", "session-revoked", json!({})), 202);
    assert_eq!(push("johndoe", "credential-change", json!({"change_type": "create"})), 202);
    assert_eq!(current(), 200);
    assert_eq!(push("johndoe", "session-revoked", json!({})), 202);
    assert_eq!(current(), 401);
}

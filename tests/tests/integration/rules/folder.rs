//! The configured folder of rules.

use std::fs;

use reqwest::Method;
use system_tests::fixture::Fixture;
use system_tests::http;
use system_tests::waiting::eventually;

use super::{PERMIT, SHORT};

fn metric(fixture: &Fixture, name: &str) -> String {
    let metrics = http::send(fixture.broker.request(Method::GET, "/metrics")).expect(200).text;
    let line = metrics.lines().find(|line| line.starts_with(&format!("cloudanix_jit_{name} ")));
    line.unwrap_or_default().rsplit(' ').next().unwrap_or_default().to_owned()
}

fn ready(fixture: &Fixture) -> String {
    http::send(fixture.broker.request(Method::GET, "/readyz")).expect(200).text
}

#[test]
fn a_broken_folder_changes_nothing_and_says_so_until_it_is_corrected() {
    let mut fixture = Fixture::start();
    let folder = fixture.broker.folder().join("rules");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("rules.cedar");
    fs::write(&file, PERMIT).unwrap();
    fixture.broker.reconfigure(|text| format!("{text}\n[rules]\nfolder = \"{}\"\n", folder.display()));
    fixture.broker.hang_up();
    let version = || fixture.broker.operator(Method::GET, "/v2/rules").expect(200).json["version"].clone();
    eventually("the rules of the folder", || (version() == 1).then_some(()));
    assert_eq!(ready(&fixture), "ok\n");

    fs::write(&file, r#"@id("all") permit (principal, action, ressource);"#).unwrap();
    fixture.broker.hang_up();
    eventually("the refusal", || (metric(&fixture, "rules_folder_refused") == "1").then_some(()));
    assert!(ready(&fixture).contains("the folder of rules is refused"));
    assert_eq!(version(), 1);
    assert!(fixture.broker.log().contains("rules.cedar"), "{}", fixture.broker.log());
    fixture.elevate().expect(201);

    // At a start too, because a set is active in the database.
    fixture.broker.restart();
    assert_eq!(metric(&fixture, "rules_folder_refused"), "1");
    fixture.elevate().expect(201);

    fs::write(&file, SHORT).unwrap();
    fixture.broker.hang_up();
    let version = || fixture.broker.operator(Method::GET, "/v2/rules").expect(200).json["version"].clone();
    eventually("the corrected rules", || (version() == 2).then_some(()));
    assert_eq!(metric(&fixture, "rules_folder_refused"), "0");
    assert_eq!(fixture.elevate().outcome(), (403, "rule_denied"));
}

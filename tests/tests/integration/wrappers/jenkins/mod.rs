//! Tests that the Jenkins library issues a grant to a block of steps, revokes it however the block ends, and writes no
//! secret to Jenkins' records.

mod approval;
mod aws;
mod build;
mod cancel;
mod inputs;

use std::fs;

use serde_json::Value;
use system_tests::broker::Broker;
use system_tests::onlooker;

use self::build::Fixture;

/// The first step stores values for the test only; the second waits for the file `go`.
pub(crate) const BLOCK: &str = r#"
def value = cloudanixElevate(policy: 'orders-read', ttl: '15m', reason: 'a test') {
    sh 'cat "$CLOUDANIX_GRANT_TOKEN_FILE" > "$WORKSPACE"/../../$(basename "${WORKSPACE%/*}").kept'
    sh 'echo "$JENKINS_SERVER_COOKIE" > cookie; env > environment; echo "$CLOUDANIX_GRANT_ID" > running; \
        until [ -e go ]; do sleep 0.05; done'
    "made with ${env.CLOUDANIX_GRANT_ID}".toString()
}
return value
"#;

#[test]
fn a_block_has_its_grant_from_its_first_step_to_its_last() {
    let fixture = Fixture::with(Broker::start());
    let mut build = fixture.build(142, BLOCK);
    let id = build.line_in("running");
    let token = build.grant_token();
    assert_eq!(fixture.broker.live().len(), 1);
    assert_eq!(fixture.broker.introspect(&token)["active"], true);
    let environment = fs::read_to_string(build.path("workspace/environment")).unwrap();
    for name in ["CLOUDANIX_AUTH_TOKEN", "CLOUDANIX_OIDC_TOKEN_FILE", "CLOUDANIX_GRANT_TOKEN"] {
        assert!(!environment.contains(&format!("{name}=")), "{name} in {environment}");
    }

    build.touch("go");
    assert_eq!(build.result(), format!("SUCCESS made with {id}"));
    assert_eq!(fixture.broker.live(), Vec::<Value>::new());
    assert_eq!(fixture.broker.introspect(&token)["active"], false);
    assert_eq!(build.left_behind(), Vec::<std::path::PathBuf>::new());
    let log = build.log();
    assert!(log.contains("elevate") && log.contains("step finished · exit 0"), "{log}");

    let timeline = fixture.broker.timeline(&id);
    assert!(timeline.to_string().contains("step finished"), "{timeline}");
    let grant = &fixture.broker.grants("all")[0];
    let provenance = &grant["provenance"];
    for said in ["signed", "claimed"] {
        assert_eq!(provenance[said]["workflow"], "team/my-app/main", "{grant}");
        assert_eq!(
            (&provenance[said]["run"], &provenance[said]["commit"]),
            (&"142".into(), &"a7c1f24".into())
        );
    }
    assert_eq!((&provenance["platform"], &provenance["trust"]), (&"jenkins".into(), &"oidc".into()));
    assert_eq!(grant["reason"], "a test");
    fixture.assert_no_leak(&build, Some(&token));
}

#[test]
fn no_process_environment_shows_auth_token_or_oidc_token() {
    let fixture = Fixture::with(Broker::start());
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), onlooker::look("seen")).unwrap();
    let pipeline = format!(
        "cloudanixElevate(policy: 'orders-read') {{ sh 'sh {}; ls -A \"$WORKSPACE_TMP\"/*/ > files' }}",
        script.path().display()
    );
    let mut build = fixture.build(148, &pipeline);
    assert!(build.result().starts_with("SUCCESS"), "{}", build.log());
    assert_eq!(build.shown_in("seen"), Vec::<String>::new());
    let files = fs::read_to_string(build.path("workspace/files")).unwrap();
    assert!(files.contains("state.json") && !files.contains("auth-token"), "{files}");
    assert_eq!(fixture.broker.live(), Vec::<Value>::new());
}

#[test]
fn error_of_a_block_fails_the_build() {
    let fixture = Fixture::with(Broker::start());
    let mut build = fixture.build(
        143,
        "cloudanixElevate(policy: 'orders-read') { sh 'echo $CLOUDANIX_GRANT_ID > running; exit 7' }",
    );
    assert_eq!(build.result(), "FAILURE hudson.AbortException: script returned exit code 7");
    assert_eq!((fixture.broker.given().len(), fixture.broker.live().len()), (1, 0));
    fixture.assert_no_leak(&build, None);
}

#[test]
fn policy_outside_the_boundary_is_refused_with_the_brokers_reason() {
    let fixture = Fixture::with(Broker::start());
    let mut build = fixture.build(144, "cloudanixElevate(policy: 'admin') { sh 'echo ran > ran' }");
    let result = build.result();
    assert!(result.starts_with("FAILURE hudson.AbortException: script returned exit code"), "{result}");
    assert!(build.log().contains("admin"), "{}", build.log());
    assert!(!build.path("workspace/ran").exists());
    assert_eq!(fixture.broker.given(), Vec::<Value>::new());
}

#[test]
fn two_builds_of_one_agent_leave_each_others_grant() {
    let fixture = Fixture::with(Broker::start());
    let (mut one, mut two) = (fixture.build(145, BLOCK), fixture.build(146, BLOCK));
    one.line_in("running");
    let id = two.line_in("running");
    assert_ne!(one.grant_token(), two.grant_token());
    assert_eq!(fixture.broker.live().len(), 2);
    one.touch("go");
    assert!(one.result().starts_with("SUCCESS"), "{}", one.log());
    let live = fixture.broker.live();
    assert_eq!((live.len(), live[0]["id"].as_str()), (1, Some(id.as_str())));
    two.touch("go");
    assert!(two.result().starts_with("SUCCESS"), "{}", two.log());
    assert_eq!(fixture.broker.live(), Vec::<Value>::new());
}

#[test]
fn a_broker_that_is_away_when_the_block_ends_is_told_when_it_is_back() {
    let mut fixture = Fixture::with(Broker::start());
    let mut build = fixture.build(147, BLOCK);
    build.line_in("running");
    build.grant_token();
    fixture.broker.kill();
    build.touch("go");
    let result = build.result();
    assert!(result.starts_with("SUCCESS made with elev-"), "{result} {}", build.log());
    assert!(
        build.log().contains("not confirmed") || build.log().contains("goes on trying"),
        "{}",
        build.log()
    );
    fixture.broker.restart();
    fixture.broker.wait_until_nothing_is_live();
}

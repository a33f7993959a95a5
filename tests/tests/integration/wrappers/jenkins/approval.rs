//! A block that needs the approval of a person.

use serde_json::Value;
use system_tests::approvals::Approver;
use system_tests::broker::Broker;

use super::build::Fixture;

#[test]
fn a_block_waits_for_a_person_or_fails_the_build() {
    let fixture = Fixture::with(Broker::start());
    let alice = Approver::at(&fixture.broker);
    let block = "cloudanixElevate(policy: 'orders-read', wait: 'WAIT') { sh 'echo ran > ran' }";
    let mut build = fixture.build(142, &block.replace("WAIT", "5m"));
    let id = alice.approve_next();
    let result = build.result();
    assert!(result.starts_with("SUCCESS"), "{result} {}", build.log());
    assert!(build.log().contains(&format!("cloudanix-jit approve {id}")), "{}", build.log());
    assert_eq!(fixture.broker.timeline(&id)["grant"]["status"], "revoked");

    let mut build = fixture.build(143, &block.replace("WAIT", "1s"));
    assert_eq!(build.result(), "FAILURE hudson.AbortException: script returned exit code 6");
    assert!(!build.path("workspace/ran").exists());
    assert_eq!(fixture.broker.live(), Vec::<Value>::new());
}

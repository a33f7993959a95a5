//! A job that needs the approval of a person.

use system_tests::approvals::Approver;
use system_tests::fixture::Fixture;

use super::project::Project;

const PIPELINE: &str = r#"
stages: [deploy]
include: [{ local: cloudanix-jit.gitlab-ci.yml }]
deploy:
  stage: deploy
  extends: .cloudanix-elevate
  variables: { CLOUDANIX_POLICY: orders-read, CLOUDANIX_WAIT: WAIT }
  script: [cloudanix_run echo it ran]
"#;

#[test]
fn a_job_waits_for_a_person_or_exits_with_6() {
    let fixture = Fixture::start();
    let alice = Approver::at(&fixture.broker);
    let pipeline = |wait: &str| Project::with(Some(&PIPELINE.replace("WAIT }", &format!("{wait} }}"))));
    let project = pipeline("5m");
    let running = project.start(&fixture, &fixture.agent, &fixture.oidc_token());
    let id = alice.approve_next();
    let finished = running.finish();
    let printed = finished.printed_by("deploy");
    assert_eq!(finished.code_of("deploy"), 0, "{printed}");
    assert!(
        printed.contains("it ran") && printed.contains(&format!("cloudanix-jit approve {id}")),
        "{printed}"
    );
    assert_eq!(fixture.broker.timeline(&id)["grant"]["status"], "revoked");

    let project = pipeline("1s");
    let finished = project.start(&fixture, &fixture.agent, &fixture.oidc_token()).finish();
    let printed = finished.printed_by("deploy");
    assert_eq!(finished.code_of("deploy"), 6, "{printed}");
    assert!(!printed.contains("it ran\n"), "{printed}");
    fixture.broker.wait_until_nothing_is_live();
}

//! A step that needs the approval of a person.

use system_tests::approvals::Approver;

use super::hub::{Hub, text};
use super::step::{Step, line_in};

#[test]
fn a_command_waits_for_a_person_and_runs_with_its_grant() {
    let hub = Hub::start();
    let alice = Approver::at(&hub.broker);
    let step = Step::of(&hub).input("run", "echo $CLOUDANIX_GRANT_ID > grant");
    let running = step.start("main.js");
    let id = alice.approve_next();
    let main = running.finish();
    main.assert_code(0);
    assert!(main.stderr.contains(&format!("cloudanix-jit approve {id}")), "{main:?}");
    assert_eq!(text(&hub.assert_ended(1, "step finished · exit 0"), "/id"), id);
    assert_eq!(line_in(&step.in_workspace("grant")), id);
}

#[test]
fn a_step_that_is_not_approved_in_time_exits_with_6_and_runs_nothing() {
    let hub = Hub::start();
    let _alice = Approver::at(&hub.broker);
    let step = Step::of(&hub).input("wait", "1s").input("run", "echo ran > ran");
    step.run("main.js").assert_code(6);
    assert!(!step.in_workspace("ran").exists());
    let for_the_job = Step::of(&hub).input("wait", "1s");
    for_the_job.run("main.js").assert_code(6);
    for_the_job.run("post.js").assert_code(0);
    hub.broker.wait_until_nothing_is_live();
    assert_eq!(hub.broker.given().len(), 0);
}

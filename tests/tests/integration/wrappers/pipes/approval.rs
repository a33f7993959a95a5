//! Steps at Bitbucket and CircleCI that need the approval of a person.

use serde_json::json;
use system_tests::approvals::Approver;

use super::platform::{BITBUCKET, CIRCLECI, PlatformFixture};
use super::{bitbucket_step, circleci_job};

#[test]
fn a_bitbucket_pipe_and_script_wait_for_a_person_or_exit_with_6() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let machine = bitbucket_step::machine_of(&mut platform, "{step-1}");
    let alice = Approver::at(&platform.fixture.broker);
    let policy = ("POLICY", "orders-read");
    let piped = bitbucket_step::pipe(&machine, &[policy, ("COMMAND", "touch ran")]);
    let id = alice.approve_next();
    assert_eq!(piped.finish(), Some(0), "{}", machine.logs());
    assert!(machine.path("workspace/ran").exists());
    assert!(machine.logs().contains(&format!("cloudanix-jit approve {id}")), "{}", machine.logs());
    let waits = [policy, ("COMMAND", "touch again"), ("WAIT", "1s")];
    assert_eq!(bitbucket_step::pipe(&machine, &waits).finish(), Some(6), "{}", machine.logs());

    let line = json!(["sh ci/cloudanix-jit.sh run --policy orders-read --ttl 15m --wait 1s -- touch again"]);
    assert_eq!(bitbucket_step::script(&machine, "script", &line).finish(), Some(6), "{}", machine.logs());
    assert!(!machine.path("workspace/again").exists());
    platform.fixture.broker.wait_until_nothing_is_live();
    drop(alice);
    platform.assert_no_leak(&machine);
}

#[test]
fn a_circleci_job_waits_for_a_person_or_exits_with_6() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = circleci_job::machine_of(&mut platform, "job-1");
    let alice = Approver::at(&platform.fixture.broker);
    let (codes, id) = std::thread::scope(|scope| {
        let job = scope.spawn(|| circleci_job::Job::of(&machine, &[circleci_job::run("touch ran")]).finish());
        let id = alice.approve_next();
        (job.join().unwrap(), id)
    });
    assert_eq!(codes["Run with a grant"], Some(0), "{}", machine.logs());
    assert!(machine.path("workspace/ran").exists());
    assert!(machine.logs().contains(&format!("cloudanix-jit approve {id}")), "{}", machine.logs());

    let command = json!({"run": {"policy": "orders-read", "command": "touch again", "wait": "1s"}});
    let codes = circleci_job::Job::of(&machine, &[command]).finish();
    assert_eq!(codes["Run with a grant"], Some(6), "{}", machine.logs());
    let steps = json!({"elevate": {
        "policy": "orders-read", "wait": "1s",
        "steps": [{"run": {"name": "Step", "command": "touch again"}}],
    }});
    let codes = circleci_job::Job::of(&machine, &[steps]).finish();
    assert_eq!(codes["Wait for the grant"], Some(6), "{}", machine.logs());
    assert!(!machine.path("workspace/again").exists());
    platform.fixture.broker.wait_until_nothing_is_live();
    drop(alice);
    platform.assert_no_leak(&machine);
}

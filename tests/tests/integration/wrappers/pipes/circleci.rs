//! The orb's steps elevate, keep and revoke a grant, run as CircleCI runs them.

use std::fs;

use serde_json::{Value, json};
use system_tests::broker::Broker;

use super::circleci_job::{Job, WAITS, as_job, elevate, machine_of, run, start};
use super::machine::Machine;
use super::platform::{CIRCLECI, PlatformFixture};

#[test]
fn a_command_runs_with_a_grant_that_ends_with_it_and_without_the_jobs_identity() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let command = "aws ecs update-service --cluster prod\naws ecs wait services-stable | cat\n\
                   env >seen; printf %s $CLOUDANIX_GRANT_TOKEN >KEPT; env";
    let kept = machine.aside("grant-token");
    let command = command.replace("KEPT", &kept);
    let codes = Job::of(&machine, &[run(&command)]).finish();
    assert_eq!(codes["Run with a grant"], Some(0), "{}", machine.logs());
    let timeline = platform.assert_ended("step finished · exit 0").to_string();
    for fact in ["github.com/octo/my-app", "job-1", "octo/my-app", "a7c1f24", "142", "deploys main"] {
        assert!(timeline.contains(fact), "`{fact}` is not in {timeline}");
    }
    let calls = fs::read_to_string(machine.path("workspace/aws-calls")).unwrap();
    assert_eq!(calls, "aws ecs update-service --cluster prod\naws ecs wait services-stable\n");
    // The step may write its own environment to a file, so the leak scan skips that file.
    let seen = fs::read_to_string(machine.path("workspace/seen")).unwrap();
    fs::remove_file(machine.path("workspace/seen")).unwrap();
    for gone in ["CLOUDANIX_AUTH_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "CLOUDANIX_ORB_"] {
        assert!(!seen.contains(gone), "the command sees {gone}");
    }
    platform.scan.secret("grant token", &fs::read_to_string(&kept).unwrap());
    platform.assert_no_leak(&machine);
}

#[test]
fn a_command_that_fails_fails_the_step_with_its_own_code() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    // A script of several lines ends at its first failing line, and at a failing part of a pipeline.
    let codes = Job::of(&machine, &[run("exit 3"), run("true")]).finish();
    assert_eq!(codes["Run with a grant"], Some(3), "{}", machine.logs());
    platform.assert_ended("step finished · exit 3");
    let codes = Job::of(&machine, &[run("false | true\ntouch went-on")]).finish();
    assert_eq!(codes["Run with a grant"], Some(1));
    assert!(!machine.path("workspace/went-on").exists());
}

#[test]
fn denied_command_is_not_run_and_the_log_says_why() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let denied = json!({"run": {"policy": "admin", "command": "touch ran"}});
    assert_eq!(Job::of(&machine, &[denied]).finish()["Run with a grant"], Some(125));
    let denied =
        json!({"elevate": {"policy": "admin", "steps": [{"run": {"name": "Step", "command": "touch ran"}}]}});
    let codes = Job::of(&machine, &[denied]).finish();
    assert_eq!(codes["Wait for the grant"], Some(125), "{}", machine.logs());
    assert_eq!((codes.get("Step"), codes["Give the grant back"]), (None, Some(0)));
    let waited = fs::read_to_string(machine.path("03 Wait for the grant.log")).unwrap();
    assert!(waited.contains("admin"), "the failing step's log lacks the reason: {waited}");
    assert!(!machine.path("workspace/ran").exists() && platform.fixture.broker.given().is_empty());
    platform.assert_no_leak(&machine);
}

#[test]
fn steps_share_one_grant_which_is_revoked_after_the_last() {
    let mut platform = PlatformFixture::with(Broker::with_heartbeat("1s"), &CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let kept = machine.aside("grant-token");
    let token =
        format!("cloudanix-with-grant sh -c 'printf %s \"$CLOUDANIX_GRANT_TOKEN\" >{kept}; env >seen'");
    let mut job = Job::of(
        &machine,
        &[elevate(&[
            ("Assets", "cloudanix-with-grant aws s3 sync public s3://assets"),
            ("Without", "! aws ecs update-service; env >plain"),
            ("Service", "cloudanix-with-grant aws ecs update-service"),
            ("Look", &token),
            ("Quoted", r#"cloudanix-with-grant printf '%s|' "a b" 'c"d' >quoted"#),
        ])],
    );
    let assets = job.until("Assets");
    let live = platform.fixture.broker.live();
    assert_eq!(live.len(), 1, "{}", machine.logs());
    assert_eq!(live[0]["heartbeat_seconds"], 1, "the grant has no heartbeats: {live:?}");
    let folder = machine.path("home").join(".cloudanix-jit/job-1-0/held");
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    };
    assert_eq!((mode(&folder), mode(&folder.join("grant"))), (0o700, 0o600));
    job.ended("Assets".to_owned(), assets);
    let codes = job.finish();
    assert!(codes.values().all(|code| *code == Some(0)), "{codes:?} {}", machine.logs());
    platform.assert_ended("step finished · exit 0");
    assert!(!folder.exists());
    assert_eq!(fs::read_to_string(machine.path("workspace/quoted")).unwrap(), "a b|c\"d|");
    let calls = fs::read_to_string(machine.path("workspace/aws-calls")).unwrap();
    assert_eq!(calls, "aws s3 sync public s3://assets\naws ecs update-service\n");
    let seen = fs::read_to_string(machine.path("workspace/seen")).unwrap();
    for gone in ["CLOUDANIX_AUTH_TOKEN", "CIRCLE_OIDC_TOKEN_V2"] {
        assert!(!seen.contains(gone), "the command sees {gone}");
    }
    let plain = fs::read_to_string(machine.path("workspace/plain")).unwrap();
    assert!(!plain.contains("CLOUDANIX_GRANT"), "a step by itself has no grant");
    let bash_env = fs::read_to_string(machine.variable("BASH_ENV")).unwrap();
    assert_eq!(bash_env.lines().count(), 1, "a folder on the PATH and nothing else: {bash_env}");
    for file in ["seen", "plain"] {
        fs::remove_file(machine.path("workspace").join(file)).unwrap();
    }
    platform.scan.secret("grant token", &fs::read_to_string(&kept).unwrap());
    platform.assert_no_leak(&machine);
}

#[test]
fn a_step_that_fails_ends_the_grant_too_and_what_follows_does_not_run() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let steps = elevate(&[("Deploy", "cloudanix-with-grant sh -c 'exit 4'"), ("Next", "touch ran")]);
    let codes = Job::of(&machine, &[steps, elevate(&[("Later", "touch ran")])]).finish();
    assert_eq!((codes["Deploy"], codes["Give the grant back"]), (Some(4), Some(0)), "{}", machine.logs());
    assert!(!machine.path("workspace/ran").exists());
    platform.assert_ended("step finished · exit 0");
}

#[test]
fn a_grant_after_another_is_fine_and_one_inside_another_is_refused() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let one = || elevate(&[("Deploy", "cloudanix-with-grant aws ecs update-service")]);
    let early = json!({"revoke": {}});
    let late = ("After", "! cloudanix-with-grant true 2>late");
    let mut with_early = elevate(&[late]);
    with_early["elevate"]["steps"].as_array_mut().unwrap().insert(0, early);
    let codes = Job::of(&machine, &[one(), one(), with_early]).finish();
    assert!(codes.values().all(|code| *code == Some(0)), "{codes:?} {}", machine.logs());
    assert_eq!(platform.fixture.broker.given().len(), 3);
    assert!(fs::read_to_string(machine.path("workspace/late")).unwrap().contains("no grant is held"));

    let inside = json!({"elevate": {"policy": "orders-read", "steps": [one()]}});
    let codes = Job::of(&machine, &[inside]).finish();
    assert_eq!(codes["Begin a grant"], Some(125), "{}", machine.logs());
    assert!(machine.logs().contains("cannot be inside another"));
    platform.fixture.broker.wait_until_nothing_is_live();
}

#[test]
fn two_jobs_of_one_agent_in_one_home_do_not_end_each_others_grant() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let (mut one, mut other) = (machine_of(&mut platform, "job-1"), platform.machine());
    as_job(&mut platform, &mut other, "job-2");
    let home = one.path("home").display().to_string();
    other.set("HOME", &home);
    one.set("HOME", home);
    let waits = format!("cloudanix-with-grant sh -c '{WAITS}'");
    let (mut first, mut second) = (
        Job::of(&one, &[elevate(&[("Deploy", &waits)])]),
        Job::of(&other, &[elevate(&[("Deploy", &waits)])]),
    );
    let (deploy, later) = (first.until("Deploy"), second.until("Deploy"));
    let (grant, stays) = (one.line_in("grant"), other.line_in("grant"));
    assert_eq!(platform.fixture.broker.live().len(), 2);
    fs::write(one.path("workspace/go"), "").unwrap();
    first.ended("Deploy".to_owned(), deploy);
    first.finish();
    let live: Vec<Value> = platform.fixture.broker.live().iter().map(|grant| grant["id"].clone()).collect();
    assert_eq!(live, [json!(stays)], "not {grant}");
    fs::write(other.path("workspace/go"), "").unwrap();
    second.ended("Deploy".to_owned(), later);
    assert!(second.finish().values().all(|code| *code == Some(0)), "{}", other.logs());
    platform.fixture.broker.wait_until_nothing_is_live();
}

#[test]
fn auth_token_under_another_name_is_used_and_not_passed_on() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let mut machine = machine_of(&mut platform, "job-1");
    machine.set("CLOUDANIX_AUTH_TOKEN", "");
    let auth_token = platform.agent.auth_token.clone();
    machine.set("DEPLOY_TOKEN", auth_token);
    let named = |name: &str, command: &str| {
        let steps = [
            json!({"run": {"name": "Look", "command": format!("cloudanix-with-grant sh -c '{command} held'")}}),
        ];
        [
            json!({"run": {"policy": "orders-read", "auth_token": name, "command": format!("{command} run")}}),
            json!({"elevate": {"policy": "orders-read", "auth_token": name, "steps": steps}}),
        ]
    };
    let codes = Job::of(&machine, &named("DEPLOY_TOKEN", "env >")).finish();
    assert!(codes.values().all(|code| *code == Some(0)), "{codes:?} {}", machine.logs());
    for file in ["run", "held"] {
        let seen = fs::read_to_string(machine.path("workspace").join(file)).unwrap();
        assert!(seen.contains("CLOUDANIX_GRANT_ID=") && !seen.contains("DEPLOY_TOKEN="), "{file}");
    }
    for step in named("NOT_SET", "touch") {
        Job::of(&machine, &[step]).finish();
    }
    assert!(machine.logs().contains("`NOT_SET` is not set") && machine.logs().contains("`context:`"));
    assert_eq!(platform.fixture.broker.given().len(), 2);
}

#[test]
fn revoke_without_a_grant_is_no_failure() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let mut job = Job::of(&machine, &[elevate(&[("Deploy", "true")])]);
    let begun = job.until("Begin a grant");
    job.ended("Begin a grant".to_owned(), begun);
    let back = job.steps.by_ref().last().unwrap();
    assert_eq!(start(&machine, 9, &back).finish(), Some(0), "{}", machine.logs());
    assert_eq!(start(&machine, 9, &back).finish(), Some(0), "{}", machine.logs());
    assert!(machine.logs().contains("nothing to give back") && platform.fixture.broker.given().is_empty());
}

#[test]
fn unconfirmed_revoke_is_a_warning() {
    let mut platform = PlatformFixture::start(&CIRCLECI);
    let machine = machine_of(&mut platform, "job-1");
    let mut job = Job::of(&machine, &[elevate(&[("Deploy", "true")])]);
    let deploy = job.until("Deploy");
    job.ended("Deploy".to_owned(), deploy);
    // With another agent's token the broker answers at once and does not confirm the revoke.
    let mut machine_without = Machine::new();
    for name in ["HOME", "CIRCLE_WORKFLOW_JOB_ID", "CLOUDANIX_URL", "CLOUDANIX_AGENT_ID"] {
        machine_without.set(name, machine.variable(name));
    }
    machine_without.set("CLOUDANIX_AUTH_TOKEN", "not a token");
    let back = job.steps.next().unwrap();
    assert_eq!(start(&machine_without, 0, &back).finish(), Some(0));
    assert!(machine_without.logs().contains("not confirmed"), "{}", machine_without.logs());
    platform.assert_ended("step finished · exit 0");
}

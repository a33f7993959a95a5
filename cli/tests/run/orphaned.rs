//! The end of the parent process ends the command and the grant.

use std::fs;
use std::time::Instant;

use crate::fake_broker::{Call, FakeBroker, Fault};
use crate::harness::{DEAF, Running, Wrapper, children_of, eventually, is_gone, kill, wait_until_gone};

/// Starts the client as a child and waits for it, as a wrapper does.
const PARENT: [&str; 5] = ["setsid", "sh", "-c", "\"$@\"; exit $?", "parent"];

/// Says that it was stopped, and ends.
const OBEDIENT: &str = "trap 'echo TERM >> heard; exit 3' TERM; echo $$ > pid; \
                        until test -e go || ! test -e pid; do sleep 0.01; done; exit 4";

struct Orphan {
    parent: Running,
    client: i32,
    keeper: i32,
    step: i32,
}

fn start(broker: &FakeBroker, options: &[&str], in_ci: &[(&str, &str)], step: &str) -> Orphan {
    let arguments = [options, &["--", "sh", "-c", step]].concat();
    let mut wrapper = Wrapper::through(&PARENT, broker, &arguments);
    for (name, value) in in_ci {
        wrapper = wrapper.env(name, value);
    }
    let parent = wrapper.start();
    let step = parent.pid_in("pid");
    let client = child_of(&parent);
    let keeper = eventually("a keeper", || crate::harness::keeper_of(client));
    Orphan { parent, client, keeper, step }
}

fn child_of(parent: &Running) -> i32 {
    eventually("the client", || children_of(parent.pid()).first().copied())
}

/// The grant, the command, the client, its keeper and the output pipe: nothing is left.
fn assert_stopped(broker: &FakeBroker, orphan: Orphan) {
    broker.wait("the revoke", |books| books.live() == 0);
    let finished = orphan.parent.finish();
    for process in [orphan.step, orphan.client, orphan.keeper] {
        wait_until_gone(process);
    }
    assert_eq!(fs::read_to_string(finished.folder.path().join("heard")).unwrap(), "TERM\n");
    assert!(finished.stderr.contains("✓ revoke   interrupted · the client's parent process ended"));
    assert_eq!(broker.books().causes(), ["parent-ended"]);
}

/// Two more heartbeats, and then the command's own end.
fn assert_goes_on(broker: &FakeBroker, orphan: Orphan) {
    let before = broker.books().heartbeats();
    broker.wait("heartbeats", |books| books.heartbeats() > before + 1);
    assert!(!is_gone(orphan.step));
    fs::write(orphan.parent.folder.path().join("go"), "").unwrap();
    let finished = orphan.parent.finish();
    assert!(!finished.folder.path().join("heard").exists());
    assert_eq!(broker.books().outcome(), (0, vec!["exit:4"]));
}

#[test]
fn a_killed_wrapper_ends_the_command_and_the_grant() {
    for redact in ["--redact=always", "--redact=never"] {
        let broker = FakeBroker::start();
        let orphan = start(&broker, &["--die-with-parent", redact], &[], OBEDIENT);
        let killed = Instant::now();
        orphan.parent.signal("KILL");
        broker.wait("the revoke", |books| books.live() == 0);
        println!("cancel · parent process killed · {redact} · {} ms", killed.elapsed().as_millis());
        assert_stopped(&broker, orphan);
    }
}

#[test]
fn on_every_ci_system_the_client_ends_with_its_wrapper() {
    let platforms: [&[(&str, &str)]; 10] = [
        &[("GITHUB_ACTIONS", "true")],
        &[("GITLAB_CI", "true")],
        &[("BITBUCKET_BUILD_NUMBER", "7")],
        &[("CIRCLECI", "true")],
        &[("JENKINS_URL", "https://ci.example/"), ("BUILD_TAG", "jenkins-orders-7")],
        &[("BUILDKITE", "true")],
        &[("TF_BUILD", "True")],
        &[("CI", "true")],
        &[("CI", "woodpecker")],
        &[("GITHUB_ACTIONS", "true"), ("GITLAB_CI", "true")],
    ];
    for platform in platforms {
        let broker = FakeBroker::start();
        let orphan = start(&broker, &[], platform, OBEDIENT);
        orphan.parent.signal("KILL");
        assert_stopped(&broker, orphan);
    }
}

#[test]
fn a_parent_that_exits_ends_the_client_too() {
    let broker = FakeBroker::start();
    let script = "\"$@\" & until test -e leave; do sleep 0.01; done";
    let launcher = ["setsid", "sh", "-c", script, "parent"];
    let arguments = ["--die-with-parent=always", "--", "sh", "-c", OBEDIENT];
    let parent = Wrapper::through(&launcher, &broker, &arguments).start();
    let step = parent.pid_in("pid");
    fs::write(parent.folder.path().join("leave"), "").unwrap();
    broker.wait("the revoke", |books| books.live() == 0);
    parent.finish().assert_code(0);
    wait_until_gone(step);
    assert_eq!(broker.books().causes(), ["parent-ended"]);
}

#[test]
fn outside_ci_a_command_outlives_the_shell_that_started_it() {
    let platforms: [&[(&str, &str)]; 3] =
        [&[], &[("CI", "false")], &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]];
    for platform in platforms {
        let broker = FakeBroker::start();
        broker.set_heartbeat_seconds(1);
        let orphan = start(&broker, &[], platform, OBEDIENT);
        orphan.parent.signal("KILL");
        assert_goes_on(&broker, orphan);
    }
}

#[test]
fn in_ci_a_command_outlives_its_wrapper_if_requested() {
    let broker = FakeBroker::start();
    broker.set_heartbeat_seconds(1);
    let orphan = start(&broker, &["--die-with-parent=never"], &[("CI", "true")], OBEDIENT);
    orphan.parent.signal("KILL");
    assert_goes_on(&broker, orphan);
}

#[test]
fn a_wrapper_killed_during_elevate_leaves_no_grant() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let arguments = ["--die-with-parent", "--", "touch", "started"];
    let parent = Wrapper::through(&PARENT, &broker, &arguments).start();
    broker.wait("the request", |books| books.live() == 1);
    let client = child_of(&parent);
    parent.signal("KILL");
    broker.wait("the revoke", |books| books.live() == 0);
    let finished = parent.finish();
    wait_until_gone(client);
    assert!(
        finished.stderr.contains("the client's parent process ended, before the command was started"),
        "{}",
        finished.stderr
    );
    assert_eq!(crate::harness::files_in(finished.folder.path()), [""; 0]);
    assert_eq!(broker.books().causes(), ["parent-ended"]);
}

#[test]
fn a_wrapper_killed_during_revoke_leaves_the_revoke_to_the_keeper() {
    let broker = FakeBroker::start();
    // Every attempt of the client, also if this thread is late with its kill.
    broker.plan(Call::Revoke, &[Fault::Stall; 16]);
    let parent = Wrapper::through(&PARENT, &broker, &["--die-with-parent", "--", "true"]).start();
    broker.wait("the revoke", |books| !books.causes().is_empty());
    let client = child_of(&parent);
    parent.signal("KILL");
    let finished = parent.finish();
    wait_until_gone(client);
    assert!(finished.stderr.contains("a keeper process goes on trying"), "{}", finished.stderr);
    assert_eq!(broker.books().live(), 1);
    broker.plan_nothing(Call::Revoke);
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    assert!(broker.books().causes().iter().all(|cause| *cause == "exit:0"));
}

#[test]
fn a_command_that_ignores_signals_loses_its_grant_and_the_client_exits() {
    let broker = FakeBroker::start();
    let orphan = start(&broker, &["--die-with-parent", "--redact=always"], &[], DEAF);
    orphan.parent.signal("KILL");
    broker.wait("the revoke", |books| books.live() == 0);
    // Returns at the end of both pipes, which the client alone holds.
    let finished = orphan.parent.finish();
    wait_until_gone(orphan.client);
    wait_until_gone(orphan.keeper);
    assert!(!is_gone(orphan.step), "the command goes on");
    assert_eq!(fs::read_to_string(finished.folder.path().join("heard")).unwrap(), "TERM\n");
    assert!(finished.stderr.contains("the command did not end within 10s"), "{}", finished.stderr);
    assert_eq!(broker.books().causes(), ["parent-ended"]);
}

#[test]
fn a_signal_to_the_whole_group_reaches_the_command_once() {
    let broker = FakeBroker::start();
    let step = DEAF.replace("exit 4", "exit 4 # and says nothing");
    let orphan = start(&broker, &["--die-with-parent"], &[], &step);
    kill(-orphan.parent.pid(), "TERM");
    broker.wait("the revoke", |books| books.live() == 0);
    wait_until_gone(orphan.parent.pid());
    // The command's next signal is this one, also if the parent has ended meanwhile.
    eventually("the signal", || heard(&orphan).contains("TERM\n").then_some(()));
    kill(orphan.client, "USR1");
    eventually("the message", || heard(&orphan).contains("USR1\n").then_some(()));
    assert_eq!(heard(&orphan), "TERM\nUSR1\n");
    fs::write(orphan.parent.folder.path().join("go"), "").unwrap();
    orphan.parent.finish();
    // Once, and again if the answer took too long.
    let books = broker.books();
    let causes = books.causes();
    assert!(!causes.is_empty() && causes.iter().all(|cause| *cause == "interrupted:15"), "{causes:?}");
}

fn heard(orphan: &Orphan) -> String {
    fs::read_to_string(orphan.parent.folder.path().join("heard")).unwrap_or_default()
}

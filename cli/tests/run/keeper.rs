//! The keeper revokes when `run` cannot, and disturbs nothing otherwise.

use std::fs;

use crate::fake_broker::{Call, FakeBroker, Fault};
use crate::harness::{Running, Wrapper, auth_token, eventually, is_gone, kill, wait_until_gone};

fn start(broker: &FakeBroker) -> (Running, i32, i32) {
    let step = "echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done";
    let running = Wrapper::new(broker, &["--", "sh", "-c", step]).start();
    let (pid, keeper) = (running.pid_in("pid"), running.keeper());
    (running, pid, keeper)
}

#[test]
fn when_the_client_is_killed_its_keeper_revokes() {
    let broker = FakeBroker::start();
    let (mut running, step, keeper) = start(&broker);
    running.signal("KILL");
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    assert_eq!(broker.books().causes(), ["wrapper-lost"]);
    running.status();
    wait_until_gone(keeper);
    kill(step, "KILL");
}

#[test]
fn the_keeper_survives_a_kill_of_the_whole_session() {
    let broker = FakeBroker::start();
    let (mut running, step, keeper) = start(&broker);
    // The wrapper leads its session and group; the keeper must be in neither.
    kill(-running.pid(), "KILL");
    kill(-step, "KILL");
    running.status();
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    wait_until_gone(keeper);
}

#[test]
fn when_run_is_killed_before_the_answer_the_keeper_revokes() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let mut running = Wrapper::new(&broker, &["--", "true"]).start();
    broker.wait("the request", |books| books.live() == 1);
    let keeper = running.keeper();
    running.signal("KILL");
    running.status();
    broker.wait("the revoke by key", |books| books.live() == 0);
    wait_until_gone(keeper);
}

#[test]
fn the_keeper_retries_until_the_broker_is_back() {
    let broker = FakeBroker::start();
    let (running, _, keeper) = start(&broker);
    broker.set_down(true);
    fs::write(running.folder.path().join("go"), "").unwrap();
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stderr.contains("not confirmed yet"), "{}", finished.stderr);
    assert!(finished.stderr.contains("a keeper process goes on trying"), "{}", finished.stderr);
    assert!(!is_gone(keeper), "it goes on");
    assert_eq!(broker.books().live(), 1);
    broker.set_down(false);
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    assert_eq!(broker.books().causes(), ["exit:0"], "the cause is the step's, not the keeper's");
    wait_until_gone(keeper);
}

#[test]
fn after_a_normal_end_no_process_remains() {
    let broker = FakeBroker::start();
    let (mut running, step, keeper) = start(&broker);
    fs::write(running.folder.path().join("go"), "").unwrap();
    running.status();
    for pid in [step, keeper] {
        assert_eq!(crate::harness::state_of(pid), None, "neither running nor a zombie");
    }
}

#[test]
fn the_keeper_exposes_no_secret_and_survives_stop_signals() {
    let broker = FakeBroker::start();
    let (running, step, keeper) = start(&broker);
    let read = |what: &str| {
        String::from_utf8_lossy(&fs::read(format!("/proc/{keeper}/{what}")).unwrap()).into_owned()
    };
    // Who has no special rights may not even look.
    match fs::read(format!("/proc/{keeper}/environ")) {
        Ok(environment) => assert_eq!(environment, b""),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    assert_eq!(read("cmdline"), "cloudanix-jit\0keeper\0");
    assert!(!read("cmdline").contains(auth_token().secret().reveal()));
    let session = read("stat").rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, keeper.to_string(), "it leads a session of its own");
    let resident = read("status").lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned));
    assert!(resident.is_some(), "it can be looked at");
    for fd in fs::read_dir(format!("/proc/{step}/fd")).unwrap() {
        let link = fs::read_link(fd.unwrap().path()).unwrap_or_default();
        assert!(!link.to_string_lossy().starts_with("socket:"), "the step holds {}", link.display());
    }
    for signal in ["INT", "TERM", "HUP"] {
        kill(keeper, signal);
    }
    fs::write(running.folder.path().join("go"), "").unwrap();
    running.finish().assert_code(0);
    eventually("the keeper's end", || is_gone(keeper).then_some(()));
    assert_eq!(broker.books().causes(), ["exit:0"]);
}

#[test]
fn a_dead_keeper_does_not_affect_the_step() {
    let broker = FakeBroker::start();
    let (running, _, keeper) = start(&broker);
    kill(keeper, "KILL");
    fs::write(running.folder.path().join("go"), "").unwrap();
    running.finish().assert_code(0);
    assert_eq!(broker.books().outcome(), (0, vec!["exit:0"]));
}

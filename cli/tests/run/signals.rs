//! Signals are forwarded to the step, and revoke the grant at the same time.

use std::fs;

use crate::fake_broker::{Call, FakeBroker, Fault};
use crate::harness::{DEAF, Running, Wrapper, eventually, is_gone, keeper_of, kill, wait_until_gone};

fn start(broker: &FakeBroker, step: &str) -> (Running, i32) {
    let running = Wrapper::new(broker, &["--", "sh", "-c", step]).start();
    let pid = running.pid_in("pid");
    (running, pid)
}

fn heard(running: &Running) -> String {
    fs::read_to_string(running.folder.path().join("heard")).unwrap_or_default()
}

fn let_go(running: &Running) {
    fs::write(running.folder.path().join("go"), "").unwrap();
}

/// A shell's new child has the shell's own signal handlers until it has become the program.
fn program_below(shell: i32, name: &str) -> Option<i32> {
    let is_it = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == name);
    crate::harness::children_of(shell).into_iter().find(is_it)
}

#[test]
fn a_signal_ends_the_step_and_revokes() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("QUIT", 3)] {
        let broker = FakeBroker::start();
        // No `exec`: the shell's own child is in the step's group and must receive the signal too.
        let (running, step) = start(&broker, "echo $$ > pid; sleep 600; exit 9");
        let sleeping = eventually("the step's child", || program_below(step, "sleep\n"));
        running.signal(name);
        let finished = running.finish();
        assert_eq!(broker.books().outcome(), (0, vec![format!("interrupted:{number}").as_str()]), "{name}");
        finished.assert_code(128 + number);
        wait_until_gone(sleeping);
    }
}

#[test]
fn a_step_that_ignores_signals_loses_its_grant_and_keeps_its_exit_code() {
    let broker = FakeBroker::start();
    let (running, step) = start(&broker, DEAF);
    running.signal("TERM");
    broker.wait("the revoke", |books| books.live() == 0);
    eventually("the signal", || (heard(&running) == "TERM\n").then_some(()));
    assert!(!is_gone(step), "the step goes on");
    running.signal("INT");
    eventually("the second signal", || (heard(&running) == "TERM\nINT\n").then_some(()));
    let_go(&running);
    running.finish().assert_code(4);
    assert_eq!(broker.books().causes(), ["interrupted:15"], "given back once");
}

#[test]
fn a_user_signal_reaches_the_step_and_keeps_the_grant() {
    let broker = FakeBroker::start();
    let (running, _) = start(&broker, DEAF);
    running.signal("USR1");
    eventually("the message", || (heard(&running) == "USR1\n").then_some(()));
    assert_eq!(broker.books().live(), 1);
    let_go(&running);
    running.finish().assert_code(4);
}

#[test]
fn after_interrupt_terminate_and_kill_no_grant_is_live() {
    let broker = FakeBroker::start();
    let (mut running, step) = start(&broker, DEAF);
    let keeper = running.keeper();
    running.signal("INT");
    broker.wait("the revoke", |books| books.live() == 0);
    eventually("the interrupt", || (heard(&running) == "INT\n").then_some(()));
    running.signal("TERM");
    eventually("the request to end", || (heard(&running) == "INT\nTERM\n").then_some(()));
    running.signal("KILL");
    running.status();
    wait_until_gone(keeper);
    assert_eq!(broker.books().live(), 0);
    let_go(&running);
    wait_until_gone(step);
}

#[test]
fn after_a_kill_during_the_revoke_no_grant_is_live() {
    let broker = FakeBroker::start();
    broker.plan(Call::Revoke, &[Fault::Break, Fault::Break, Fault::Break]);
    let (mut running, step) = start(&broker, DEAF);
    running.signal("INT");
    running.signal("TERM");
    running.signal("KILL");
    running.status();
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    let_go(&running);
    wait_until_gone(step);
}

#[test]
fn a_signal_during_elevate_revokes() {
    let broker = FakeBroker::start();
    broker.plan(Call::Elevate, &[Fault::Hang]);
    let running = Wrapper::new(&broker, &["--", "touch", "started"]).start();
    broker.wait("the request", |books| books.live() == 1);
    running.signal("TERM");
    let finished = running.finish();
    finished.assert_code(143);
    assert_eq!(broker.books().outcome(), (0, vec!["interrupted:15"]));
    assert_eq!(crate::harness::files_in(finished.folder.path()), [""; 0]);
}

#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    let broker = FakeBroker::start();
    let arguments = [
        "--",
        "sh",
        "-c",
        "echo $$ > pid; until test -e go || ! test -e pid; do sleep 0.01; done; grep SigIgn /proc/self/status",
    ];
    let running = Wrapper::through(&["setsid", "nohup"], &broker, &arguments).start();
    running.pid_in("pid");
    running.signal("HUP");
    running.signal("HUP");
    assert_eq!(broker.books().live(), 1);
    let_go(&running);
    let finished = running.finish();
    finished.assert_code(0);
    assert!(finished.stdout.trim_end().ends_with('1'), "the step ignores it too: {}", finished.stdout);
    assert_eq!(broker.books().causes(), ["exit:0"]);
}

#[test]
fn a_background_job_ignores_interrupts_and_handles_terminate() {
    let broker = FakeBroker::start();
    let step = "grep SigIgn /proc/self/status > ignored; echo $$ > pid; sleep 600; exit 9";
    let launcher = ["env", "--ignore-signal=INT,QUIT,TERM", "setsid"];
    let running = Wrapper::through(&launcher, &broker, &["--", "sh", "-c", step]).start();
    let step = running.pid_in("pid");
    let mask = fs::read_to_string(running.folder.path().join("ignored")).unwrap();
    let mask = u64::from_str_radix(mask.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    let ignores = |signal: u32| mask & (1 << (signal - 1)) != 0;
    assert_eq!([ignores(2), ignores(3), ignores(15)], [true, true, false], "the step's own: {mask:x}");
    running.signal("INT");
    running.signal("QUIT");
    assert_eq!(broker.books().live(), 1);
    running.signal("TERM");
    running.finish().assert_code(143);
    wait_until_gone(step);
    assert_eq!(broker.books().outcome(), (0, vec!["interrupted:15"]));
}

#[test]
fn without_an_answer_to_revoke_a_signal_ends_run_and_the_keeper_revokes() {
    let broker = FakeBroker::start();
    // As many as the wrapper has time for: the keeper's is answered.
    broker.plan(Call::Revoke, &[Fault::Stall, Fault::Stall]);
    let (running, _) = start(&broker, "echo $$ > pid; exec sleep 600");
    let keeper = running.keeper();
    running.signal("TERM");
    let finished = running.finish();
    finished.assert_code(143);
    assert!(finished.stderr.contains("a keeper process goes on trying"), "{}", finished.stderr);
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    assert_eq!(broker.books().causes(), ["interrupted:15"; 3]);
    wait_until_gone(keeper);
}

#[test]
fn the_keeper_revokes_while_the_step_ignores_the_signal() {
    let broker = FakeBroker::start();
    broker.plan(Call::Revoke, &[Fault::Stall, Fault::Stall]);
    let (running, step) = start(&broker, DEAF);
    running.signal("TERM");
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    assert!(!is_gone(step), "the step goes on");
    let_go(&running);
    let finished = running.finish();
    finished.assert_code(4);
    assert!(finished.stderr.contains("✓ revoke"), "{}", finished.stderr);
}

#[test]
fn without_a_broker_a_signal_leaves_the_revoke_to_the_keeper_at_once() {
    let broker = FakeBroker::start();
    let (running, step) = start(&broker, DEAF);
    let keeper = keeper_of(running.pid()).unwrap();
    broker.set_down(true);
    kill(step, "KILL");
    // As often as it takes: the first may come while the step is still there.
    let mut running = running;
    let code = eventually("the wrapper's end", || {
        if let Some(status) = running.child.try_wait().unwrap() {
            return Some(status.code());
        }
        running.signal("TERM");
        None
    });
    assert_eq!(code, Some(137));
    assert!(!is_gone(keeper), "it goes on");
    broker.set_down(false);
    broker.wait("the keeper's revoke", |books| books.live() == 0);
    wait_until_gone(keeper);
}

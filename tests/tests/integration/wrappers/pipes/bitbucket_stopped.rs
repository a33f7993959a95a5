//! The grant of a Bitbucket step ends when the step is stopped or its client killed.

use std::fs;
use std::time::Instant;

use system_tests::broker::Broker;
use system_tests::runner::{Recipients, ScheduledSignal, cancel, recipients};
use system_tests::waiting::eventually;

use super::bitbucket_step::{WAITS, line, machine_of, pipe, script, steps};
use super::machine;
use super::platform::{BITBUCKET, PlatformFixture};

/// Bitbucket stops a step with SIGKILL to all of its processes, and runs no `after-script`.
#[test]
fn stopped_step_loses_its_grant_when_heartbeats_stop() {
    let (step, _) = steps();
    for form in ["script", "pipe"] {
        let mut platform = PlatformFixture::with(Broker::with_heartbeat("1s"), &BITBUCKET);
        let machine = machine_of(&mut platform, "{step-1}");
        let step = match form {
            "script" => script(&machine, "script", &line(&step, &format!("sh -c '{WAITS}'"))),
            _ => pipe(&machine, &[("POLICY", "orders-read"), ("COMMAND", WAITS)]),
        };
        machine.line_in("grant");
        let began = Instant::now();
        machine::end_of_container([&step]);
        platform.assert_ended("no heartbeat within the lease");
        println!(
            "cancel · bitbucket {form} · KILL to all · 0 ms · {} ms, by heartbeats of 1 s",
            began.elapsed().as_millis()
        );
        step.finish();
    }
}

#[test]
fn keeper_survives_a_killed_client_and_revoke_finds_the_handle() {
    let (step, _) = steps();
    for form in ["script", "pipe"] {
        let mut platform = PlatformFixture::start(&BITBUCKET);
        let machine = machine_of(&mut platform, "{step-1}");
        let started = match form {
            "script" => script(&machine, "script", &line(&step, &format!("sh -c '{WAITS}'"))),
            _ => pipe(&machine, &[("POLICY", "orders-read"), ("COMMAND", WAITS)]),
        };
        machine.line_in("grant");
        // The client is the pipe's first process, or the first child of the step's shell.
        let tree = recipients(started.pid, &Recipients::Tree);
        let client = if form == "pipe" { started.pid } else { tree[1] };
        let signal = cancel(client, vec![ScheduledSignal::first("KILL", Recipients::Entry)]);
        platform.assert_ended("wrapper killed · keeper revoked the grant");
        println!(
            "cancel · bitbucket {form} · KILL to the client alone · – · {} ms",
            signal.began.elapsed().as_millis()
        );
        signal.finish();
        fs::write(machine.path("workspace/go"), "").unwrap();
        assert_ne!(started.finish(), Some(0));
        if form == "script" {
            assert_eq!(script(&machine, "after", &step["after-script"]).finish(), Some(0));
            assert!(
                machine.logs().contains("✓ revoke"),
                "what is gone already is a success: {}",
                machine.logs()
            );
            assert_eq!(fs::read_dir(machine.path("tmp")).unwrap().count(), 0);
        }
        eventually("the end of the command", || {
            tree.iter().all(|pid| !system_tests::client::is_alive(*pid)).then_some(())
        });
    }
}

#[test]
fn unconfirmed_revoke_is_a_warning() {
    let mut platform = PlatformFixture::start(&BITBUCKET);
    let mut machine = machine_of(&mut platform, "{step-1}");
    let (step, _) = steps();
    let started = script(&machine, "script", &line(&step, &format!("sh -c '{WAITS}'")));
    machine.line_in("grant");
    machine::end_of_container([&started]);
    machine.set("CLOUDANIX_AUTH_TOKEN", "not a token");
    assert_eq!(script(&machine, "after", &step["after-script"]).finish(), Some(0));
    assert!(machine.logs().contains("that is a warning"), "{}", machine.logs());
    assert_eq!(platform.fixture.broker.live().len(), 1, "the grant stays live until its lease ends");
}

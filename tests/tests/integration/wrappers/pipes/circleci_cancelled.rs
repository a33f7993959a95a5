//! The grant of a CircleCI job ends when the job is cancelled or its client killed.

use std::fs;
use std::time::Instant;

use system_tests::broker::Broker;
use system_tests::client::{is_alive, kill};
use system_tests::runner::{Recipients, ScheduledSignal, cancel, recipients};
use system_tests::waiting::eventually;

use super::circleci_job::{Job, WAITS, elevate, machine_of, run};
use super::machine;
use super::platform::{CIRCLECI, PlatformFixture};

/// CircleCI documents no signal before it removes a cancelled job's container, so all processes die without a signal.
#[test]
fn cancelled_job_loses_its_grant_when_heartbeats_stop() {
    for (form, step, name) in [
        ("run", run(WAITS), "Run with a grant"),
        ("elevate", elevate(&[("Deploy", &format!("cloudanix-with-grant sh -c '{WAITS}'"))]), "Deploy"),
    ] {
        let mut platform = PlatformFixture::with(Broker::with_heartbeat("1s"), &CIRCLECI);
        let machine = machine_of(&mut platform, "job-1");
        let mut job = Job::of(&machine, &[step]);
        let deploy = job.until(name);
        machine.line_in("grant");
        assert_eq!(platform.fixture.broker.live().len(), 1);
        let began = Instant::now();
        machine::end_of_container(job.background.iter().chain([&deploy]));
        platform.assert_ended("no heartbeat within the lease");
        println!(
            "cancel · circleci {form} · KILL to all · 0 ms · {} ms, by heartbeats of 1 s",
            began.elapsed().as_millis()
        );
    }
}

#[test]
fn keeper_revokes_when_the_client_alone_is_killed() {
    for (form, step, name) in [
        ("run", run(WAITS), "Run with a grant"),
        ("elevate", elevate(&[("Deploy", &format!("cloudanix-with-grant sh -c '{WAITS}'"))]), "Deploy"),
    ] {
        let mut platform = PlatformFixture::start(&CIRCLECI);
        let machine = machine_of(&mut platform, "job-1");
        let mut job = Job::of(&machine, &[step]);
        let deploy = job.until(name);
        machine.line_in("grant");
        // The script executes the client, so the step's first process is the client itself.
        let holder = job.background.first().unwrap_or(&deploy).pid;
        let left = recipients(holder, &Recipients::Tree);
        let signal = cancel(holder, vec![ScheduledSignal::first("KILL", Recipients::Entry)]);
        platform.assert_ended("wrapper killed · keeper revoked the grant");
        println!(
            "cancel · circleci {form} · KILL to the client alone · – · {} ms",
            signal.began.elapsed().as_millis()
        );
        signal.finish();
        fs::write(machine.path("workspace/go"), "").unwrap();
        job.ended(name.to_owned(), deploy);
        let codes = job.finish();
        // The other steps do not hold the grant, and a revoke of an ended grant is no failure.
        assert!(form == "run" || codes.values().all(|code| *code == Some(0)), "{codes:?} {}", machine.logs());
        for pid in left.into_iter().filter(|pid| is_alive(*pid)) {
            // The command of a killed `run` may continue until its machine is gone.
            if form == "run" {
                kill(pid, "KILL");
            }
            eventually("the end of the command", || (!is_alive(pid)).then_some(()));
        }
    }
}

//! The broker is killed at one point and restarted on the same data, and the client then does nothing, retries or
//! revokes: nothing is left behind.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use system_tests::aws::fault_proxy::{Fault, Instant, Which};
use system_tests::aws::fixture::Mode;
use system_tests::fixture::new_key;
use system_tests::http;
use system_tests::waiting::eventually;

use super::fixture::KillFixture;
use super::phase::{Begun, Phase};
use super::point::{KillPoint, Step};

/// What the client does after the broker has restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Nothing: the claim lapses, or the deadline comes.
    IsGone,
    /// Retries the same request, then revokes the grant.
    Retries,
    /// Revokes twice by idempotency key.
    GivesBack,
}

impl Client {
    pub(crate) const ALL: &'static [Self] = &[Self::IsGone, Self::Retries, Self::GivesBack];
}

/// Kills the broker at one point and runs the grant to its end.
pub(crate) fn kill_at(
    fixture: &mut KillFixture<'_>,
    mode: Mode,
    phase: Phase,
    kill_point: &KillPoint,
    client: Client,
) {
    let key = new_key();
    assert!(fixture.reach(mode, phase, &key), "nothing to do in {phase:?}");
    match kill_point {
        KillPoint::BeforeCall(step) => {
            fixture.proxy.order(which(step), Fault::NotForwarded);
            at_call(fixture, mode, phase, &key, Instant::Before, step);
        }
        KillPoint::ReplyLost(step) => {
            fixture.proxy.order(which(step), Fault::ReplyLost);
            at_call(fixture, mode, phase, &key, Instant::AfterApplied, step);
        }
        KillPoint::BeforeCommit(step) => before_commit(fixture, mode, phase, &key, step),
        KillPoint::Written => written(fixture, mode, phase, &key),
    }
    fixture.proxy.behave();
    fixture.another_broker(&key);
    // A resource lock of a dead broker stays until its claim has lapsed.
    fixture.pass_holds_of_the_dead();
    acts(fixture, mode, &key, client);
    fixture.pass_until_the_end(&key);
    fixture.assert_nothing_left(&key);
}

/// Matches the calls of this step.
pub(crate) fn which(step: &Step) -> Which {
    // Leaks a few dozen names until the test process ends.
    Which::named(step.name.clone().leak()).after(step.nth - 1).times(1)
}

fn at_call(
    fixture: &mut KillFixture<'_>,
    mode: Mode,
    phase: Phase,
    key: &str,
    instant: Instant,
    step: &Step,
) {
    let (kill, killed) = (fixture.killer(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&killed);
    fixture.proxy.at(instant, which(step), move |_| {
        kill();
        told.store(true, Ordering::SeqCst);
    });
    let begun = fixture.begin(mode, phase, key);
    eventually(&format!("{step:?}"), || killed.load(Ordering::SeqCst).then_some(()));
    assert_eq!(begun.answer().map(|answer| answer.text), None, "the killed broker sent a response");
}

/// Locks the database when the call has been applied, so the broker cannot commit the result. Kills the broker when it
/// waits to write or is about to send its next call.
fn before_commit(fixture: &mut KillFixture<'_>, mode: Mode, phase: Phase, key: &str, step: &Step) {
    let held = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicBool::new(false));
    let (ledger, told) = (Arc::clone(&fixture.ledger), Arc::clone(&held));
    fixture.proxy.at(Instant::AfterApplied, which(step), move |_| {
        ledger.hold();
        told.store(true, Ordering::SeqCst);
    });
    let (is_held, told) = (Arc::clone(&held), Arc::clone(&next));
    fixture.proxy.at(Instant::Before, Which::every(), move |_| {
        if is_held.load(Ordering::SeqCst) {
            told.store(true, Ordering::SeqCst);
        }
    });
    let begun = fixture.begin(mode, phase, key);
    eventually(&format!("{step:?}"), || held.load(Ordering::SeqCst).then_some(()));
    let pid = fixture.aws.broker.pid();
    eventually("a broker that waits to write", || {
        (next.load(Ordering::SeqCst) || waits_to_write(pid)).then_some(())
    });
    fixture.killer()();
    fixture.ledger.release();
    assert_eq!(begun.answer().map(|answer| answer.text), None, "the killed broker sent a response");
}

/// SQLite sleeps between two attempts to lock the database; nothing else in a broker sleeps like this.
fn waits_to_write(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("wchan")).ok())
        .any(|waits_in| waits_in.contains("nanosleep"))
}

/// Kills the broker after it has committed the phase's result; the client drops the response.
fn written(fixture: &mut KillFixture<'_>, mode: Mode, phase: Phase, key: &str) {
    let begun = fixture.begin(mode, phase, key);
    match &begun {
        Begun::Asked(_) => {
            let done: &[&str] = if phase == Phase::Elevate { &["active"] } else { &["verifying", "revoked"] };
            eventually("a commit", || {
                let entry = fixture.ledger.grant(key)?;
                done.contains(&entry.status.as_str()).then_some(())
            });
        }
        Begun::Worked { .. } => fixture.written(&begun, key),
    }
    fixture.killer()();
    drop(begun.answer());
}

fn acts(fixture: &mut KillFixture<'_>, mode: Mode, key: &str, client: Client) {
    match client {
        Client::IsGone => {}
        Client::Retries => {
            let before = fixture.ledger.grant(key);
            let answer = http::send(fixture.elevation(mode, key));
            match (answer.status, before) {
                (201, Some(before)) => assert_eq!(answer.text_at("/id"), before.id, "the same grant"),
                (201, None) => {}
                (_, _) => assert_eq!(answer.outcome(), (409, "grant_ended"), "{}", answer.text),
            }
            if answer.status == 201 {
                fixture.revoke(mode, key);
            }
        }
        Client::GivesBack => {
            for _ in 0..2 {
                let answer = http::send(fixture.revocation(mode, key));
                let gone = answer.outcome() == (404, "grant_not_found");
                assert!([200, 202].contains(&answer.status) || gone, "{}", answer.text);
            }
        }
    }
}

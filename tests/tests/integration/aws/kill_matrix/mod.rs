//! The broker is killed at every boundary of every AWS step in every mode, and AWS fails in every way at every call:
//! no object of ours stays, no foreign object is removed, and the timeline is complete.

mod fault;
mod fixture;
mod kill;
mod page;
mod phase;
mod point;
mod workers;

use std::sync::LazyLock;

use system_tests::aws::ministack::Ministack;
use system_tests::gate::Gate;

use self::fault::{CallFault, fail_at};
use self::fixture::KillFixture;
use self::kill::{Client, kill_at};
use self::point::Part;
use self::workers::work;

/// Debug builds of brokers and emulators need the machine: one matrix runs at a time.
static MATRICES: Gate = Gate::of(1);

static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let emulator = Ministack::with_faketime();
    let mut fixture = KillFixture::new(&emulator, 0);
    let parts = point::parts(&mut fixture);
    assert_eq!(fixture.ledger.actions(), known_actions(), "the recorded runs lack a kind of step");
    parts
});

#[test]
fn kill_at_every_boundary_leaves_no_access_and_removes_nothing_foreign() {
    let _permit = MATRICES.enter();
    let mut points = Vec::new();
    for part in PARTS.iter() {
        for kill_point in part.kill_points() {
            let client = Client::ALL[points.len() % Client::ALL.len()];
            points.push((part.mode, part.phase, kill_point, client));
        }
    }
    assert!(points.len() >= 200, "{} points", points.len());
    let failures = work(3, &points, |fixture, (mode, phase, kill_point, client)| {
        kill_at(fixture, *mode, *phase, kill_point, *client);
    });
    assert!(failures.is_empty(), "{} of {} points:\n{}", failures.len(), points.len(), failures.join("\n"));
    let page = page::killed(&PARTS);
    println!("{page}\nall passed");
    page::assert_says("kill-matrix.md", &page);
}

#[test]
fn failure_of_any_call_still_grants_and_revokes_without_leftovers() {
    let _permit = MATRICES.enter();
    let mut points = Vec::new();
    for part in PARTS.iter() {
        for step in &part.steps {
            let tried = CallFault::ALL.iter().filter(|call_fault| call_fault.is_tried(part, step));
            points.extend(tried.map(|call_fault| (part.mode, part.phase, step.clone(), *call_fault)));
        }
    }
    let failures = work(4, &points, |fixture, (mode, phase, step, call_fault)| {
        fail_at(fixture, *mode, *phase, step, *call_fault);
    });
    assert!(failures.is_empty(), "{} of {} points:\n{}", failures.len(), points.len(), failures.join("\n"));
    let seen: Vec<_> = points.iter().map(|(mode, _, _, call_fault)| (*mode, *call_fault)).collect();
    let page = page::faults(&seen);
    println!("{page}\nall passed");
    page::assert_says("fault-matrix.md", &page);
}

/// The names of the target's actions, read from its source: linking the broker's modules would let a test bypass its
/// processes.
fn known_actions() -> Vec<String> {
    let source = include_str!("../../../../../broker/targets/src/aws/step.rs");
    let stored = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let mut actions: Vec<String> =
        stored.filter_map(|(_, name)| name.strip_suffix("\",").map(str::to_owned)).collect();
    actions.sort();
    actions
}

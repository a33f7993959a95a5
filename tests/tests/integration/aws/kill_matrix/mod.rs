//! The broker is killed at every boundary of every step in every way to give permission in AWS, and AWS fails in every
//! way at every call: does anything of ours stay, does anything of others go, is anything missing on record?

mod fault;
mod ground;
mod kill;
mod page;
mod phase;
mod point;
mod workers;

use std::sync::LazyLock;

use system_tests::aws::ministack::Ministack;
use system_tests::gate::Gate;

use self::fault::{Trouble, suffer};
use self::ground::Ground;
use self::kill::{Client, strike};
use self::point::Part;
use self::workers::work;

/// Brokers in debug builds and emulators need the machine: one matrix at a time.
static MATRICES: Gate = Gate::of(1);

static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let emulator = Ministack::with_faketime();
    let mut ground = Ground::new(&emulator, 0);
    let parts = point::parts(&mut ground);
    assert_eq!(ground.ledger.actions(), known_actions(), "every kind of step is met");
    parts
});

#[test]
fn killed_at_every_boundary_of_every_step_nothing_of_ours_stays_and_nothing_of_others_goes() {
    let _permit = MATRICES.enter();
    let mut points = Vec::new();
    for part in PARTS.iter() {
        for blow in part.blows() {
            let client = Client::ALL[points.len() % Client::ALL.len()];
            points.push((part.mode, part.phase, blow, client));
        }
    }
    assert!(points.len() >= 200, "{} points", points.len());
    let failures = work(3, &points, |ground, (mode, phase, blow, client)| {
        strike(ground, *mode, *phase, blow, *client);
    });
    assert!(failures.is_empty(), "{} of {} points:\n{}", failures.len(), points.len(), failures.join("\n"));
    let page = page::killed(&PARTS);
    println!("{page}\nall passed");
    page::assert_says("kill-matrix.md", &page);
}

#[test]
fn whatever_goes_wrong_with_any_call_the_grant_is_given_and_ends_and_nothing_of_ours_stays() {
    let _permit = MATRICES.enter();
    let mut points = Vec::new();
    for part in PARTS.iter() {
        for step in &part.steps {
            let tried = Trouble::ALL.iter().filter(|trouble| trouble.is_tried(part, step));
            points.extend(tried.map(|trouble| (part.mode, part.phase, step.clone(), *trouble)));
        }
    }
    let failures = work(4, &points, |ground, (mode, phase, step, trouble)| {
        suffer(ground, *mode, *phase, step, *trouble);
    });
    assert!(failures.is_empty(), "{} of {} points:\n{}", failures.len(), points.len(), failures.join("\n"));
    let seen: Vec<_> = points.iter().map(|(mode, _, _, trouble)| (*mode, *trouble)).collect();
    let page = page::faults(&seen);
    println!("{page}\nall passed");
    page::assert_says("fault-matrix.md", &page);
}

/// What the target knows to do, read where it is written: a test crate that linked the broker's rooms could reach
/// around its processes.
fn known_actions() -> Vec<String> {
    let source = include_str!("../../../../../broker/targets/src/aws/names.rs");
    let stored = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
    let mut actions: Vec<String> =
        stored.filter_map(|(_, name)| name.strip_suffix("\",").map(str::to_owned)).collect();
    actions.sort();
    actions
}

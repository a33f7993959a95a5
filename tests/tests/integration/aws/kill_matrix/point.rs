//! The points of the matrix, recorded from a life without faults: every call in it is a step with its boundaries.

use std::collections::BTreeMap;

use system_tests::aws::fixture::Mode;
use system_tests::fixture::new_key;

use super::fixture::KillFixture;
use super::phase::Phase;

/// One call of a phase: the `nth` call of this name, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) nth: usize,
}

/// One phase in one mode, with its calls.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) mode: Mode,
    pub(crate) phase: Phase,
    pub(crate) steps: Vec<Step>,
}

/// When the broker is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KillPoint {
    /// Before the call leaves the broker.
    BeforeCall(Step),
    /// After AWS has applied the call; the broker never receives the reply.
    ReplyLost(Step),
    /// After the broker has received the reply and before it commits.
    BeforeCommit(Step),
    /// After the commit and before the client reads the response.
    Written,
}

impl Part {
    /// Every kill point of this phase.
    pub(crate) fn kill_points(&self) -> Vec<KillPoint> {
        let mut kill_points = Vec::new();
        for step in &self.steps {
            kill_points.push(KillPoint::BeforeCall(step.clone()));
            kill_points.push(KillPoint::ReplyLost(step.clone()));
            kill_points.push(KillPoint::BeforeCommit(step.clone()));
        }
        kill_points.push(KillPoint::Written);
        kill_points
    }

    /// The calls in words, sorted by name because parallel calls arrive in any order.
    pub(crate) fn calls(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(&step.name).or_default() += 1;
        }
        let word = |(name, count): (&str, usize)| match count {
            1 => format!("`{name}`"),
            several => format!("`{name}` ×{several}"),
        };
        if counts.is_empty() {
            "—".to_owned()
        } else {
            counts.into_iter().map(word).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Records every phase of every mode in a life without faults.
pub(crate) fn parts(fixture: &mut KillFixture<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    for mode in Mode::ALL.iter().copied() {
        for phase in Phase::ALL.iter().copied() {
            let mut seen = watched(fixture, mode, phase);
            for _ in 0..3 {
                // Records again, because the worker ran the same phase in parallel.
                if matches!(seen, Seen::Twice(_)) {
                    seen = watched(fixture, mode, phase);
                }
            }
            match seen {
                Seen::Calls(names) => parts.push(Part { mode, phase, steps: numbered(names) }),
                // The worker repeats the calls of the request: the first of each name is kept.
                Seen::Twice(names) => {
                    let mut steps = numbered(names);
                    steps.retain(|step| step.nth == 1);
                    parts.push(Part { mode, phase, steps });
                }
                Seen::Nothing => {}
            }
        }
    }
    parts
}

enum Seen {
    /// The phase has no work in this mode.
    Nothing,
    /// The calls of the phase.
    Calls(Vec<String>),
    /// The worker ran the phase too, because the client's revoke took longer than the worker's interval.
    Twice(Vec<String>),
}

fn watched(fixture: &mut KillFixture<'_>, mode: Mode, phase: Phase) -> Seen {
    let key = new_key();
    let mut seen = Seen::Nothing;
    if fixture.reach(mode, phase, &key) {
        let before = fixture.ledger.grant(&key).map_or(0, |entry| entry.version);
        let from = fixture.proxy.calls().len();
        let begun = fixture.begin(mode, phase, &key);
        fixture.written(&begun, &key);
        drop(begun.answer());
        let alone = phase != Phase::Revoke || fixture.entry(&key).version == before + 2;
        let names = fixture.proxy.names().split_off(from);
        seen = if alone { Seen::Calls(names) } else { Seen::Twice(names) };
    }
    fixture.pass_until_the_end(&key);
    fixture.assert_nothing_left(&key);
    seen
}

fn numbered(names: Vec<String>) -> Vec<Step> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut step = |name: String| {
        let nth = seen.entry(name.clone()).or_default();
        *nth += 1;
        Step { nth: *nth, name }
    };
    names.into_iter().map(&mut step).collect()
}

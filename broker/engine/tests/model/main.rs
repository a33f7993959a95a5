//! A model checker for the protocol of shared objects: an attachment exists while a grant is active, and is gone with the
//! last grant, in every order of steps.
//!
//! Two replicas, three grants, one attachment. A replica may die at any step, a call may be lost, applied late or not
//! answered, and a lock may expire: a bounded number of times in one run. Every reachable state is checked. The
//! simulation samples executions of the code at random; the model covers every execution of the protocol.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a failed precondition fails the test"
)]

mod give;
mod rule;
mod state;
mod take_back;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rule::{Named, Rule, next};
use state::State;

/// Faults in one run; `MODEL_FAULTS` overrides it.
const FAULTS: u8 = 1;

fn faults() -> u8 {
    std::env::var("MODEL_FAULTS").map_or(FAULTS, |faults| faults.parse().unwrap())
}

/// The number of states, or the trace to the first state that violates the protocol.
fn explore(foreign: bool, faults: u8, rule: Rule) -> Result<usize, String> {
    let first = State::first(foreign, faults);
    let mut seen = HashMap::from([(first, 0)]);
    let mut states = vec![(first, 0)];
    let mut n = 0;
    while let Some((state, _)) = states.get(n).copied() {
        let nexts = next(&state, rule);
        if nexts.is_empty() && state.grants.iter().any(|grant| grant.life != state::Life::Gone) {
            return Err(format!("no step is possible\n{}", trace_to(&states, n, rule)));
        }
        for after in nexts.into_iter().map(|(_, after)| after.canonical()) {
            if let Entry::Vacant(place) = seen.entry(after) {
                place.insert(states.len());
                states.push((after, n));
                if let Some(what) = after.violation(foreign) {
                    return Err(format!("{what}\n{}", trace_to(&states, states.len() - 1, rule)));
                }
            }
        }
        n += 1;
    }
    Ok(states.len())
}

fn trace_to(states: &[(State, usize)], mut n: usize, rule: Rule) -> String {
    let mut way = Vec::new();
    while n != 0 {
        let (state, before) = states[n];
        let what = next(&states[before].0, rule).into_iter().find(|(_, after)| after.canonical() == state);
        way.extend(what.map(|(Named { replica, grant, what }, _)| match replica {
            Some(replica) => format!("replica {replica} · grant {grant} · {what}"),
            None => format!("grant {grant} · {what}"),
        }));
        n = before;
    }
    way.reverse();
    way.join("\n")
}

#[test]
fn attachment_exists_while_a_grant_is_active_and_goes_with_the_last() {
    for foreign in [false, true] {
        let states =
            explore(foreign, faults(), Rule::Kept).unwrap_or_else(|how| panic!("foreign {foreign}: {how}"));
        println!("foreign {foreign}: {states} states");
    }
}

#[test]
fn each_rule_that_is_left_out_is_found() {
    for (foreign, faults, rule) in [
        (false, 0, Rule::NoLock),
        (true, 0, Rule::ManagedWithoutObserving),
        (false, 1, Rule::LateDeleteNotWritten),
        (false, 1, Rule::LockNotChecked),
        (false, 1, Rule::ClaimNotChecked),
        (false, 2, Rule::LateWriteCheckedAfterwards),
        (false, 0, Rule::ReferencesNotCounted),
    ] {
        let found = explore(foreign, faults, rule);
        assert!(found.is_err(), "{rule:?}: no violation in {found:?} states");
        println!("{rule:?}: {}\n", found.unwrap_err());
    }
}

//! Is a shared attachment there while a grant is active, and gone with the last, in whatever order things happen?
//!
//! Two replicas, three grants, one attachment; a replica may die at any step, any call may be lost, land late or go
//! unheard, and any hold may lapse, so often in one run as is allowed. Every state that can be come to is looked at, and there is none but these: what a
//! simulation tries by chance is certain here, of the rule if not of the code.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "what a test cannot do without fails it"
)]

mod give;
mod rule;
mod state;
mod take_back;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rule::{Named, Rule, next};
use state::State;

/// So often something goes wrong in one run; `MODEL_FAULTS` says another number.
const FAULTS: u8 = 1;

fn faults() -> u8 {
    std::env::var("MODEL_FAULTS").map_or(FAULTS, |faults| faults.parse().unwrap())
}

/// How many states there are; or how the first one that is wrong is come to.
fn explore(foreign: bool, faults: u8, rule: Rule) -> Result<usize, String> {
    let first = State::first(foreign, faults);
    let mut seen = HashMap::from([(first, 0)]);
    let mut states = vec![(first, 0)];
    let mut n = 0;
    while let Some((state, _)) = states.get(n).copied() {
        let nexts = next(&state, rule);
        if nexts.is_empty() && state.grants.iter().any(|grant| grant.life != state::Life::Gone) {
            return Err(format!("nothing goes on any more\n{}", way_to(&states, n, rule)));
        }
        for after in nexts.into_iter().map(|(_, after)| after.by_either()) {
            if let Entry::Vacant(place) = seen.entry(after) {
                place.insert(states.len());
                states.push((after, n));
                if let Some(what) = after.is_wrong(foreign) {
                    return Err(format!("{what}\n{}", way_to(&states, states.len() - 1, rule)));
                }
            }
        }
        n += 1;
    }
    Ok(states.len())
}

fn way_to(states: &[(State, usize)], mut n: usize, rule: Rule) -> String {
    let mut way = Vec::new();
    while n != 0 {
        let (state, before) = states[n];
        let what = next(&states[before].0, rule).into_iter().find(|(_, after)| after.by_either() == state);
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
fn the_permission_is_there_while_a_grant_is_active_and_gone_with_the_last() {
    for foreign in [false, true] {
        let states =
            explore(foreign, faults(), Rule::Kept).unwrap_or_else(|how| panic!("foreign {foreign}: {how}"));
        println!("foreign {foreign}: {states} states");
    }
}

#[test]
fn every_hole_in_the_rule_is_found() {
    for (foreign, faults, rule) in [
        (false, 0, Rule::NoHold),
        (true, 0, Rule::OursWithoutALook),
        (false, 1, Rule::MayGoNotWritten),
        (false, 1, Rule::HoldNotLookedAt),
        (false, 1, Rule::ClaimNotLookedAt),
        (false, 2, Rule::LateLookedAtAfterwards),
        (false, 0, Rule::OthersNotCounted),
    ] {
        let found = explore(foreign, faults, rule);
        assert!(found.is_err(), "{rule:?}: nothing wrong in {found:?} states");
        println!("{rule:?}: {}\n", found.unwrap_err());
    }
}

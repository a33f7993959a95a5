//! Three replicas, one store and one cloud, and every kind of fault: no access outlives its grant,
//! and no grant ends early.
//!
//! The seed alone determines a run: `SIMULATION_SEED=7` runs one, `SIMULATION_SEEDS=0..10000` runs many.
//! docs/book/src/develop/simulation.md lists the simulated parts and the invariants.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed precondition fails the test")]

mod clients;
mod cloud;
mod fault_injection;
mod fault_rates;
mod faulty_store;
mod fixture;
mod ledger;
mod operators;
mod replay;
mod rng;
mod rule_sets;
mod run;
mod timelines;
mod trace;

use std::ops::Range;

use run::{RunResult, simulate};

/// The seeds of a run of the tests without `SIMULATION_SEEDS`.
const SEEDS: Range<u64> = 0..240;
/// The number of failed seeds after which the test stops.
const ENOUGH: usize = 10;

fn seeds() -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return number(&seed)..number(&seed) + 1;
    }
    match std::env::var("SIMULATION_SEEDS") {
        Ok(seeds) => {
            let (from, to) = seeds.split_once("..").unwrap();
            number(from)..number(to)
        }
        Err(_) => SEEDS,
    }
}

#[test]
fn nothing_leaks_and_no_grant_ends_early_under_any_faults() {
    let mut failed = Vec::new();
    for seed in seeds() {
        let RunResult { trace, wrong } = simulate(seed);
        let is_first = !wrong.is_empty() && failed.is_empty();
        // Printed for the first failed seed, and with `--nocapture` for `SIMULATION_SEED`.
        if is_first || std::env::var_os("SIMULATION_SEED").is_some() {
            println!("{}", trace.join("\n"));
        }
        if !wrong.is_empty() {
            println!("seed {seed}: {}", wrong.join("\n  "));
            failed.push(seed);
        }
        if failed.len() == ENOUGH {
            break;
        }
    }
    if let Some(seed) = failed.first() {
        panic!(
            "seeds that fail: {failed:?}\n\
             SIMULATION_SEED={seed} cargo test -p cloudanix-jit-engine --test simulation nothing_leaks"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in SEEDS.step_by(20) {
        let (first, again) = (simulate(seed), simulate(seed));
        assert!(first.trace.len() > 100, "{}", first.trace.len());
        let differ = first.trace.iter().zip(&again.trace).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first, again, "seed {seed}");
    }
}

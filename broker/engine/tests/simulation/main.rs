//! Three replicas, one store and one cloud, and everything goes wrong. Is nothing left, and nothing cut early?
//!
//! Every run is made of its seed alone: `SIMULATION_SEED=7` plays one, `SIMULATION_SEEDS=0..10000` plays many. What is
//! simulated, and what must always be true, is in docs/book/src/develop/simulation.md.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test cannot do without fails it")]

mod clients;
mod cloud;
mod fault_injection;
mod fault_rates;
mod faulty_store;
mod fixture;
mod ledger;
mod rng;
mod run;
mod timelines;
mod trace;

use std::ops::Range;

use run::{RunResult, simulate};

/// Simulated wherever the tests run.
const SEEDS: Range<u64> = 0..400;
/// After so many failed seeds the test stops.
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
fn nothing_leaks_and_nothing_is_cut_early_whatever_goes_wrong() {
    let mut failed = Vec::new();
    for seed in seeds() {
        let RunResult { trace, wrong } = simulate(seed);
        let is_first = !wrong.is_empty() && failed.is_empty();
        // Shown for the first seed that fails, and with `--nocapture` for any that was asked for by itself.
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
fn the_same_seed_is_the_same_run() {
    for seed in SEEDS.step_by(20) {
        let (first, again) = (simulate(seed), simulate(seed));
        assert!(first.trace.len() > 100, "{}", first.trace.len());
        let differ = first.trace.iter().zip(&again.trace).find(|(one, other)| one != other);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first, again, "seed {seed}");
    }
}

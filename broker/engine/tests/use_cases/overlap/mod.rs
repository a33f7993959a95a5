//! Several grants reference one object at the same time: it exists while one of them is active, and is removed with the
//! last.

mod by_hand;
mod cloud;
mod fixture;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use cloud::CallOutcome;
use fixture::Overlap;

/// The next step of a script.
#[derive(Debug, Clone)]
enum Next {
    /// Requests the grant; every repetition is a retry.
    Elevate {
        broker: usize,
        grant: u8,
    },
    Revoke {
        broker: usize,
        grant: u8,
    },
    Sweep {
        broker: usize,
    },
    /// Continues one paused task or call.
    Advance(usize),
    /// Gives one call a bad outcome.
    Befalls(usize, CallOutcome),
    Crash {
        broker: usize,
        calls: CallOutcome,
    },
    Pass {
        millis: i64,
    },
    /// Elevates and revokes one grant; one of its changes may get a bad outcome.
    Episode {
        broker: usize,
        grant: u8,
        outcome: Option<CallOutcome>,
    },
    /// Continues every task until it ends, and answers every call.
    RunOut,
    /// Continues every task until a change is sent, and gives it a bad outcome.
    ChangeBefalls(CallOutcome),
    /// Another owner creates the object, if no late write of a grant could have; or removes its own object, if no grant
    /// references it.
    OwnerActs,
}

const GRANTS: u8 = 4;

fn bad_fate() -> impl Strategy<Value = CallOutcome> {
    prop_oneof![
        Just(CallOutcome::Throttled),
        Just(CallOutcome::Unheard),
        (0..45_000_i64).prop_map(CallOutcome::Late),
        Just(CallOutcome::Lost),
    ]
}

fn next() -> impl Strategy<Value = Next> {
    let broker = || 0..2_usize;
    prop_oneof![
        40 => (0..8_usize).prop_map(Next::Advance),
        6 => (broker(), 0..GRANTS).prop_map(|(broker, grant)| Next::Elevate { broker, grant }),
        5 => (broker(), 0..GRANTS).prop_map(|(broker, grant)| Next::Revoke { broker, grant }),
        2 => broker().prop_map(|broker| Next::Sweep { broker }),
        2 => (0..4_usize, bad_fate()).prop_map(|(n, outcome)| Next::Befalls(n, outcome)),
        1 => (broker(), bad_fate()).prop_map(|(broker, calls)| Next::Crash { broker, calls }),
        4 => prop_oneof![Just(50), Just(500), Just(4_000), Just(15_000), Just(40_000)]
            .prop_map(|millis| Next::Pass { millis }),
        2 => Just(Next::RunOut),
        2 => bad_fate().prop_map(Next::ChangeBefalls),
        2 => (broker(), 0..GRANTS, prop::option::of(bad_fate()))
            .prop_map(|(broker, grant, outcome)| Next::Episode { broker, grant, outcome }),
        2 => Just(Next::OwnerActs),
    ]
}

async fn run_script(overlap: &Overlap, foreign: bool, settles: bool, script: &[Next]) -> Result<(), String> {
    match run_to_end(overlap, foreign, settles, script).await {
        Ok(()) => Ok(()),
        Err(what) => Err(format!("{what}\n{}", overlap.timelines(GRANTS).await)),
    }
}

async fn run_to_end(overlap: &Overlap, foreign: bool, settles: bool, script: &[Next]) -> Result<(), String> {
    overlap.begin(foreign, settles);
    for next in script {
        match *next {
            Next::Elevate { broker, grant } => overlap.elevate(broker, grant),
            Next::Revoke { broker, grant } => overlap.revoke(broker, grant),
            Next::Sweep { broker } => overlap.sweep(broker),
            Next::Advance(n) => overlap.advance(n),
            Next::Befalls(n, outcome) => overlap.resolves(n, outcome),
            Next::Crash { broker, calls } => overlap.crash(broker, calls),
            Next::Pass { millis } => overlap.pass(millis).await?,
            Next::Episode { broker, grant, outcome } => overlap.episode(broker, grant, outcome).await?,
            Next::RunOut => overlap.run_out().await?,
            Next::ChangeBefalls(outcome) => overlap.change_resolves(outcome).await?,
            Next::OwnerActs => overlap.owner_acts().await?,
        }
        overlap.observe().await?;
    }
    overlap.end(GRANTS).await
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

const SEED: u64 = 20_261_124;
/// The number of scripts; `PROPTEST_CASES` overrides it.
const PLAYS: u32 = 4096;
/// Each part has its own fixture. The number is fixed: scripts must not depend on the machine.
const PARTS: u32 = 4;

/// A fixed seed, so that a failure is reproducible; `PROPTEST_RNG_SEED` overrides it.
fn part(n: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let seed = match (std::env::var_os("PROPTEST_RNG_SEED"), asked.rng_seed) {
        (Some(_), RngSeed::Fixed(seed)) => seed,
        (_, RngSeed::Fixed(_) | RngSeed::Random) => SEED,
    };
    let plays = std::env::var_os("PROPTEST_CASES").map_or(PLAYS, |_| asked.cases);
    ProptestConfig {
        cases: plays.div_ceil(PARTS),
        failure_persistence: None,
        max_shrink_iters: 1500,
        rng_seed: RngSeed::Fixed(seed.wrapping_mul(u64::from(PARTS)).wrapping_add(n.into())),
        ..asked
    }
}

fn check_scripts(config: ProptestConfig) {
    let overlap = RefCell::new(None::<(Runtime, Overlap)>);
    let plays = (any::<bool>(), any::<bool>(), prop::collection::vec(next(), 10..100));
    TestRunner::new(config)
        .run(&plays, |(foreign, settles, script)| {
            let (runtime, built) = overlap.borrow_mut().take().unwrap_or_else(|| {
                let runtime = runtime();
                let built = runtime.block_on(Overlap::build());
                (runtime, built)
            });
            let played = runtime.block_on(run_script(&built, foreign, settles, &script));
            played.map_err(TestCaseError::fail)?;
            // After a failure a new fixture is built: nothing of the failed script may remain.
            *overlap.borrow_mut() = Some((runtime, built));
            Ok(())
        })
        .unwrap();
}

#[test]
fn object_exists_while_a_grant_is_active_and_is_removed_with_the_last() {
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS).map(|n| scope.spawn(move || check_scripts(part(n)))).collect();
        for part in parts {
            if let Err(failed) = part.join() {
                std::panic::resume_unwind(failed);
            }
        }
    });
}

//! Several grants need one object at the same time. Is it there as long as one of them lives, and gone with the last?

mod by_hand;
mod cloud;
mod fixture;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use cloud::CallOutcome;
use fixture::Overlap;

/// What happens next.
#[derive(Debug, Clone)]
enum Next {
    /// The first time it asks for a grant, then it is a retry.
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
    /// One of those who stand still goes on.
    Advance(usize),
    /// One of the calls does not end well.
    Befalls(usize, CallOutcome),
    Crash {
        broker: usize,
        calls: CallOutcome,
    },
    Pass {
        millis: i64,
    },
    /// A grant comes and goes; one of its changes may not end well.
    Episode {
        broker: usize,
        grant: u8,
        outcome: Option<CallOutcome>,
    },
    /// Everybody comes to an end, and calls are answered.
    RunOut,
    /// Everybody goes on until a change is on its way, and that does not end well.
    ChangeBefalls(CallOutcome),
    /// Somebody else puts the object there, if nothing of ours is left that would account for it; or takes away what
    /// is theirs, if nobody of ours needs it.
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
/// So many plays are made, but for `PROPTEST_CASES`.
const PLAYS: u32 = 4096;
/// Each part has its own fixture. The number is fixed: scripts must not depend on the machine.
const PARTS: u32 = 4;

/// The same plays each time, unless `PROPTEST_RNG_SEED` says which: what fails for somebody fails for everybody.
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
fn the_permission_is_there_while_a_grant_lives_and_gone_with_the_last() {
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS).map(|n| scope.spawn(move || check_scripts(part(n)))).collect();
        for part in parts {
            if let Err(failed) = part.join() {
                std::panic::resume_unwind(failed);
            }
        }
    });
}

//! Several grants need one object at the same time. Is it there as long as one of them lives, and gone with the last?

mod by_hand;
mod cloud;
mod stage;

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use cloud::Fate;
use stage::Stage;

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
    Befalls(usize, Fate),
    Crash {
        broker: usize,
        calls: Fate,
    },
    Pass {
        millis: i64,
    },
    /// A grant comes and goes; one of its changes may not end well.
    Episode {
        broker: usize,
        grant: u8,
        fate: Option<Fate>,
    },
    /// Everybody comes to an end, and calls are answered.
    RunOut,
    /// Everybody goes on until a change is on its way, and that does not end well.
    ChangeBefalls(Fate),
    /// Somebody else puts the object there, if nothing of ours is left that would account for it; or takes away what
    /// is theirs, if nobody of ours needs it.
    OwnerActs,
}

const GRANTS: u8 = 4;

fn bad_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Throttled),
        Just(Fate::Unheard),
        (0..45_000_i64).prop_map(Fate::Late),
        Just(Fate::Lost),
    ]
}

fn next() -> impl Strategy<Value = Next> {
    let broker = || 0..2_usize;
    prop_oneof![
        40 => (0..8_usize).prop_map(Next::Advance),
        6 => (broker(), 0..GRANTS).prop_map(|(broker, grant)| Next::Elevate { broker, grant }),
        5 => (broker(), 0..GRANTS).prop_map(|(broker, grant)| Next::Revoke { broker, grant }),
        2 => broker().prop_map(|broker| Next::Sweep { broker }),
        2 => (0..4_usize, bad_fate()).prop_map(|(n, fate)| Next::Befalls(n, fate)),
        1 => (broker(), bad_fate()).prop_map(|(broker, calls)| Next::Crash { broker, calls }),
        4 => prop_oneof![Just(50), Just(500), Just(4_000), Just(15_000), Just(40_000)]
            .prop_map(|millis| Next::Pass { millis }),
        2 => Just(Next::RunOut),
        2 => bad_fate().prop_map(Next::ChangeBefalls),
        2 => (broker(), 0..GRANTS, prop::option::of(bad_fate()))
            .prop_map(|(broker, grant, fate)| Next::Episode { broker, grant, fate }),
        2 => Just(Next::OwnerActs),
    ]
}

async fn play(stage: &Stage, foreign: bool, settles: bool, script: &[Next]) -> Result<(), String> {
    match play_through(stage, foreign, settles, script).await {
        Ok(()) => Ok(()),
        Err(what) => Err(format!("{what}\n{}", stage.story(GRANTS).await)),
    }
}

async fn play_through(stage: &Stage, foreign: bool, settles: bool, script: &[Next]) -> Result<(), String> {
    stage.begin(foreign, settles);
    for next in script {
        match *next {
            Next::Elevate { broker, grant } => stage.elevate(broker, grant),
            Next::Revoke { broker, grant } => stage.revoke(broker, grant),
            Next::Sweep { broker } => stage.sweep(broker),
            Next::Advance(n) => stage.advance(n),
            Next::Befalls(n, fate) => stage.befalls(n, fate),
            Next::Crash { broker, calls } => stage.crash(broker, calls),
            Next::Pass { millis } => stage.pass(millis).await?,
            Next::Episode { broker, grant, fate } => stage.episode(broker, grant, fate).await?,
            Next::RunOut => stage.run_out().await?,
            Next::ChangeBefalls(fate) => stage.change_befalls(fate).await?,
            Next::OwnerActs => stage.owner_acts().await?,
        }
        stage.observe().await?;
    }
    stage.end(GRANTS).await
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

const SEED: u64 = 20_261_124;
/// So many plays are made, but for `PROPTEST_CASES`.
const PLAYS: u32 = 4096;
/// Each of the parts has a stage of its own. As many wherever it runs: the plays must not depend on the machine.
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

fn plays_of(config: ProptestConfig) {
    let stage = RefCell::new(None::<(Runtime, Stage)>);
    let plays = (any::<bool>(), any::<bool>(), prop::collection::vec(next(), 10..100));
    TestRunner::new(config)
        .run(&plays, |(foreign, settles, script)| {
            let (runtime, built) = stage.borrow_mut().take().unwrap_or_else(|| {
                let runtime = runtime();
                let built = runtime.block_on(Stage::build());
                (runtime, built)
            });
            let played = runtime.block_on(play(&built, foreign, settles, &script));
            played.map_err(TestCaseError::fail)?;
            // After a failure another stage is built: nothing of a play that failed may be left on it.
            *stage.borrow_mut() = Some((runtime, built));
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_permission_is_there_while_a_grant_lives_and_gone_with_the_last() {
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS).map(|n| scope.spawn(move || plays_of(part(n)))).collect();
        for part in parts {
            if let Err(failed) = part.join() {
                std::panic::resume_unwind(failed);
            }
        }
    });
}

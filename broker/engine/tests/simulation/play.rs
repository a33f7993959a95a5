//! One run: jobs come while everything goes wrong, then nothing goes wrong any more, and in the end nothing is left.

use std::sync::Arc;
use std::time::Duration;

use domain::Grant;
use protocol::Timestamp;
use tokio::task::JoinSet;

use crate::clients::Job;
use crate::stories;
use crate::troubles;
use crate::world::{REPLICAS, SWEEP_EVERY, World};

/// So long faults go on, and jobs come for the first half of it.
const TROUBLE: Duration = Duration::from_secs(400);
const JOBS: u64 = 14;

/// What the bound is made of, as the engine has it.
const CALL: Duration = Duration::from_secs(8);
const CLAIM: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When a grant has to be gone, counted from its deadline or from when faults stopped, whichever is later: whoever
/// died with a claim on it, or with a hold on its object, keeps it for `CLAIM` each; what failed is tried again after
/// `LONGEST_PAUSE` at most; what was not answered lands within `CALL` and `late`, and is looked for then, for which one
/// more pause and the sweeps between are counted.
fn bound(late: Duration) -> Duration {
    2 * CLAIM + 2 * LONGEST_PAUSE + CALL + late + 5 * SWEEP_EVERY
}

/// What a run was like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) trace: Vec<String>,
    pub(crate) wrong: Vec<String>,
}

pub(crate) fn play(seed: u64) -> Played {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::of(seed);
        through(&world).await;
        Played { trace: world.trace.lines(), wrong: world.trace.all_wrong() }
    })
}

async fn through(world: &Arc<World>) {
    for n in 0..REPLICAS {
        troubles::come_back(world, n).await;
    }
    world.register_agents().await;
    world.trace.say(&format!("late {:?} · settles {} · {:?}", world.late, world.settles, world.weather));
    world.weather.begins();
    let troubles = tokio::spawn(troubles::make(Arc::clone(world)));
    let mut jobs = JoinSet::new();
    for n in 0..JOBS {
        let (job, after) = (Job::of(world, n), world.dice.millis(0, 300_000));
        jobs.spawn(async move {
            tokio::time::sleep(after).await;
            job.run().await;
        });
    }
    tokio::time::sleep(TROUBLE).await;
    troubles.abort();
    world.weather.ends();
    for n in 0..REPLICAS {
        world.link(n).heal();
    }
    world.trace.say("no more trouble");
    while let Some(job) = jobs.join_next().await {
        if let Err(error) = job {
            world.trace.wrong(&format!("a client ended badly: {error}"));
        }
    }
    let calm = world.trace.now();
    let bound = bound(world.late);
    let gone_by = |grant: &Grant| -> Timestamp { grant.expires_at.max(calm).plus(bound) };
    while !world.trace.is_wrong() {
        let nothing_left = world.ledger.overdue(gone_by);
        if nothing_left && world.under_way.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if !world.trace.is_wrong() {
        stories::are_whole(world).await;
    }
}

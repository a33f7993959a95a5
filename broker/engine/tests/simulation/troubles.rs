//! Somebody kills replicas, lets machines stand still, cuts them off, and switches agents off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::world::{AGENTS, REPLICAS, World};

/// As long as a virtual machine stands still at most, when it is moved.
const FROZEN: u64 = 300_000;

/// Makes trouble now and then, for ever.
pub(crate) async fn make(world: Arc<World>) {
    let Some(every) = world.weather.trouble_every else { return };
    let most = 2 * u64::try_from(every.as_millis()).unwrap();
    loop {
        tokio::time::sleep(world.dice.millis(500, most)).await;
        let n = world.dice.below(REPLICAS);
        match world.dice.below(8) {
            // Who stands still is mostly let go on.
            0 | 1 if world.link(n).is_frozen() => {}
            0 | 1 => die(&world, n),
            2 | 3 => freeze(&world, n),
            4 => cut_off(&world, n, Wire::Store),
            5 => cut_off(&world, n, Wire::Cloud),
            6 => die_and_freeze_another(&world, n),
            _ => switch_an_agent(&world, n),
        }
    }
}

/// Just before or after a call, now and then: a process that dies there never goes on, a machine that stands still
/// there goes on later.
pub(crate) async fn may_strike(world: &Arc<World>, n: usize) {
    if world.weather.strikes(&world.dice, world.weather.struck) {
        if world.dice.chance(400) {
            die(world, n);
            std::future::pending::<()>().await;
        }
        freeze(world, n);
    }
    world.link(n).awake().await;
}

#[derive(Debug, Clone, Copy)]
enum Wire {
    Store,
    Cloud,
}

fn die(world: &Arc<World>, n: usize) {
    world.trace.say(&format!("trouble · slot {n} is killed"));
    world.kill(n);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        tokio::time::sleep(world.dice.millis(10, 40_000)).await;
        come_back(&world, n).await;
    });
}

/// A process that cannot start is started again.
pub(crate) async fn come_back(world: &Arc<World>, n: usize) {
    while world.replica(n).is_none() {
        if world.start(n).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn freeze(world: &Arc<World>, n: usize) {
    if world.link(n).is_frozen() {
        return;
    }
    let frozen = world.dice.millis(2_000, FROZEN);
    world.trace.say(&format!("trouble · slot {n} stands still for {frozen:?}"));
    world.link(n).freeze();
    let world = Arc::clone(world);
    tokio::spawn(async move {
        tokio::time::sleep(frozen).await;
        world.trace.say(&format!("trouble · slot {n} goes on"));
        world.link(n).thaw();
    });
}

fn die_and_freeze_another(world: &Arc<World>, n: usize) {
    die(world, n);
    freeze(world, (n + 1) % REPLICAS);
}

fn cut_off(world: &Arc<World>, n: usize, wire: Wire) {
    let link = world.link(n);
    let (world, cut_for) = (Arc::clone(world), world.dice.millis(1_000, 90_000));
    world.trace.say(&format!("trouble · slot {n} is cut off from the {wire:?} for {cut_for:?}"));
    tokio::spawn(async move {
        let cut = match wire {
            Wire::Store => &link.store_cut,
            Wire::Cloud => &link.cloud_cut,
        };
        cut.store(true, Ordering::SeqCst);
        tokio::time::sleep(cut_for).await;
        cut.store(false, Ordering::SeqCst);
        world.trace.say(&format!("trouble · slot {n} has the {wire:?} back"));
    });
}

/// By way of one replica, which may not come to its end with it.
fn switch_an_agent(world: &Arc<World>, n: usize) {
    let Some(engine) = world.replica(n) else { return };
    let (agent, _) = world.agent(world.dice.below(AGENTS));
    let one = Arc::clone(world);
    let Ok(operator) = "release-bot".parse() else { return };
    world.runs(n, async move {
        if one.is_enabled(&agent).await {
            one.trace.say(&format!("trouble · {agent} is switched off"));
            one.ledger.disables(&agent);
            drop(engine.disable_agent(&agent, &operator).await);
        } else {
            one.trace.say(&format!("trouble · {agent} is switched on"));
            drop(engine.enable_agent(&agent, &operator).await);
        }
    });
}

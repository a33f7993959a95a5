//! Kills replicas, freezes machines, cuts connections, and disables agents.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::Actor;

use crate::fixture::{AGENTS, Fixture, REPLICAS};

/// The longest pause of a virtual machine, as when it is migrated.
const FROZEN: u64 = 300_000;

/// Injects faults at random times, for ever.
pub(crate) async fn run(fixture: Arc<Fixture>) {
    let Some(every) = fixture.fault_rates.fault_every else { return };
    let most = 2 * u64::try_from(every.as_millis()).unwrap();
    loop {
        tokio::time::sleep(fixture.rng.millis(500, most)).await;
        let n = fixture.rng.below(REPLICAS);
        match fixture.rng.below(8) {
            // Kills hit frozen machines rarely, so that most of them resume.
            0 | 1 if fixture.link(n).is_frozen() => {}
            0 | 1 => die(&fixture, n),
            2 | 3 => freeze(&fixture, n),
            4 => cut_off(&fixture, n, Wire::Store),
            5 => cut_off(&fixture, n, Wire::Cloud),
            6 => die_and_freeze_another(&fixture, n),
            _ => switch_an_agent(&fixture, n),
        }
    }
}

/// Kills the process or freezes the machine just before or after a call. A killed process never continues; a frozen
/// machine resumes later.
pub(crate) async fn maybe_inject(fixture: &Arc<Fixture>, n: usize) {
    if fixture.fault_rates.occurs(&fixture.rng, fixture.fault_rates.struck) {
        if fixture.rng.chance(400) {
            die(fixture, n);
            std::future::pending::<()>().await;
        }
        freeze(fixture, n);
    }
    fixture.link(n).awake().await;
}

#[derive(Debug, Clone, Copy)]
enum Wire {
    Store,
    Cloud,
}

fn die(fixture: &Arc<Fixture>, n: usize) {
    fixture.trace.say(&format!("fault · slot {n} is killed"));
    fixture.kill(n);
    let fixture = Arc::clone(fixture);
    tokio::spawn(async move {
        tokio::time::sleep(fixture.rng.millis(10, 40_000)).await;
        come_back(&fixture, n).await;
    });
}

/// Starts the process until a start succeeds.
pub(crate) async fn come_back(fixture: &Arc<Fixture>, n: usize) {
    while fixture.replica(n).is_none() {
        if fixture.start(n).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn freeze(fixture: &Arc<Fixture>, n: usize) {
    if fixture.link(n).is_frozen() {
        return;
    }
    let frozen = fixture.rng.millis(2_000, FROZEN);
    fixture.trace.say(&format!("fault · slot {n} is frozen for {frozen:?}"));
    fixture.link(n).freeze();
    let fixture = Arc::clone(fixture);
    tokio::spawn(async move {
        tokio::time::sleep(frozen).await;
        fixture.trace.say(&format!("fault · slot {n} resumes"));
        fixture.link(n).thaw();
    });
}

fn die_and_freeze_another(fixture: &Arc<Fixture>, n: usize) {
    die(fixture, n);
    freeze(fixture, (n + 1) % REPLICAS);
}

fn cut_off(fixture: &Arc<Fixture>, n: usize, wire: Wire) {
    let link = fixture.link(n);
    let (fixture, cut_for) = (Arc::clone(fixture), fixture.rng.millis(1_000, 90_000));
    fixture.trace.say(&format!("fault · slot {n} is cut off from the {wire:?} for {cut_for:?}"));
    tokio::spawn(async move {
        let cut = match wire {
            Wire::Store => &link.store_cut,
            Wire::Cloud => &link.cloud_cut,
        };
        cut.store(true, Ordering::SeqCst);
        tokio::time::sleep(cut_for).await;
        cut.store(false, Ordering::SeqCst);
        fixture.trace.say(&format!("fault · slot {n} has the {wire:?} back"));
    });
}

/// Disables or enables an agent through one replica, which may fail halfway.
fn switch_an_agent(fixture: &Arc<Fixture>, n: usize) {
    let Some(engine) = fixture.replica(n) else { return };
    let (agent, _) = fixture.agent(fixture.rng.below(AGENTS));
    let one = Arc::clone(fixture);
    let Ok(name) = "release-bot".parse() else { return };
    let operator = Actor::Operator { name };
    fixture.runs(n, async move {
        if one.is_enabled(&agent).await {
            one.trace.say(&format!("fault · {agent} is switched off"));
            one.ledger.disables(&agent);
            drop(engine.disable_agent(&agent, &operator).await);
        } else {
            one.trace.say(&format!("fault · {agent} is switched on"));
            drop(engine.enable_agent(&agent, &operator).await);
        }
    });
}

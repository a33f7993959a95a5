//! One run: jobs and faults first, then time without faults, until every grant is final and every object is removed.

use std::sync::Arc;
use std::time::Duration;

use domain::Grant;
use protocol::Timestamp;
use tokio::task::JoinSet;

use crate::clients::Job;
use crate::fault_injection;
use crate::fixture::{Fixture, REPLICAS, SWEEP_EVERY};
use crate::{operators, replay, timelines};

/// How long faults occur; jobs start in the first half.
const FAULTS: Duration = Duration::from_secs(400);
const JOBS: u64 = 14;
/// Jobs of a run with rules that start in the last quarter, so that grants are live when the last changes are made.
const LATE_JOBS: u64 = 4;

/// The engine's constants, from which [`bound`] is computed.
const CALL: Duration = Duration::from_secs(8);
const CLAIM: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a grant may take to be gone, counted from its deadline or from the last fault, whichever is later. A driver
/// that died keeps its claim on the grant, and its lock on the object, for `CLAIM` each. A failed call is retried after
/// `LONGEST_PAUSE` at most. An unanswered call is applied within `CALL` and `late`; the driver observes the object after
/// that, which adds one pause and the sweeps between.
fn bound(late: Duration) -> Duration {
    2 * CLAIM + 2 * LONGEST_PAUSE + CALL + late + 5 * SWEEP_EVERY
}

/// How long a live grant may take to be decided again, counted from the last change of what decides, or from the last
/// fault: a replica that died claimed it, or every replica has to start again.
const SETTLING: Duration = Duration::from_secs(40 + 5);

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunResult {
    pub(crate) trace: Vec<String>,
    pub(crate) wrong: Vec<String>,
}

pub(crate) fn simulate(seed: u64) -> RunResult {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::of(seed);
        through(&fixture).await;
        RunResult { trace: fixture.trace.lines(), wrong: fixture.trace.all_wrong() }
    })
}

async fn through(fixture: &Arc<Fixture>) {
    for n in 0..REPLICAS {
        fault_injection::come_back(fixture, n).await;
    }
    fixture.register_agents().await;
    fixture
        .trace
        .say(&format!("late {:?} · settles {} · {:?}", fixture.late, fixture.settles, fixture.fault_rates));
    fixture.fault_rates.begins();
    let injection = tokio::spawn(fault_injection::run(Arc::clone(fixture)));
    let changes = tokio::spawn(operators::run(Arc::clone(fixture)));
    let mut jobs = JoinSet::new();
    let late_jobs = fixture.fault_rates.rules_every.map_or(0, |_| LATE_JOBS);
    for n in 0..JOBS + late_jobs {
        let (job, after) = if n < JOBS {
            (Job::of(fixture, n), fixture.rng.millis(0, 300_000))
        } else {
            (Job::until_the_deadline(fixture, n), fixture.rng.millis(300_000, 400_000))
        };
        jobs.spawn(async move {
            tokio::time::sleep(after).await;
            job.run().await;
        });
    }
    tokio::time::sleep(FAULTS).await;
    injection.abort();
    changes.abort();
    fixture.fault_rates.ends();
    for n in 0..REPLICAS {
        fixture.link(n).heal();
    }
    fixture.trace.say("no more faults");
    let calm = fixture.trace.now();
    operators::last_changes(fixture).await;
    let bound = bound(fixture.late);
    let gone_by = |grant: &Grant| -> Timestamp { grant.expires_at.max(calm).plus(bound) };
    while !fixture.trace.is_wrong() {
        while let Some(job) = jobs.try_join_next() {
            if let Err(error) = job {
                fixture.trace.wrong(&format!("a client panicked: {error}"));
            }
        }
        if calm.plus(SETTLING) <= fixture.trace.now() {
            fixture.ledger.check_settled(SETTLING);
        }
        let nothing_left = fixture.ledger.overdue(gone_by) && jobs.is_empty();
        if nothing_left && fixture.under_way.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if !fixture.trace.is_wrong() {
        timelines::check(fixture).await;
        replay::check(fixture).await;
    }
}

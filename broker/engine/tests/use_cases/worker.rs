//! A broker is ready only while its worker runs, and the worker finishes claimed work before it stops.

use std::sync::Arc;
use std::time::Duration;

use crate::fixture::{Fixture, Gate};

const OFTEN: Duration = Duration::from_millis(1);
/// Keeps a failing test from hanging; far longer than the test takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn broker_is_ready_while_its_worker_runs() {
    let fixture = Fixture::new().await;
    let broker = fixture.broker(Gate::open()).await;
    let refused = broker.ready().await.unwrap_err();
    assert!(refused.to_string().contains("has not started"), "{refused}");
    let worker = tokio::spawn(Arc::clone(&broker).run_worker(OFTEN));
    while broker.ready().await.is_err() {
        tokio::task::yield_now().await;
    }
    worker.abort();
    assert!(worker.await.unwrap_err().is_cancelled());
    let refused = broker.ready().await.unwrap_err();
    assert!(refused.to_string().contains("has ended"), "{refused}");
}

#[tokio::test]
async fn worker_finishes_its_work_before_it_stops() {
    let mut boundary = 1;
    loop {
        let fixture = Fixture::new().await;
        let giving = fixture.broker(Gate::open()).await;
        giving.elevate(fixture.elevation(1)).await.unwrap();
        assert!(fixture.objects() > 0);
        fixture.pass_time(60 * 60 * 24);
        let gate = Gate::stopping_at(boundary);
        let broker = fixture.broker(gate.clone()).await;
        let worker = tokio::spawn(Arc::clone(&broker).run_worker(OFTEN));
        while !gate.was_reached() && !fixture.grants().await[0].grant.status().is_final() {
            tokio::task::yield_now().await;
        }
        broker.stop_worker();
        let was_reached = gate.was_reached();
        // Also if it was not claimed: the round in progress may still claim it.
        gate.go_on();
        tokio::time::timeout(PATIENCE, worker).await.unwrap().unwrap();
        let left = fixture.objects();
        let claimed = boundary > 1;
        assert!(left == 0 || !claimed, "boundary {boundary}: {left} objects wait for the next claim");
        if !was_reached {
            break;
        }
        boundary += 1;
    }
    assert!(boundary > 3, "only {boundary} boundaries were found in revert");
}

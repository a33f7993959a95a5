use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use protocol::Timestamp;
use tokio::sync::Notify;

use super::*;

/// An endpoint with one call a second, and what reached it.
struct Server {
    endpoint: Endpoint,
    calls: AtomicUsize,
    connects_on: Option<Arc<Notify>>,
}

impl Server {
    fn new() -> Self {
        let endpoint = Endpoint::new("server".to_owned(), 1, Instant::now());
        Self { endpoint, calls: AtomicUsize::new(0), connects_on: None }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn answer(&self) -> Result<(), u16> {
        if let Some(connected) = &self.connects_on {
            connected.notified().await;
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn delete(&self, claim: &Claim, priority: Priority) -> Result<(), CallError> {
        self.send(claim, priority, self.answer()).await
    }

    async fn send(
        &self,
        claim: &Claim,
        priority: Priority,
        answer: impl Future<Output = Result<(), u16>>,
    ) -> Result<(), CallError> {
        let outcome = |status: &u16| {
            let (what, fault) = (format!("delete · HTTP {status}"), fault_of_status(*status));
            Outcome::Answered(CallError { code: None, what, fault })
        };
        self.endpoint.call(claim, priority, "delete", Box::pin(answer), outcome).await
    }
}

/// A claim until the 30th second, and its clock.
fn claim() -> (Claim, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(0));
    let now = Arc::clone(&clock);
    let now = move || Timestamp::from_secs(now.load(Ordering::SeqCst));
    (Claim::until(Timestamp::from_secs(30), now), clock)
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_may_have_been_applied() {
    let server = Server::new();
    for _ in 0..3 {
        let claim = Claim::not_needed();
        let error = server.send(&claim, Priority::Revoke, std::future::pending()).await.unwrap_err();
        assert_eq!(error.fault, Fault::Unknown);
        assert_eq!(error.what, "delete was not answered: it took too long");
    }
    let error = server.delete(&Claim::not_needed(), Priority::Revoke).await.unwrap_err();
    assert_eq!(error.what, "server does not answer");
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn errors_that_the_target_answers_with_never_open_the_breaker() {
    let server = Server::new();
    for (status, fault) in [
        (403, Fault::Refused),
        (429, Fault::Busy { retry_after: Duration::from_secs(1) }),
        (500, Fault::Unknown),
        (503, Fault::Unknown),
    ] {
        let answer = std::future::ready(Err(status));
        let error = server.send(&Claim::not_needed(), Priority::Revoke, answer).await.unwrap_err();
        assert_eq!(error.fault, fault, "{status}");
    }
    assert!(server.delete(&Claim::not_needed(), Priority::Revoke).await.is_ok());
}

#[tokio::test]
async fn a_call_that_cannot_be_answered_before_its_claim_ends_is_not_sent() {
    let server = Server::new();
    let (claim, clock) = claim();
    clock.store(25, Ordering::SeqCst);
    for _ in 0..10 {
        let error = server.delete(&claim, Priority::Revoke).await.unwrap_err();
        assert_eq!(error.what, "delete was not sent: the claim under which it was to be sent has lapsed");
        assert!(matches!(error.fault, Fault::Busy { .. }), "nothing was done: {error:?}");
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_claim_lapses_while_it_waits_for_the_limiter_is_not_sent() {
    let server = Server::new();
    // The burst is used up: the next call waits a second.
    let limiter = &server.endpoint.limiter;
    while limiter.acquire(Priority::Normal, Instant::now()).is_ok_and(|at| at <= Instant::now()) {}
    let (claim, clock) = claim();
    let mut calling = pin!(server.delete(&claim, Priority::Normal));
    assert!(calling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.store(25, Ordering::SeqCst);
    let error = calling.await.unwrap_err();
    assert!(error.what.contains("was not sent"), "{error:?}");
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_call_in_time_is_sent_and_the_next_under_the_same_claim_is_not() {
    let server = Server::new();
    let (claim, clock) = claim();
    clock.store(24, Ordering::SeqCst);
    server.delete(&claim, Priority::Revoke).await.unwrap();
    clock.store(25, Ordering::SeqCst);
    server.delete(&claim, Priority::Revoke).await.unwrap_err();
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_call_of_a_machine_that_was_paused_while_it_connected_is_not_sent() {
    let connects_on = Arc::new(Notify::new());
    let server = Server { connects_on: Some(Arc::clone(&connects_on)), ..Server::new() };
    for _ in 0..10 {
        let (claim, clock) = claim();
        let mut calling = pin!(server.delete(&claim, Priority::Revoke));
        for _ in 0..10 {
            assert!(calling.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        clock.store(30, Ordering::SeqCst);
        connects_on.notify_waiters();
        let error = calling.await.unwrap_err();
        assert_eq!(error.fault, Fault::Unknown);
        assert_eq!(error.what, "delete was not answered: the claim lapsed meanwhile");
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_time_that_has_come_needs_no_timer() {
    let now = Instant::now();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(wait_until(now, now)).poll(&mut context).is_ready());
    assert!(pin!(wait_until(now + Duration::from_secs(60), now)).poll(&mut context).is_pending());
}

//! Sends one call to a target within its claim, its rate limit and its circuit breaker, and says what a failure means.
//!
//! A target's own client knows how to send a call and how to read its errors; everything else is the same for all
//! targets.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::claim::Claim;
use crate::throttle::{CircuitBreaker, Open, Priority, RateLimited, RateLimiter};
use crate::{Fault, TargetError};

/// A cloud's control plane answers within a second or two or not at all; a worker must not hang on one that does not.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// A call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    /// The target's own code: `NoSuchEntity`.
    pub(crate) code: Option<String>,
    pub(crate) what: String,
    pub(crate) fault: Fault,
}

impl From<CallError> for TargetError {
    fn from(error: CallError) -> Self {
        Self { what: error.what, fault: error.fault }
    }
}

/// What the client of a target says of a failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target answered with an error.
    Answered(CallError),
    /// The target did not answer, and may have applied the change.
    Unanswered {
        /// From the client's error.
        why: String,
    },
    /// Nothing was sent, which says nothing about the target.
    NotSent {
        /// For the timeline.
        what: String,
        /// How to react.
        fault: Fault,
    },
}

/// One endpoint of a target, with its rate limiter and its circuit breaker.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// For errors: `account 123456789012`.
    name: String,
    pub(crate) limiter: RateLimiter,
    breaker: CircuitBreaker,
}

impl Endpoint {
    pub(crate) fn new(name: String, calls_per_second: u32, now: Instant) -> Self {
        Self { name, limiter: RateLimiter::new(calls_per_second, now), breaker: CircuitBreaker::default() }
    }

    /// Sends one call when the rate limiter lets it, and nothing after the end of the claim. `name` names the call in
    /// errors: `iam:PutRolePolicy`.
    pub(crate) async fn call<T, E>(
        &self,
        claim: &Claim,
        priority: Priority,
        name: &str,
        sending: Pin<Box<impl Future<Output = Result<T, E>>>>,
        outcome: impl FnOnce(&E) -> Outcome,
    ) -> Result<T, CallError> {
        let now = Instant::now();
        self.breaker.acquire(now).map_err(|open| self.open(open))?;
        let at = self.limiter.acquire(priority, now).map_err(|limited| self.rate_limited(limited))?;
        wait_until(at, now).await;
        if !claim.lasts_for(ANSWERED_WITHIN) {
            let what = format!("{name} was not sent: the claim under which it was to be sent has lapsed");
            return Err(busy(what, Duration::from_secs(1)));
        }
        let answer = tokio::time::timeout(ANSWERED_WITHIN, while_claimed(claim, sending)).await;
        let answer = answer.map_err(|_| {
            self.breaker.unanswered(Instant::now());
            unanswered(name, "it took too long")
        })?;
        // Says nothing about the endpoint: this process took too long.
        let answer = answer.ok_or_else(|| unanswered(name, "the claim lapsed meanwhile"))?;
        match answer.map_err(|error| outcome(&error)) {
            Ok(answer) => {
                self.breaker.answered();
                Ok(answer)
            }
            Err(Outcome::Answered(error)) => {
                self.breaker.answered();
                Err(error)
            }
            Err(Outcome::Unanswered { why }) => {
                self.breaker.unanswered(Instant::now());
                Err(unanswered(name, &why))
            }
            Err(Outcome::NotSent { what, fault }) => Err(CallError { code: None, what, fault }),
        }
    }

    fn open(&self, open: Open) -> CallError {
        busy(format!("{} does not answer", self.name), open.retry_after)
    }

    fn rate_limited(&self, limited: RateLimited) -> CallError {
        busy(format!("{} is called as often as is allowed", self.name), limited.retry_after)
    }
}

/// Polls a call only as long as its claim lasts; `None` if the call was dropped. A machine that was paused between two
/// polls, for instance while the connection was made, does not send the request when it continues.
async fn while_claimed<F: Future>(claim: &Claim, mut sending: Pin<Box<F>>) -> Option<F::Output> {
    poll_fn(|context| match claim.lasts_for(Duration::ZERO) {
        true => sending.as_mut().poll(context).map(Some),
        false => Poll::Ready(None),
    })
    .await
}

/// Sets no timer for a time that has come, as most have: a timer takes a millisecond or two even then.
async fn wait_until(at: Instant, now: Instant) {
    if at > now {
        tokio::time::sleep_until(at).await;
    }
}

fn busy(what: String, retry_after: Duration) -> CallError {
    CallError { code: None, what, fault: Fault::Busy { retry_after } }
}

fn unanswered(name: &str, why: &str) -> CallError {
    CallError { code: None, what: format!("{name} was not answered: {why}"), fault: Fault::Unknown }
}

/// What an HTTP status means where the target's own code does not say more.
pub(crate) fn fault_of_status(status: u16) -> Fault {
    match status {
        429 => Fault::Busy { retry_after: Duration::from_secs(1) },
        // The server may have applied the change, or may apply it later.
        500.. => Fault::Unknown,
        _ => Fault::Refused,
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;

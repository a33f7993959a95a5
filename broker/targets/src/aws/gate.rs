//! May this account be called now? Each account has its own pace and its own breaker, so that one that is dead,
//! slow or throttled delays no other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Why a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Something is given, or only looked at: it can wait for its turn.
    Give,
    /// Something is taken back: it never waits for a quota of ours.
    TakeBack,
}

/// Not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Others wait already for as long as a call may.
    TooMany(Duration),
    /// The account did not answer several times in a row; it is tried again after this.
    Silent(Duration),
}

/// The pace and the breaker of one account.
#[derive(Debug)]
pub(super) struct Gate {
    spacing: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next call that can wait may go.
    next: Instant,
    /// Calls in a row that nobody answered.
    unanswered: u32,
    /// Nobody but one that tries may call before.
    shut_until: Option<Instant>,
}

/// So many calls may go at once after a rest.
const BURST: u32 = 20;
/// Whoever would wait longer for its turn is sent away.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// After so many unanswered calls in a row the account counts as dead.
const SHUT_AFTER: u32 = 3;
/// How long nobody calls then.
const SHUT_FOR: Duration = Duration::from_secs(5);

impl Gate {
    pub(super) fn new(calls_per_second: u32, now: Instant) -> Self {
        Self {
            spacing: Duration::from_secs(1) / calls_per_second.max(1),
            state: Mutex::new(State { next: now, unanswered: 0, shut_until: None }),
        }
    }

    /// When a call may go, or why not at all.
    pub(super) fn turn(&self, urgency: Urgency, now: Instant) -> Result<Instant, Closed> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.shut_until {
            if now < until {
                return Err(Closed::Silent(until - now));
            }
            // This call is the one that tries; the others wait for what becomes of it.
            state.shut_until = Some(now + SHUT_FOR);
        }
        let rested = now.checked_sub(self.spacing * BURST).unwrap_or(now);
        let turn = state.next.max(rested) + self.spacing;
        match urgency {
            Urgency::TakeBack => {
                state.next = turn;
                Ok(now)
            }
            Urgency::Give if turn.saturating_duration_since(now) > LONGEST_WAIT => {
                Err(Closed::TooMany(turn - now - LONGEST_WAIT))
            }
            Urgency::Give => {
                state.next = turn;
                Ok(turn.max(now))
            }
        }
    }

    /// The account answered, whatever it said.
    pub(super) fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unanswered = 0;
        state.shut_until = None;
    }

    /// The account did not answer in time.
    pub(super) fn unanswered(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unanswered += 1;
        if state.unanswered >= SHUT_AFTER {
            state.shut_until = Some(now + SHUT_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_goes_at_once_and_then_evenly() {
        let now = Instant::now();
        let gate = Gate::new(10, now);
        let later = now + secs(60);
        let turns: Vec<_> = (0..40).map(|_| gate.turn(Urgency::Give, later).unwrap()).collect();
        assert_eq!(turns.iter().filter(|turn| **turn == later).count(), 20);
        assert_eq!(turns[39], later + secs(2));
        assert_eq!(gate.turn(Urgency::Give, later), Err(Closed::TooMany(Duration::from_millis(100))));
    }

    #[test]
    fn taking_back_never_waits_but_counts() {
        let now = Instant::now();
        let gate = Gate::new(1, now);
        for _ in 0..100 {
            assert_eq!(gate.turn(Urgency::TakeBack, now), Ok(now));
        }
        assert!(matches!(gate.turn(Urgency::Give, now), Err(Closed::TooMany(_))));
    }

    #[test]
    fn a_silent_account_is_left_alone_and_tried_by_one() {
        let now = Instant::now();
        let gate = Gate::new(10, now);
        for _ in 0..SHUT_AFTER {
            gate.unanswered(now);
        }
        assert_eq!(gate.turn(Urgency::TakeBack, now + secs(1)), Err(Closed::Silent(secs(4))));
        let then = now + SHUT_FOR;
        assert!(gate.turn(Urgency::TakeBack, then).is_ok());
        assert!(gate.turn(Urgency::TakeBack, then).is_err(), "only one tries");
        gate.answered();
        assert!(gate.turn(Urgency::TakeBack, then).is_ok());
    }
}

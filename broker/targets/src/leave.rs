//! When may it go? What is to be done can be got ready while it is written down, and goes when it is.

use tokio::sync::watch;

use crate::claim::Claim;

/// Had by whoever writes down what is to be done.
#[derive(Debug)]
pub struct LeaveToGive(watch::Sender<Option<Claim>>);

/// Waited for by whoever does it. One that is never given lets nothing go.
#[derive(Debug, Clone)]
pub struct Leave(watch::Receiver<Option<Claim>>);

impl LeaveToGive {
    /// With whoever waits for it.
    pub fn new() -> (Self, Leave) {
        let (give, leave) = watch::channel(None);
        (Self(give), Leave(leave))
    }

    /// It may go, for as long as this claim lasts.
    pub fn give(self, claim: Claim) {
        self.0.send_replace(Some(claim));
    }
}

impl Leave {
    /// For what may go at once, for as long as this claim lasts.
    pub fn given(claim: Claim) -> Self {
        let (leave_to_give, leave) = LeaveToGive::new();
        leave_to_give.give(claim);
        leave
    }

    /// Comes back when it may go, with the claim for it.
    pub async fn had(&self) -> Claim {
        let given = self.0.clone().wait_for(Option::is_some).await.ok().and_then(|claim| claim.clone());
        match given {
            Some(claim) => claim,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn goes(leave: &Leave) -> bool {
        pin!(leave.had()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn nothing_goes_before_it_may() {
        let (leave_to_give, leave) = LeaveToGive::new();
        assert!(!goes(&leave));
        leave_to_give.give(Claim::not_needed());
        assert!(goes(&leave));
        assert!(goes(&leave.clone()), "for each who waits");
    }

    #[test]
    fn what_nobody_can_allow_any_more_never_goes() {
        let (leave_to_give, leave) = LeaveToGive::new();
        drop(leave_to_give);
        assert!(!goes(&leave));
    }
}

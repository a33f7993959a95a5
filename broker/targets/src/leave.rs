//! When may it go? What is to be done can be got ready while it is written down, and goes when it is.

use tokio::sync::watch;

/// Had by whoever writes down what is to be done.
#[derive(Debug)]
pub struct LeaveToGive(watch::Sender<bool>);

/// Waited for by whoever does it. One that is never given lets nothing go.
#[derive(Debug, Clone)]
pub struct Leave(watch::Receiver<bool>);

impl LeaveToGive {
    /// With whoever waits for it.
    pub fn new() -> (Self, Leave) {
        let (give, leave) = watch::channel(false);
        (Self(give), Leave(leave))
    }

    /// It may go.
    pub fn give(self) {
        self.0.send_replace(true);
    }
}

impl Leave {
    /// For what may go at once.
    pub fn given() -> Self {
        let (leave_to_give, leave) = LeaveToGive::new();
        leave_to_give.give();
        leave
    }

    /// Comes back when it may go.
    pub async fn had(&self) {
        let given = self.0.clone().wait_for(|given| *given).await.is_ok();
        if !given {
            std::future::pending::<()>().await;
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
        leave_to_give.give();
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

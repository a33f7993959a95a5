//! Lets the requests of an agent decide one after the other, where rules count its grants.
//!
//! The store refuses a grant whose decision counted other grants than there are when it is created. Of many requests that
//! arrive together, as from parallel jobs of one run, all but one would have to be decided again, and most would give up
//! in the end. Requests at other replicas are still refused by the store: there are few replicas.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};

use protocol::AgentId;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The agents whose requests wait.
#[derive(Default)]
pub(crate) struct Turns(std::sync::Mutex<HashMap<AgentId, Weak<Mutex<()>>>>);

/// Held from the decision until the grant is created.
pub(crate) struct Turn(
    #[expect(dead_code, reason = "the lock is released when this is dropped")] OwnedMutexGuard<()>,
);

impl Turns {
    /// Waits for every request of the agent that came before.
    pub(crate) async fn next(&self, agent: &AgentId) -> Turn {
        Turn(self.of(agent).lock_owned().await)
    }

    fn of(&self, agent: &AgentId) -> Arc<Mutex<()>> {
        let mut agents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = agents.get(agent).and_then(Weak::upgrade) {
            return turn;
        }
        agents.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Mutex::new(()));
        agents.insert(agent.clone(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_agent_waits_for_itself_and_for_no_other() {
        let (turns, one, other) = (Turns::default(), "one".parse().unwrap(), "other".parse().unwrap());
        let first = turns.next(&one).await;
        let _other = turns.next(&other).await;
        let second = turns.next(&one);
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let second = second.await;
        drop(second);
        drop(turns.next(&"third".parse().unwrap()).await);
        assert!(turns.0.lock().unwrap().len() <= 2, "agents that do not wait are forgotten");
    }
}

//! What was given a moment ago is mostly given back a moment later, and by way of the same broker: it need not be read
//! again to be changed. A change counts only if nobody has changed the grant since, so what is remembered here may be
//! out of date.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use protocol::GrantId;
use store::Stored;

/// How many are remembered: a kilobyte or two each.
const ROOM: usize = 1024;

/// Grants as this broker wrote them last.
#[derive(Default)]
pub(crate) struct JustGiven(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    grants: HashMap<GrantId, Stored>,
    /// Oldest first; some were taken out since.
    order: VecDeque<GrantId>,
}

impl JustGiven {
    pub(crate) fn remember(&self, stored: &Stored) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.order.len() == ROOM
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.grants.remove(&oldest);
        }
        kept.order.push_back(stored.grant.id.clone());
        kept.grants.insert(stored.grant.id.clone(), stored.clone());
    }

    /// Once: whoever asks again wants to know what became of it.
    pub(crate) fn take(&self, id: &GrantId) -> Option<Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grants.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use domain::grant::Request;
    use domain::{Grant, TargetKind};
    use protocol::{EnforcedBy, IdempotencyKey, Provenance, Timestamp};
    use store::{Created, Memory, Store};

    use super::*;

    async fn stored(store: &Memory, n: usize) -> Stored {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let request = Request {
            id: GrantId::from_random(n.to_be_bytes()),
            agent_id: "orders-agent".parse().unwrap(),
            key: IdempotencyKey::from_random(bytes),
            request_hash: String::new(),
            policies: vec!["orders-read".parse().unwrap()],
            target: TargetKind::Token,
            scope: domain::TargetKind::Token.into(),
            ttl: "15m".parse().unwrap(),
            reason: None,
            provenance: Provenance::default(),
            run: None,
        };
        let now = Timestamp::from_millis(0);
        let accepted = Grant::accepted(request, now, EnforcedBy::Broker, Vec::new(), now);
        match store.create_grant(&accepted, None, None, None).await.unwrap() {
            Created::New(stored) => stored,
            other @ (Created::Joined(_)
            | Created::KeyConflict
            | Created::AgentDisabled
            | Created::Cancelled
            | Created::Replayed
            | Created::TooManyActive) => panic!("expected a new grant, found {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_last_thousand_are_remembered_and_each_is_taken_once() {
        let (store, kept) = (Memory::default(), JustGiven::default());
        let mut ids = Vec::new();
        for n in 0..=ROOM {
            let stored = stored(&store, n).await;
            kept.remember(&stored);
            ids.push(stored.grant.id);
        }
        assert!(kept.take(&ids[0]).is_none(), "too long ago");
        for id in &ids[1..] {
            assert_eq!(kept.take(id).map(|stored| stored.grant.id), Some(id.clone()));
            assert!(kept.take(id).is_none(), "taken");
        }
    }
}

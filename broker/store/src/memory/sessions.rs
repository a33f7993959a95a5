//! Stores sessions of persons.

use std::collections::BTreeMap;

use domain::Session;
use protocol::Timestamp;

use crate::{StoredSession, UnclaimedSession};

#[derive(Default)]
pub(super) struct Sessions {
    /// By the hash of the code, with the challenge and the last moment to claim it.
    unclaimed: BTreeMap<String, (String, Timestamp, Session)>,
    /// By the hash of the token.
    claimed: BTreeMap<String, StoredSession>,
}

impl Sessions {
    pub(super) fn add(&mut self, new: UnclaimedSession<'_>) {
        let UnclaimedSession { code_hash, challenge, session, claim_until } = new;
        self.unclaimed.insert(code_hash.to_owned(), (challenge.to_owned(), claim_until, session.clone()));
    }

    pub(super) fn claim(
        &mut self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Option<Session> {
        let (expected, until, _) = self.unclaimed.get(code_hash)?;
        if expected != challenge || *until <= now {
            return None;
        }
        let (_, _, session) = self.unclaimed.remove(code_hash)?;
        let stored = StoredSession { session: session.clone(), last_used_at: now };
        self.claimed.insert(token_hash.to_owned(), stored);
        Some(session)
    }

    pub(super) fn get(&self, token_hash: &str) -> Option<StoredSession> {
        self.claimed.get(token_hash).cloned()
    }

    pub(super) fn used(&mut self, token_hash: &str, now: Timestamp) {
        if let Some(stored) = self.claimed.get_mut(token_hash) {
            stored.last_used_at = stored.last_used_at.max(now);
        }
    }

    pub(super) fn remove(&mut self, token_hash: &str) -> bool {
        self.claimed.remove(token_hash).is_some()
    }

    pub(super) fn list(&self, now: Timestamp, limit: u32) -> Vec<StoredSession> {
        let mut open: Vec<_> =
            self.claimed.iter().filter(|(_, stored)| now < stored.session.ends_at).collect();
        open.sort_by_key(|(hash, stored)| (std::cmp::Reverse(stored.last_used_at), (*hash).clone()));
        open.into_iter().take(limit as usize).map(|(_, stored)| stored.clone()).collect()
    }

    pub(super) fn remove_of(&mut self, issuer: &str, subject: &str) -> u64 {
        let before = self.unclaimed.len() + self.claimed.len();
        let is_other =
            |session: &Session| session.person.issuer != issuer || session.person.subject != subject;
        self.unclaimed.retain(|_, (_, _, session)| is_other(session));
        self.claimed.retain(|_, stored| is_other(&stored.session));
        (before - self.unclaimed.len() - self.claimed.len()) as u64
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.unclaimed.retain(|_, (_, until, _)| now < *until);
        self.claimed.retain(|_, stored| now < stored.session.ends_at);
    }
}

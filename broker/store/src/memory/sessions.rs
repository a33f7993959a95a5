//! Stores sessions of persons.

use std::collections::BTreeMap;

use domain::Session;
use protocol::Timestamp;

use crate::{PendingSession, StoredSession};

#[derive(Default)]
pub(super) struct Sessions {
    /// By the hash of the code, with the challenge and until when the code is accepted.
    pending: BTreeMap<String, (String, Timestamp, Session)>,
    /// By the hash of the token.
    open: BTreeMap<String, StoredSession>,
}

impl Sessions {
    pub(super) fn add(&mut self, new: PendingSession<'_>) {
        let PendingSession { code_hash, challenge, session, code_expires_at } = new;
        self.pending.insert(code_hash.to_owned(), (challenge.to_owned(), code_expires_at, session.clone()));
    }

    pub(super) fn exchange(
        &mut self,
        code_hash: &str,
        challenge: &str,
        token_hash: &str,
        now: Timestamp,
    ) -> Option<Session> {
        let (expected, until, _) = self.pending.get(code_hash)?;
        if expected != challenge || *until <= now {
            return None;
        }
        let (_, _, session) = self.pending.remove(code_hash)?;
        let stored = StoredSession { session: session.clone(), last_used_at: now };
        self.open.insert(token_hash.to_owned(), stored);
        Some(session)
    }

    pub(super) fn get(&self, token_hash: &str) -> Option<StoredSession> {
        self.open.get(token_hash).cloned()
    }

    pub(super) fn used(&mut self, token_hash: &str, now: Timestamp) {
        if let Some(stored) = self.open.get_mut(token_hash) {
            stored.last_used_at = stored.last_used_at.max(now);
        }
    }

    pub(super) fn remove(&mut self, token_hash: &str) -> bool {
        self.open.remove(token_hash).is_some()
    }

    pub(super) fn list(&self, now: Timestamp, limit: u32) -> Vec<StoredSession> {
        let mut listed: Vec<_> =
            self.open.iter().filter(|(_, stored)| now < stored.session.ends_at).collect();
        listed.sort_by_key(|(hash, stored)| (std::cmp::Reverse(stored.last_used_at), (*hash).clone()));
        listed.into_iter().take(limit as usize).map(|(_, stored)| stored.clone()).collect()
    }

    pub(super) fn remove_of(&mut self, issuer: &str, subject: &str) -> u64 {
        let before = self.pending.len() + self.open.len();
        let is_other =
            |session: &Session| session.person.issuer != issuer || session.person.subject != subject;
        self.pending.retain(|_, (_, _, session)| is_other(session));
        self.open.retain(|_, stored| is_other(&stored.session));
        (before - self.pending.len() - self.open.len()) as u64
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.pending.retain(|_, (_, until, _)| now < *until);
        self.open.retain(|_, stored| now < stored.session.ends_at);
    }
}

//! Caches auth tokens with their agents.
//!
//! One broker owns the file, so every change of agents and tokens goes through this store, and invalidates the cache
//! before it is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Agent;

use crate::StoredToken;

/// Only existing tokens are cached, so unknown callers cannot fill the cache. A full cache starts empty again.
const MOST: usize = 4096;

/// Tokens that were read since the last change, by their public parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    changes: u64,
    tokens: HashMap<String, (StoredToken, Arc<Agent>)>,
}

/// The number of changes before a read of the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadToken(u64);

/// Travels with a change until it is committed or has failed, even if the caller stops waiting; invalidates the cache
/// when it is dropped.
#[derive(Debug)]
pub(super) struct InvalidateOnDrop(Credentials);

impl Credentials {
    /// The cached token, or what [`Self::remember`] needs after a read of the database.
    pub(super) fn known(&self, token_id: &str) -> Result<(StoredToken, Arc<Agent>), ReadToken> {
        let known = self.lock();
        known.tokens.get(token_id).cloned().ok_or(ReadToken(known.changes))
    }

    /// Caches what was read, unless a change came since the read began: the read may be older than the change.
    pub(super) fn remember(&self, read_token: ReadToken, token: &StoredToken, agent: &Arc<Agent>) {
        let mut known = self.lock();
        if known.changes != read_token.0 {
            return;
        }
        if known.tokens.len() >= MOST {
            known.tokens.clear();
        }
        known.tokens.insert(token.id.clone(), (token.clone(), Arc::clone(agent)));
    }

    pub(super) fn invalidate_on_drop(&self) -> InvalidateOnDrop {
        InvalidateOnDrop(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InvalidateOnDrop {
    fn drop(&mut self) {
        let mut known = self.0.lock();
        known.changes += 1;
        known.tokens.clear();
    }
}

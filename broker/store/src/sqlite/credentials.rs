//! Whose is this token, without asking the database at every request?
//!
//! One broker owns the file: whatever changes agents or tokens goes through this store, and forgets all that is
//! known here before it is answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Agent;

use crate::StoredToken;

/// Only tokens that exist are remembered, so strangers cannot fill this; with so many it starts anew.
const MOST: usize = 4096;

/// The tokens that were read since the last change, by their public parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    changes: u64,
    tokens: HashMap<String, (StoredToken, Arc<Agent>)>,
}

/// After how many changes a look into the database began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began(u64);

/// Goes with a change until it is on disk or has failed, whoever waits for it or not; forgets when it is dropped.
#[derive(Debug)]
pub(super) struct ForgetThen(Credentials);

impl Credentials {
    /// What is known of the token; or what to hand in with what is found.
    pub(super) fn known(&self, token_id: &str) -> Result<(StoredToken, Arc<Agent>), Began> {
        let known = self.lock();
        known.tokens.get(token_id).cloned().ok_or(Began(known.changes))
    }

    /// Remembers what was found, unless something has changed since the look began: it may be from before that.
    pub(super) fn remember(&self, began: Began, token: &StoredToken, agent: &Arc<Agent>) {
        let mut known = self.lock();
        if known.changes != began.0 {
            return;
        }
        if known.tokens.len() >= MOST {
            known.tokens.clear();
        }
        known.tokens.insert(token.id.clone(), (token.clone(), Arc::clone(agent)));
    }

    pub(super) fn forget_then(&self) -> ForgetThen {
        ForgetThen(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ForgetThen {
    fn drop(&mut self) {
        let mut known = self.0.lock();
        known.changes += 1;
        known.tokens.clear();
    }
}

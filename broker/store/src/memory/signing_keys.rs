//! Stores the keys that sign credentials of `token` grants.

use protocol::Timestamp;

use crate::StoredKey;

/// Oldest first; of two from one moment, the one that was added first.
#[derive(Default)]
pub(super) struct SigningKeys(Vec<StoredKey>);

impl SigningKeys {
    pub(super) fn all(&self) -> Vec<StoredKey> {
        self.0.clone()
    }

    pub(super) fn add(&mut self, key: &StoredKey, newest: Option<&str>) -> bool {
        if self.0.last().map(|last| last.kid.as_str()) != newest {
            return false;
        }
        self.0.push(key.clone());
        self.0.sort_by_key(|key| key.created_at);
        true
    }

    pub(super) fn remove(&mut self, before: Timestamp) {
        let Some(newest) = self.0.pop() else { return };
        self.0.retain(|key| key.created_at >= before);
        self.0.push(newest);
    }
}

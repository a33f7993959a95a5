//! Stores what other systems say about subjects.

use std::collections::BTreeMap;
use std::ops::Bound;

use protocol::Timestamp;
use protocol::posture::PostureOutcome;

use crate::{PostureListing, PostureStatement, StoredPosture, posture};

#[derive(Default)]
pub(super) struct Posture {
    /// By source and subject, with the number of the change.
    rows: BTreeMap<(String, String), (i64, StoredPosture)>,
    last_seq: i64,
}

impl Posture {
    pub(super) fn put(&mut self, new: &PostureStatement, now: Timestamp) -> PostureOutcome {
        let key = (new.source.clone(), new.subject.clone());
        let before = self.rows.get(&key).map(|(_, stored)| &stored.statement);
        let outcome = posture::outcome(before, new, now);
        if outcome != PostureOutcome::Older && before != Some(new) {
            self.last_seq += 1;
            let stored = StoredPosture { statement: new.clone(), received_at: now };
            self.rows.insert(key, (self.last_seq, stored));
        }
        outcome
    }

    pub(super) fn list(&self, listing: PostureListing<'_>) -> Vec<StoredPosture> {
        let PostureListing { source, after, limit } = listing;
        let after = after.map(|(source, subject)| (source.to_owned(), subject.to_owned()));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range((from, Bound::Unbounded)).map(|(_, (_, stored))| stored);
        let wanted = rows.filter(|stored| source.is_none_or(|source| stored.statement.source == source));
        wanted.take(limit as usize).cloned().collect()
    }

    /// What holds about the subjects, by source and subject.
    pub(super) fn about(&self, subjects: &[String], now: Timestamp) -> Vec<StoredPosture> {
        let rows = self.rows.values().map(|(_, stored)| stored).filter(|stored| {
            subjects.contains(&stored.statement.subject) && now < stored.statement.expires_at
        });
        rows.cloned().collect()
    }

    /// The newest change about the subjects.
    pub(super) fn seq(&self, subjects: &[String]) -> i64 {
        let about = self.rows.values().filter(|(_, stored)| subjects.contains(&stored.statement.subject));
        about.map(|(seq, _)| *seq).max().unwrap_or_default()
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.rows.retain(|_, (_, stored)| now < stored.statement.expires_at);
    }
}

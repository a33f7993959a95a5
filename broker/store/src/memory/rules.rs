//! Stores rule sets and the history of the rules.

use std::collections::BTreeMap;

use domain::RuleSetDigest;
use protocol::rules::{RuleSetFiles, RulesState};

use crate::error::corrupt;
use crate::{StoreError, decision_rows};

#[derive(Default)]
pub(super) struct Rules {
    sets: BTreeMap<RuleSetDigest, RuleSetFiles>,
    /// By version, from 1.
    history: Vec<RulesState>,
}

impl Rules {
    pub(super) fn current(&self) -> RulesState {
        self.history.last().cloned().unwrap_or_else(decision_rows::no_rules)
    }

    pub(super) fn set(&self, digest: &RuleSetDigest) -> Option<RuleSetFiles> {
        self.sets.get(digest).cloned()
    }

    pub(super) fn history(&self, before: Option<i64>, limit: u32) -> Vec<RulesState> {
        let wanted = self.history.iter().rev().filter(|state| before.is_none_or(|end| state.version < end));
        wanted.take(limit as usize).cloned().collect()
    }

    pub(super) fn change(
        &mut self,
        expected: i64,
        next: &RulesState,
        files: Option<&RuleSetFiles>,
    ) -> Result<Option<RulesState>, StoreError> {
        if self.current().version != expected {
            return Ok(None);
        }
        let is_known = |digest: &RuleSetDigest| {
            self.sets.contains_key(digest) || files.is_some_and(|set| set.digest == *digest)
        };
        if let Some(unknown) = next.active.iter().chain(&next.candidate).find(|digest| !is_known(digest)) {
            return Err(corrupt("a change of the rules", format!("there is no rule set `{unknown}`")));
        }
        if let Some(set) = files {
            self.sets.entry(set.digest.clone()).or_insert_with(|| set.clone());
        }
        let next = RulesState { version: expected + 1, ..next.clone() };
        self.history.push(next.clone());
        Ok(Some(next))
    }
}

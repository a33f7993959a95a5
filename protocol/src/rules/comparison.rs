//! Recorded decisions, compared with what another rule set answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::{AgentId, GrantId};

/// Recorded decisions, compared with what a second rule set answers from the same facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// Compared decisions.
    pub decisions: u64,
    /// Those with the same outcome.
    pub same: u64,
    /// Those with another outcome, grouped.
    pub flips: Vec<Flip>,
    /// How many decisions each rule of the second set decided; rules that decided none are in it with 0.
    pub rules: BTreeMap<String, u64>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// Decisions of one agent whose outcome differs in the same way, for the same rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Flip {
    /// The agent.
    pub agent: AgentId,
    /// The recorded outcome.
    pub before: Outcome,
    /// The outcome of the second set.
    pub after: Outcome,
    /// The rules of the second set that decided; empty if none permits the request.
    pub rules: Vec<String>,
    /// How many decisions.
    pub count: u64,
    /// The number of the last of them.
    pub example: i64,
    /// The grant of the last of them, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

impl Flip {
    /// Whether the second set allows more.
    pub fn is_wider(&self) -> bool {
        self.after < self.before
    }
}

impl Comparison {
    /// Adds the next page.
    pub fn add(&mut self, page: Self) {
        self.decisions += page.decisions;
        self.same += page.same;
        for flip in page.flips {
            let same = |known: &&mut Flip| {
                (&known.agent, known.before, known.after, &known.rules)
                    == (&flip.agent, flip.before, flip.after, &flip.rules)
            };
            match self.flips.iter_mut().find(same) {
                Some(known) => {
                    known.count += flip.count;
                    (known.example, known.grant) = (flip.example, flip.grant);
                }
                None => self.flips.push(flip),
            }
        }
        for (rule, decided) in page.rules {
            *self.rules.entry(rule).or_default() += decided;
        }
        self.next = page.next;
    }
}

//! Observations: decisions about steps that run without a grant, and what the steps called.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decision;
use protocol::actions::Action;
use protocol::{AgentId, Timestamp};

use crate::columns::Columns;
use crate::error::corrupt;
use crate::{StoreError, decision_rows};

/// How many different actions, by name and status, are kept for one observation.
pub const OBSERVED_ACTIONS_KEPT: usize = 1000;

/// An observed step.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObservation {
    pub id: String,
    /// The number of its decision.
    pub number: i64,
    pub decision: Decision,
    /// By name and status, with how often.
    pub actions: Vec<Action>,
}

/// Which observations to read, in the order of their numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObservationListing<'a> {
    pub agent: Option<&'a AgentId>,
    pub since: Option<Timestamp>,
    /// Start behind this number.
    pub after: Option<i64>,
    pub limit: u32,
}

/// What became of reported actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionsAdded {
    Done,
    /// The agent has no such observation.
    Unknown,
    /// There would be more than [`OBSERVED_ACTIONS_KEPT`]: nothing was added.
    TooMany,
}

/// Actions with one name and status. The status is empty if it is not known.
pub(crate) struct ObservedRow {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) count: u32,
}

/// The rows that add `actions` to those that are stored; `None` if there would be too many.
pub(crate) fn to_add(
    stored: impl IntoIterator<Item = (String, String)>,
    actions: &[Action],
) -> Option<Vec<ObservedRow>> {
    let mut all: BTreeSet<(String, String)> = stored.into_iter().collect();
    let mut more: BTreeMap<(String, String), u32> = BTreeMap::new();
    for action in actions {
        let key = (action.name.clone(), action.status.clone().unwrap_or_default());
        all.insert(key.clone());
        let count = more.entry(key).or_default();
        *count = count.saturating_add(action.count);
    }
    let rows = more.into_iter().map(|((name, status), count)| ObservedRow { name, status, count });
    (all.len() <= OBSERVED_ACTIONS_KEPT).then(|| rows.collect())
}

impl From<ObservedRow> for Action {
    fn from(row: ObservedRow) -> Self {
        let ObservedRow { name, status, count } = row;
        Self { name, status: (!status.is_empty()).then_some(status), count }
    }
}

/// From a row with the columns of a decision, and `actions` in JSON.
pub(crate) fn stored(
    row: &impl Columns,
    unescape: fn(&str) -> String,
) -> Result<StoredObservation, StoreError> {
    let decision = decision_rows::decision(row)?;
    let actions: Vec<(String, String, u32)> = serde_json::from_str(row.text("actions")?)
        .map_err(|error| corrupt("the actions of an observation", error))?;
    let mut actions: Vec<_> = actions
        .into_iter()
        .map(|(name, status, count)| (unescape(&name), unescape(&status), count))
        .collect();
    actions.sort();
    Ok(StoredObservation {
        id: decision.observation.unwrap_or_default(),
        number: decision.number,
        decision: decision.decision,
        actions: actions
            .into_iter()
            .map(|(name, status, count)| ObservedRow { name, status, count }.into())
            .collect(),
    })
}

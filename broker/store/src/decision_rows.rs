//! Converts between decisions and their rows.

use domain::{Decided, Decision, DecisionKind, RuleSetDigest};
use protocol::rules::{RuleSetFiles, RulesAction, RulesState};
use protocol::{AgentId, Timestamp};
use serde::de::DeserializeOwned;

use crate::columns::Columns;
use crate::error::corrupt;
use crate::{Reevaluation, StoreError, StoredDecision};

/// A decision in the form in which it is stored.
#[derive(Debug)]
pub(crate) struct DecisionRow {
    pub(crate) at: i64,
    pub(crate) kind: &'static str,
    pub(crate) agent: AgentId,
    pub(crate) facts: String,
    pub(crate) facts_digest: String,
    pub(crate) rules: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) verdict: String,
    pub(crate) shadow_rules: Option<String>,
    pub(crate) shadow_outcome: Option<&'static str>,
    pub(crate) shadow: Option<String>,
}

impl DecisionRow {
    pub(crate) fn of(decision: &Decision) -> Result<Self, StoreError> {
        let Decision { kind, facts, enforced, shadow } = decision;
        let text = audit::canonical_facts(facts);
        let shadow = shadow.as_ref();
        let rules = |decided: &Decided| decided.rules.as_ref().map(ToString::to_string);
        Ok(Self {
            at: facts.at.as_millis(),
            kind: kind.as_str(),
            agent: facts.agent.id.clone(),
            facts_digest: audit::sha256(&text),
            facts: text,
            rules: rules(enforced),
            outcome: enforced.verdict.outcome.as_str(),
            verdict: verdict(enforced)?,
            shadow_rules: shadow.and_then(rules),
            shadow_outcome: shadow.map(|shadow| shadow.verdict.outcome.as_str()),
            shadow: shadow.map(verdict).transpose()?,
        })
    }
}

fn verdict(decided: &Decided) -> Result<String, StoreError> {
    serde_json::to_string(&decided.verdict).map_err(|error| corrupt("a verdict to be stored", error))
}

fn json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

fn digest(row: &impl Columns, name: &str) -> Result<Option<RuleSetDigest>, StoreError> {
    let parse = |text: &str| text.parse().map_err(|error| corrupt("the digest of a rule set", error));
    row.maybe_text(name)?.map(parse).transpose()
}

/// From a row with the columns of `decisions`, and the `id` of its grant.
pub(crate) fn decision(row: &impl Columns) -> Result<StoredDecision, StoreError> {
    let kind = row.text("kind")?;
    let shadow = row.maybe_text("shadow")?.map(|text| json("a verdict", text)).transpose()?;
    let shadow_rules = digest(row, "shadow_rules")?;
    let grant = row.maybe_text("id")?.map(str::parse).transpose();
    Ok(StoredDecision {
        number: row.number("number")?,
        grant: grant.map_err(|error| corrupt("the grant of a decision", error))?,
        observation: row.maybe_text("observation_id")?.map(str::to_owned),
        facts_digest: row.text("facts_digest")?.to_owned(),
        decision: Decision {
            kind: DecisionKind::from_stored(kind)
                .ok_or_else(|| corrupt("the kind of a decision", format!("`{kind}` is unknown")))?,
            facts: json("the facts of a decision", row.text("facts")?)?,
            enforced: Decided {
                rules: digest(row, "rules")?,
                verdict: json("a verdict", row.text("verdict")?)?,
            },
            shadow: shadow.map(|verdict| Decided { rules: shadow_rules, verdict }),
        },
    })
}

/// The state before the first change.
pub(crate) fn no_rules() -> RulesState {
    RulesState {
        version: 0,
        active: None,
        candidate: None,
        rollout: Vec::new(),
        action: RulesAction::None,
        at: Timestamp::from_millis(0),
        by: String::new(),
    }
}

/// From a row with the columns of `rules_history`.
pub(crate) fn rules_state(row: &impl Columns) -> Result<RulesState, StoreError> {
    let action = row.text("action")?;
    Ok(RulesState {
        version: row.number("version")?,
        active: digest(row, "active")?,
        candidate: digest(row, "candidate")?,
        rollout: json("the agents of a rollout", row.text("rollout")?)?,
        action: RulesAction::from_stored(action)
            .ok_or_else(|| corrupt("a change of the rules", format!("`{action}` is unknown")))?,
        at: Timestamp::from_millis(row.number("at")?),
        by: row.text("author")?.to_owned(),
    })
}

/// The column `rollout`.
pub(crate) fn rollout(state: &RulesState) -> Result<String, StoreError> {
    serde_json::to_string(&state.rollout).map_err(|error| corrupt("the agents of a rollout", error))
}

/// From a row with the columns of `rule_sets`.
pub(crate) fn rule_set(row: &impl Columns) -> Result<RuleSetFiles, StoreError> {
    let digest = row.text("digest")?.parse();
    Ok(RuleSetFiles {
        digest: digest.map_err(|error| corrupt("the digest of a rule set", error))?,
        files: json("the files of a rule set", row.text("files")?)?,
        created_at: Timestamp::from_millis(row.number("created_at")?),
        created_by: row.text("created_by")?.to_owned(),
    })
}

/// The column `files`.
pub(crate) fn files(set: &RuleSetFiles) -> Result<String, StoreError> {
    serde_json::to_string(&set.files).map_err(|error| corrupt("the files of a rule set", error))
}

/// From a row with `reevaluate_at` and `reevaluation`.
pub(crate) fn reevaluation(row: &impl Columns) -> Result<Option<Reevaluation>, StoreError> {
    let (at, mark) = (row.maybe_number("reevaluate_at")?, row.number("reevaluation")?);
    Ok(at.map(|at| Reevaluation { at: Timestamp::from_millis(at), mark }))
}

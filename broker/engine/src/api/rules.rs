//! Applies rule sets, and changes which of them decides.

use std::collections::BTreeMap;

use policy::rules::{RuleSet, run_cases};
use protocol::rules::{
    ApplyRules, RuleSetFiles, RuleSetRole, RulesAction, RulesApplied, RulesHistory, RulesState,
};
use protocol::{Actor, ErrorCode};

use crate::rules::{agent_glob, no_such_set};
use crate::{Author, Engine, Page, Refusal};

/// The most globs of a rollout.
const MAX_GLOBS: usize = 100;
/// The most failures in one answer.
const MAX_FAILURES: usize = 20;

impl Engine {
    /// Which rule sets decide now.
    pub async fn rules_state(&self) -> Result<RulesState, Refusal> {
        Ok(self.store.rules().await?)
    }

    /// The changes of the rules, newest first, below a version.
    pub async fn rules_history(&self, before: Option<i64>, page: Page) -> Result<RulesHistory, Refusal> {
        let mut changes = self.store.rules_history(before, page.rows() + 1).await?;
        let more = changes.len() > page.rows() as usize;
        changes.truncate(page.rows() as usize);
        let next = if more { changes.last().map(|last| last.version) } else { None };
        Ok(RulesHistory { changes, next })
    }

    /// A stored rule set by its digest.
    pub async fn rule_set_files(&self, digest: &str) -> Result<RuleSetFiles, Refusal> {
        let parsed = digest.parse().map_err(|problem| Refusal::new(ErrorCode::InvalidRequest, problem))?;
        self.store.rule_set(&parsed).await?.ok_or_else(|| no_such_set(digest))
    }

    /// Checks a set and its cases, and gives it its role.
    pub async fn apply_rules(&self, request: &ApplyRules, by: &Author) -> Result<RulesApplied, Refusal> {
        let set = parsed(&request.files)?;
        let cases = passed(&set, &request.cases)?;
        let state = self.store.rules().await?;
        let digest = set.digest().clone();
        let next = match request.role {
            RuleSetRole::Active if state.active.as_ref() == Some(&digest) => None,
            RuleSetRole::Candidate if state.candidate.as_ref() == Some(&digest) => None,
            RuleSetRole::Active => {
                // The candidate that becomes active is no candidate any more.
                let is_candidate = state.candidate.as_ref() == Some(&digest);
                let candidate = state.candidate.clone().filter(|_| !is_candidate);
                let rollout = if is_candidate { Vec::new() } else { state.rollout.clone() };
                let active = Some(digest.clone());
                Some(RulesState { active, candidate, rollout, action: RulesAction::Apply, ..state.clone() })
            }
            RuleSetRole::Candidate => Some(RulesState {
                candidate: Some(digest.clone()),
                rollout: Vec::new(),
                action: RulesAction::ApplyCandidate,
                ..state.clone()
            }),
        };
        let (changed, state) = match next.filter(|_| !request.check_only) {
            None => (false, state),
            Some(next) => {
                let files = RuleSetFiles {
                    digest: digest.clone(),
                    files: request.files.clone(),
                    created_at: self.clock.now(),
                    created_by: by.to_string(),
                };
                (true, self.change_rules(&state, next, Some(&files), by).await?)
            }
        };
        let rules = u32::try_from(set.rule_ids().count()).unwrap_or(u32::MAX);
        Ok(RulesApplied { digest, rules, cases, warnings: set.warnings().to_vec(), changed, state })
    }

    /// The candidate becomes the active set.
    pub async fn promote_rules(&self, by: &Actor) -> Result<RulesState, Refusal> {
        let state = self.store.rules().await?;
        let active = Some(candidate(&state)?);
        let action = RulesAction::Promote;
        let next = RulesState { active, candidate: None, rollout: Vec::new(), action, ..state.clone() };
        self.change_rules(&state, next, None, &Author::Actor(by.clone())).await
    }

    /// The candidate decides for the agents that match one of these globs.
    pub async fn roll_out_rules(&self, agents: &[String], by: &Actor) -> Result<RulesState, Refusal> {
        if agents.is_empty() || agents.len() > MAX_GLOBS {
            let found = agents.len();
            let detail = format!("agents: expected 1 to {MAX_GLOBS} globs of agent ids, found {found}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, detail));
        }
        agents.iter().try_for_each(|glob| agent_glob(glob).map(|_| ()))?;
        let state = self.store.rules().await?;
        candidate(&state)?;
        let (rollout, action) = (agents.to_vec(), RulesAction::Rollout);
        let next = RulesState { rollout, action, ..state.clone() };
        self.change_rules(&state, next, None, &Author::Actor(by.clone())).await
    }

    /// Ends the rollout; without one, the set that was active before the present one is active again.
    pub async fn roll_back_rules(&self, by: &Actor) -> Result<RulesState, Refusal> {
        let state = self.store.rules().await?;
        let action = RulesAction::Rollback;
        let next = if state.rollout.is_empty() {
            RulesState { active: self.active_before(&state).await?, action, ..state.clone() }
        } else {
            RulesState { rollout: Vec::new(), action, ..state.clone() }
        };
        self.change_rules(&state, next, None, &Author::Actor(by.clone())).await
    }

    /// Removes the candidate, which ends its rollout.
    pub async fn clear_candidate(&self, by: &Actor) -> Result<RulesState, Refusal> {
        let state = self.store.rules().await?;
        candidate(&state)?;
        let action = RulesAction::ClearCandidate;
        let next = RulesState { candidate: None, rollout: Vec::new(), action, ..state.clone() };
        self.change_rules(&state, next, None, &Author::Actor(by.clone())).await
    }

    /// The set that was active before the present one; none if no set was.
    async fn active_before(&self, state: &RulesState) -> Result<Option<domain::RuleSetDigest>, Refusal> {
        let mut before = None;
        loop {
            let changes = self.store.rules_history(before, Page::of(None).rows()).await?;
            if let Some(other) = changes.iter().find(|change| change.active != state.active) {
                return Ok(other.active.clone());
            }
            match changes.last() {
                Some(last) => before = Some(last.version),
                // Before the first change, no set was active.
                None if state.active.is_some() => return Ok(None),
                None => {
                    return Err(Refusal::new(ErrorCode::RuleSetNotFound, "no rule set was ever active")
                        .hint("`cloudanix-jit rules apply DIR` makes one active"));
                }
            }
        }
    }

    async fn change_rules(
        &self,
        state: &RulesState,
        next: RulesState,
        files: Option<&RuleSetFiles>,
        by: &Author,
    ) -> Result<RulesState, Refusal> {
        let next =
            RulesState { version: state.version + 1, at: self.clock.now(), by: by.to_string(), ..next };
        let changed = self.store.change_rules(state.version, &next, files).await?.ok_or_else(|| {
            Refusal::new(ErrorCode::RulesChanged, "another change of the rules came first")
                .hint("look at `cloudanix-jit rules show`, then try again")
        })?;
        let name = |set: &Option<domain::RuleSetDigest>| set.as_ref().map(ToString::to_string);
        tracing::warn!(
            %by, version = changed.version, action = changed.action.as_str(), active = name(&changed.active),
            candidate = name(&changed.candidate), rollout = changed.rollout.join(" "), "the rules changed"
        );
        Ok(changed)
    }
}

fn candidate(state: &RulesState) -> Result<domain::RuleSetDigest, Refusal> {
    state.candidate.clone().ok_or_else(|| {
        Refusal::new(ErrorCode::RuleSetNotFound, "rules: expected a candidate, found none")
            .hint("`cloudanix-jit rules apply --candidate DIR` makes a set the candidate")
    })
}

pub(crate) fn parsed(files: &BTreeMap<String, String>) -> Result<RuleSet, Refusal> {
    RuleSet::parse(files).map_err(|problems| Refusal::new(ErrorCode::InvalidRules, problems.to_string()))
}

/// Runs the cases, and returns how many there are.
fn passed(set: &RuleSet, cases: &BTreeMap<String, String>) -> Result<u32, Refusal> {
    let refused = |detail: String| Refusal::new(ErrorCode::InvalidRules, detail);
    let (mut count, mut failures) = (0, Vec::new());
    for (file, text) in cases {
        let results = run_cases(set, file, text).map_err(|error| refused(error.to_string()))?;
        count += results.len();
        failures.extend(results.into_iter().filter_map(|result| {
            result.failure.map(|failure| format!("{file}, case `{}`: {failure}", result.name))
        }));
    }
    if failures.is_empty() {
        return Ok(u32::try_from(count).unwrap_or(u32::MAX));
    }
    let failed = failures.len();
    failures.truncate(MAX_FAILURES);
    Err(refused(format!("{failed} of {count} test cases fail:\n{}", failures.join("\n"))))
}

//! Asks the rule sets of the store about requests that are only tried.

use policy::rules::{CaseError, CaseResult, RuleSet, case_of, run_cases};
use protocol::people::Right;
use protocol::rules::{CaseAnswer, DecisionKind, RulesTested, TestRules};
use protocol::{ErrorCode, GrantId, Secret};

use crate::{Engine, On, Refusal};

/// The name of the cases in errors.
const FILE: &str = "cases";

impl Engine {
    /// What the active set and the candidate answer to requests. Nothing is recorded or granted.
    pub async fn test_rules(
        &self,
        bearer: Option<&Secret>,
        request: &TestRules,
    ) -> Result<RulesTested, Refusal> {
        self.actor(bearer, Right::View, On::Broker).await?;
        let cases = match (&request.cases, &request.grant) {
            (Some(cases), None) => cases.clone(),
            (None, Some(grant)) => self.recorded_case(bearer, grant).await?,
            (None, None) | (Some(_), Some(_)) => {
                let detail = "expected either cases or a grant";
                return Err(Refusal::new(ErrorCode::InvalidRequest, detail));
            }
        };
        let loaded = self.rules_of(self.store.rules().await?.version).await?;
        let asked = tokio::task::spawn_blocking(move || {
            let ask = |set: &RuleSet| -> Result<Vec<CaseAnswer>, CaseError> {
                let answer = |CaseResult { name, verdict, failure }| CaseAnswer { name, verdict, failure };
                Ok(run_cases(set, FILE, &cases)?.into_iter().map(answer).collect())
            };
            let active = loaded.active.as_ref().map(ask).transpose()?;
            let candidate = loaded.candidate.as_ref().map(ask).transpose()?;
            Ok(RulesTested { cases, active, candidate })
        });
        let tested = asked.await;
        let tested = tested
            .map_err(|error| Refusal::new(ErrorCode::Internal, "the test ended early").because(error))?;
        tested.map_err(|error: CaseError| Refusal::new(ErrorCode::InvalidRequest, error.to_string()))
    }

    /// The request for a grant, as the rules saw it, and what they answered.
    async fn recorded_case(&self, bearer: Option<&Secret>, id: &GrantId) -> Result<String, Refusal> {
        let caller = self.person_or_operator(bearer).await?;
        let decisions = self.recorded_decisions(&caller, id).await?;
        let first = decisions.iter().find(|stored| stored.decision.kind == DecisionKind::Elevate);
        let decision = first.or(decisions.first()).map(|stored| &stored.decision).ok_or_else(|| {
            let detail = format!("no facts are recorded of the grant `{id}`");
            Refusal::new(ErrorCode::InvalidRequest, detail).hint("they are older than `keep_decisions`")
        })?;
        let outcome = decision.enforced.verdict.outcome;
        case_of(id.as_str(), &decision.facts, outcome).map_err(|error| {
            Refusal::new(ErrorCode::Internal, "the recorded facts cannot be written as a case").because(error)
        })
    }
}

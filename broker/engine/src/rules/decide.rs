//! Decides one request by the rules, and says what the store has to check before it acts on the decision.

use std::sync::Arc;

use domain::facts::{IdentityFacts, ObservedFacts, RequestFacts, RunFacts, subjects};
use domain::{Agent, Approval, Decision, DecisionFacts, DecisionKind, DecisionSummary, Outcome, Verdict};
use policy::{Denied, Permit, WithinBoundary};
use protocol::{GrantId, Timestamp};
use store::{ContextRequest, DecisionContext, NewDecision};

use super::facts::gather;
use super::{Loaded, decided};
use crate::clock::random_hex;
use crate::{Engine, Refusal};

/// A request that is to be decided.
pub(crate) struct Asked<'a> {
    pub(crate) agent: &'a Agent,
    /// The answer of the boundary.
    pub(crate) checked: Result<WithinBoundary, Denied>,
    pub(crate) request: RequestFacts,
    pub(crate) identity: IdentityFacts,
    pub(crate) observed: ObservedFacts,
    /// The run, as its issuer signs it.
    pub(crate) run: Option<&'a str>,
    /// Other grants as an earlier decision about the same grant counted them: later grants of the run do not count
    /// against it.
    pub(crate) before: Option<RunFacts>,
    /// The grant that is decided again.
    pub(crate) grant: Option<&'a GrantId>,
    /// The approval that the grant has.
    pub(crate) approval: Option<&'a Approval>,
    /// In an emergency no rule set is asked, nor even read: a broken one must not refuse.
    pub(crate) break_glass: bool,
}

/// A decision that is not recorded yet.
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) permit: Result<Permit, Denied>,
    /// What was read from the store for it.
    context: DecisionContext,
    check_run: bool,
    check_posture: bool,
}

impl Decided {
    /// When it has to be made again: a finding that it relies on ends.
    pub(crate) fn reevaluate_at(&self) -> Option<Timestamp> {
        let postures = self.decision.facts.posture.values();
        postures.map(|posture| posture.expires_at).min().filter(|_| self.check_posture)
    }

    /// Whether only the approval of persons is missing.
    pub(crate) fn needs_approval(&self) -> bool {
        self.permit.is_err() && self.decision.enforced.verdict.outcome == Outcome::NeedsApproval
    }

    /// For the transaction that creates the grant.
    pub(crate) fn for_new_grant(&self) -> NewDecision<'_> {
        NewDecision {
            decision: &self.decision,
            context: &self.context,
            reevaluate_at: self.reevaluate_at(),
            check_run: self.check_run,
            check_posture: self.check_posture,
        }
    }

    pub(crate) fn summary(&self) -> DecisionSummary {
        summary(&self.decision)
    }
}

/// What the timeline says of a decision.
pub(crate) fn summary(decision: &Decision) -> DecisionSummary {
    DecisionSummary { facts: audit::facts_digest(&decision.facts), enforced: decision.enforced.clone() }
}

impl Engine {
    /// Decides by the rules that the store has now.
    pub(crate) async fn decide(&self, kind: DecisionKind, asked: Asked<'_>) -> Result<Decided, Refusal> {
        let context = self
            .store
            .decision_context(ContextRequest {
                agent: &asked.agent.id,
                run: asked.run,
                subjects: &subjects(&asked.agent.id, &asked.identity.signed),
                except: asked.grant,
                now: self.clock.now(),
            })
            .await?;
        let loaded = match asked.break_glass {
            true => Arc::new(Loaded::none_of(context.rules_version)),
            false => self.rules_of(context.rules_version).await?,
        };
        let nonce = random_hex::<16>(self.random.as_ref())?;
        let facts = gather(&asked, &context, &loaded, nonce);
        // The store compares both when the grant is created: these are the rules and the registration that decide.
        let context = DecisionContext {
            rules_version: loaded.state.version,
            agent_revision: Some(asked.agent.revision),
            ..context
        };
        Ok(self.ask(kind, asked, facts, context, &loaded))
    }

    fn ask(
        &self,
        kind: DecisionKind,
        asked: Asked<'_>,
        facts: DecisionFacts,
        context: DecisionContext,
        loaded: &Loaded,
    ) -> Decided {
        let sets = loaded.sets(&facts.agent.id);
        let (enforced, permit, shadow) = match asked.checked {
            Err(denied) => {
                let verdict = Verdict::refused_by_boundary(&denied.detail);
                (decided(sets.enforced, verdict), Err(denied), None)
            }
            Ok(within) => {
                let (verdict, permit) = within.decide(sets.enforced, &facts, asked.approval);
                let shadow = sets.shadow.map(|set| {
                    let verdict = set.map_or_else(Verdict::without_rules, |set| set.decide(&facts));
                    decided(set, verdict)
                });
                (decided(sets.enforced, verdict), permit, shadow)
            }
        };
        self.count(&facts, &enforced.verdict, shadow.as_ref());
        Decided {
            decision: Decision { kind, facts, enforced, shadow },
            permit,
            context,
            check_run: sets.reads_run() && asked.before.is_none(),
            check_posture: sets.reads_posture(),
        }
    }

    fn count(&self, facts: &DecisionFacts, verdict: &Verdict, shadow: Option<&domain::Decided>) {
        let (agent, errors) = (&facts.agent.id, verdict.errors.join("; "));
        if verdict.outcome == Outcome::Error {
            self.counters.rule_errors();
            tracing::error!(%agent, errors, "a rule could not be evaluated: the request is refused");
        }
        let Some(shadow) = shadow else { return };
        if shadow.verdict.outcome != verdict.outcome {
            self.counters.shadow_differences();
        }
        if shadow.verdict.outcome == Outcome::Error {
            self.counters.shadow_errors();
            let errors = shadow.verdict.errors.join("; ");
            tracing::warn!(%agent, errors, "a rule of the set in shadow could not be evaluated");
        }
    }
}

//! Checks decisions against the rules and the posture that the store has at that moment.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{Decision, Grant, Outcome};
use protocol::rules::{RuleSetDigest, RulesState};
use protocol::{AgentId, GrantId, GrantStatus, Timestamp};
use store::{NewDecision, PostureStatement};

use super::{Book, Ledger, SKEW};
use crate::rule_sets::{self, Context};

/// Every state of the rules, and the newest finding about each subject.
#[derive(Default)]
pub(super) struct Decisive {
    /// From when to when each state was the store's; the last one still is.
    states: Vec<(Timestamp, RulesState)>,
    findings: BTreeMap<String, PostureStatement>,
    changed_at: Option<Timestamp>,
}

/// The set that decides for an agent, and the one in shadow.
type Sets<'s> = (Option<&'s RuleSetDigest>, Option<Option<&'s RuleSetDigest>>);

fn sets<'s>(state: Option<&'s RulesState>, agent: &AgentId) -> Sets<'s> {
    let Some(RulesState { active, candidate, rollout, .. }) = state else { return (None, None) };
    let Some(candidate) = candidate else { return (active.as_ref(), None) };
    let matches = |glob: &String| match glob.strip_suffix('*') {
        Some(start) => agent.as_str().starts_with(start),
        None => agent.as_str() == glob,
    };
    if rollout.iter().any(matches) {
        (Some(candidate), Some(active.as_ref()))
    } else {
        (active.as_ref(), Some(Some(candidate)))
    }
}

fn sets_of(decision: &Decision) -> Sets<'_> {
    let shadow = decision.shadow.as_ref().map(|shadow| shadow.rules.as_ref());
    (decision.enforced.rules.as_ref(), shadow)
}

fn is_denial(decision: &Decision) -> bool {
    decision.enforced.verdict.outcome != Outcome::Allow
}

impl Decisive {
    fn now(&self, agent: &AgentId) -> Sets<'_> {
        sets(self.states.last().map(|(_, state)| state), agent)
    }

    /// Whether the sets of a decision were those of the store at one moment since then.
    fn were_current(&self, decision: &Decision, since: Timestamp) -> bool {
        let agent = &decision.facts.agent.id;
        // Where the boundary refuses, no set is evaluated in shadow.
        let by_boundary = decision.enforced.verdict.refused_by_boundary.is_some();
        let decided = sets_of(decision);
        let are_current = |current: Sets<'_>| current == decided || (by_boundary && current.0 == decided.0);
        let before_the_first = self.states.first().is_none_or(|(from, _)| since <= *from);
        if before_the_first && are_current((None, None)) {
            return true;
        }
        let ends = self.states.iter().skip(1).map(|(from, _)| Some(*from)).chain([None]);
        let mut spans = self.states.iter().zip(ends).filter(|(_, end)| end.is_none_or(|end| since <= end));
        spans.any(|((_, state), _)| are_current(sets(Some(state), agent)))
    }

    fn context<'a>(&self, agent: &'a AgentId, live: u32, now: Timestamp) -> Context<'a> {
        let finding = self.findings.get(&format!("agent/{agent}"));
        let is_ok = finding.filter(|finding| now < finding.expires_at).map(|finding| finding.ok);
        Context { agent, is_ok, live }
    }
}

impl Book {
    fn live_of(&self, agent: &AgentId) -> u32 {
        let is_live = |grant: &Grant| {
            grant.agent_id == *agent && matches!(grant.status(), GrantStatus::Applying | GrantStatus::Active)
        };
        let live = self.grants.values().filter(|entry| is_live(&entry.grant)).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }
}

impl Ledger {
    pub(crate) fn rules_changed(&self, who: usize, state: &RulesState) {
        let now = self.trace.now();
        let name = |digest: &Option<RuleSetDigest>| digest.as_ref().map(|digest| digest.short().to_owned());
        let RulesState { version, action, active, candidate, rollout, .. } = state;
        let (active, candidate) = (name(active), name(candidate));
        self.trace.say(&format!(
            "replica {who} · rules {version}: {action:?} · {active:?}, candidate {candidate:?} for {rollout:?}"
        ));
        let decisive = &mut self.book().decisive;
        let expected = decisive.states.last().map_or(1, |(_, last)| last.version + 1);
        if *version != expected {
            self.trace.wrong(&format!("the rules have version {version}: expected {expected}"));
        }
        decisive.states.push((now, state.clone()));
        decisive.changed_at = Some(now);
    }

    pub(crate) fn found(&self, who: usize, finding: &PostureStatement) {
        let now = self.trace.now();
        self.trace.say(&format!("replica {who} · {} is ok: {}", finding.subject, finding.ok));
        let decisive = &mut self.book().decisive;
        let newer = decisive.findings.get(&finding.subject).filter(|known| finding.as_of < known.as_of);
        if newer.is_some_and(|newer| now.plus(SKEW) < newer.expires_at) {
            self.trace.wrong(&format!("an older finding about {} replaced a newer one", finding.subject));
        }
        decisive.findings.insert(finding.subject.clone(), finding.clone());
        decisive.changed_at = Some(now);
    }

    /// Checks, in the transaction that creates a grant, that the rules which the store has now permit it.
    pub(super) fn check_created(&self, book: &Book, grant: &Grant, decided: Option<&NewDecision<'_>>) {
        let Some(NewDecision { decision, .. }) = decided else {
            return self.trace.wrong(&format!("{} was created without a decision", grant.id));
        };
        if is_denial(decision) {
            self.trace.wrong(&format!("{} was created by a denial", grant.id));
        }
        let current = book.decisive.now(&grant.agent_id);
        if sets_of(decision) != current {
            let decided = sets_of(decision);
            self.trace.wrong(&format!("{} was created by {decided:?}, not by {current:?}", grant.id));
        }
        // The finding held at the time of the decision. When it ends, the grant is decided again.
        let asked = decision.facts.at.minus(SKEW);
        let context = book.decisive.context(&grant.agent_id, book.live_of(&grant.agent_id), asked);
        if !rule_sets::permits(current.0, context) {
            self.trace.wrong(&format!("{} was created, but refused in this context: {context:?}", grant.id));
        }
    }

    /// A decision was recorded that creates no grant. Its sets may have been replaced since the decision.
    pub(crate) fn recorded(&self, grant: Option<&GrantId>, decision: &Decision) {
        let mut book = self.book();
        let since = decision.facts.at.minus(SKEW);
        if !book.decisive.were_current(decision, since) {
            let (kind, agent) = (decision.kind, &decision.facts.agent.id);
            let decided = sets_of(decision);
            self.trace
                .wrong(&format!("{kind:?} of {agent} was decided by {decided:?}, which did not decide"));
        }
        if let Some(entry) = grant.and_then(|id| book.grants.get_mut(id)) {
            entry.denied |= is_denial(decision);
        }
    }

    /// A refused request was recorded.
    pub(crate) fn denied(&self, decision: Option<&Decision>) {
        match decision {
            Some(decision) if is_denial(decision) => self.recorded(None, decision),
            Some(_) | None => self.trace.wrong("a request was recorded as denied without a denial"),
        }
    }

    /// A live grant stays, by a decision that the store accepted: nothing has changed since its claim.
    pub(crate) fn stays(&self, grant: &Grant, decision: Option<&Decision>) {
        let mut book = self.book();
        book.claims.remove(&grant.id);
        let Some(decision) = decision else { return };
        let current = book.decisive.now(&grant.agent_id);
        if sets_of(decision) != current || is_denial(decision) {
            let decided = sets_of(decision);
            self.trace.wrong(&format!("{} stays by {decided:?}, not by {current:?}", grant.id));
        }
    }

    /// A claim ended without a decision, because the grant was marked again.
    pub(crate) fn released(&self, grant: &GrantId) {
        self.book().claims.remove(grant);
    }

    /// Reports live grants that the rules and the findings refuse, if these have not changed for `settling`.
    pub(crate) fn check_settled(&self, settling: Duration) {
        let now = self.trace.now();
        let book = self.book();
        if book.decisive.changed_at.is_none_or(|changed| now < changed.plus(settling)) {
            return;
        }
        let active = book.grants.values().filter(|entry| entry.grant.status() == GrantStatus::Active);
        for entry in active.filter(|entry| now < entry.grant.expires_at) {
            let agent = &entry.grant.agent_id;
            let context = book.decisive.context(agent, entry.others, now.minus(settling));
            if !rule_sets::permits(book.decisive.now(agent).0, context) {
                self.trace.wrong(&format!("{} is active, but refused now: {context:?}", entry.grant.id));
            }
        }
    }
}

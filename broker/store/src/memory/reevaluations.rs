//! Counts grants for decisions, marks grants to be decided again, and takes the result.

use domain::facts::{COUNTED, RunFacts};
use domain::{Grant, State};
use protocol::{AgentId, GrantId, Timestamp};

use super::grants::{Grants, Row};
use crate::context_rows::since;
use crate::posture::Subject;
use crate::{GrantRecord, Reevaluation};

/// What became of a decision about a grant that was claimed to be decided again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reevaluated {
    Done,
    MarkedAgain,
    /// Another driver changed or claimed the grant.
    Conflict,
}

/// Whether it counts as a grant of its run: one that waits for approval does as well.
pub(super) fn is_live(grant: &Grant) -> bool {
    matches!(grant.state, State::Waiting(_) | State::Applying { .. } | State::Active { .. })
}

impl Grants {
    pub(super) fn run_facts(
        &self,
        agent: &AgentId,
        run: Option<&str>,
        except: Option<&GrantId>,
        now: Timestamp,
    ) -> RunFacts {
        let of_agent = |row: &&Row| {
            row.grant.agent_id == *agent && Some(&row.grant.id) != except && row.grant.key.is_some()
        };
        let of_run = |row: &&Row| {
            of_agent(row) && (run.is_none() || row.grant.run.is_none() || row.grant.run.as_deref() == run)
        };
        let is_recent = |row: &&Row| since(now) < row.grant.begins_at().as_millis();
        let rows = || self.rows.values();
        let capped = |count: usize| u32::try_from(count).unwrap_or(COUNTED).min(COUNTED);
        RunFacts {
            live: capped(rows().filter(of_run).filter(|row| is_live(&row.grant)).count()),
            last_hour: capped(rows().filter(of_run).filter(is_recent).count()),
            agent_live: capped(rows().filter(of_agent).filter(|row| is_live(&row.grant)).count()),
            agent_last_hour: capped(rows().filter(of_agent).filter(is_recent).count()),
        }
    }

    fn mark(&mut self, now: Timestamp, which: impl Fn(&Row) -> bool) {
        for row in self.rows.values_mut().filter(|row| is_live(&row.grant) && which(row)) {
            row.mark += 1;
            row.reevaluate_at = Some(row.reevaluate_at.map_or(now, |at| at.min(now)));
        }
    }

    pub(super) fn mark_every_live(&mut self, now: Timestamp) {
        self.mark(now, |_| true);
    }

    pub(super) fn mark_of_agent(&mut self, agent: &AgentId, now: Timestamp) {
        self.mark(now, |row| row.grant.agent_id == *agent);
    }

    pub(super) fn mark_of_subject(&mut self, subject: &str, now: Timestamp) {
        match Subject::of(subject) {
            Some(Subject::Agent(agent)) => self.mark_of_agent(&agent, now),
            Some(Subject::Fact(_)) => self.mark(now, |row| {
                let mut signed = row.grant.provenance.signed.iter();
                signed.any(|(name, value)| subject.split_once('/') == Some((name, value)))
            }),
            None => {}
        }
    }

    pub(super) fn reevaluated(
        &mut self,
        record: &GrantRecord,
        mark: i64,
        next: Option<Timestamp>,
    ) -> Reevaluated {
        let Some(row) = self.row_mut(&record.grant.id) else { return Reevaluated::Conflict };
        if row.version != record.version {
            return Reevaluated::Conflict;
        }
        row.claimed_until = None;
        if row.mark != mark {
            return Reevaluated::MarkedAgain;
        }
        row.reevaluate_at = next;
        Reevaluated::Done
    }

    pub(super) fn schedule(&mut self, id: &GrantId, at: Option<Timestamp>) {
        if let Some(row) = self.row_mut(id) {
            row.reevaluate_at = at;
        }
    }
}

impl Row {
    pub(super) fn reevaluation(&self) -> Option<Reevaluation> {
        self.reevaluate_at.map(|at| Reevaluation { at, mark: self.mark })
    }

    pub(super) fn is_marked(&self, now: Timestamp) -> bool {
        self.grant.needs_heartbeats() && self.reevaluate_at.is_some_and(|at| at <= now)
    }
}

//! Stores grants with their events, and consumed OIDC tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use domain::grant::Transition;
use domain::{Grant, Lease, NewEvent, ReplayGuard};
use protocol::{AgentId, Denials, EventKind, GrantId, GrantStatus, IdempotencyKey, TimelineEvent, Timestamp};

use super::reevaluations::is_live;
use crate::replay::bound_to;
use crate::{
    Created, DENIALS_KEPT, DENIALS_KEPT_FOR, DenialOutcome, DeniedRequest, Due, EventFilter, EventPosition,
    GrantRecord, HeartbeatOutcome, Listing, Only, PositionedEvent, Precondition, RevokeByKey, SaveOutcome,
    StoreError, chain,
};

#[derive(Default)]
pub(super) struct Grants {
    /// By the order of creation.
    pub(super) rows: BTreeMap<usize, Row>,
    next: usize,
    last_position: i64,
    by_id: BTreeMap<GrantId, usize>,
    by_key: BTreeMap<(AgentId, IdempotencyKey), usize>,
    /// By the hash of the request.
    denied: BTreeMap<(AgentId, String), usize>,
    /// Grants that will be due.
    unfinished: BTreeSet<usize>,
    consumed_oidc_tokens: BTreeMap<String, Used>,
    given_back: BTreeMap<(AgentId, IdempotencyKey), Timestamp>,
}

pub(super) struct Row {
    pub(super) grant: Grant,
    lease: Option<Lease>,
    pub(super) version: i64,
    pub(super) claimed_until: Option<Timestamp>,
    pub(super) reevaluate_at: Option<Timestamp>,
    pub(super) mark: i64,
    denials: Option<Denials>,
    events: Vec<PositionedEvent>,
}

struct Used {
    bound_to: String,
    forget_after: Timestamp,
}

impl Row {
    fn stored(&self) -> GrantRecord {
        let Self { grant, lease, version, denials, .. } = self;
        GrantRecord {
            grant: grant.clone(),
            lease: *lease,
            version: *version,
            denials: *denials,
            reevaluation: self.reevaluation(),
            last_row: None,
        }
    }

    fn append(&mut self, events: &[NewEvent], last_position: &mut i64) {
        let last = self.events.last().map(|last| (last.event.seq, last.event.hash.as_str()));
        let more = audit::chain(&self.grant.id, last, events).into_iter().map(|event| {
            *last_position += 1;
            PositionedEvent { position: EventPosition::from_number(*last_position), event }
        });
        self.events.extend(more);
    }

    fn is_free(&self, due: &Due) -> bool {
        self.claimed_until.is_none_or(|claimed_until| claimed_until <= due.now)
    }

    fn is_due(&self, due: &Due) -> bool {
        let is_overdue = self.grant.due_at().is_some_and(|at| at <= due.now);
        let is_silent = self.grant.needs_heartbeats()
            && self.lease.is_some_and(|lease| lease.lost_at(due.ready_since) <= due.now);
        self.is_free(due) && (is_overdue || is_silent)
    }
}

impl Grants {
    fn row(&self, id: &GrantId) -> Option<&Row> {
        self.by_id.get(id).and_then(|n| self.rows.get(n))
    }

    pub(super) fn row_mut(&mut self, id: &GrantId) -> Option<&mut Row> {
        self.by_id.get(id).and_then(|n| self.rows.get_mut(n))
    }

    pub(super) fn create(
        &mut self,
        transition: &Transition,
        lease: Option<Lease>,
        replay: Option<&ReplayGuard>,
        most_active: Option<NonZeroU32>,
        unchanged: impl FnOnce(&Self) -> bool,
    ) -> Result<Created, StoreError> {
        let grant = &transition.grant;
        if let Some(key) = &grant.key {
            if self.given_back.contains_key(&(grant.agent_id.clone(), key.clone())) {
                return Ok(Created::KeyRevoked);
            }
            if let Some(existing) = self.find_by_key(&grant.agent_id, key) {
                let same = existing.grant.request_hash == grant.request_hash;
                return Ok(if same { Created::Joined(existing) } else { Created::KeyConflict });
            }
        }
        if !self.may_use(replay, &grant.agent_id, grant.key.as_ref()) {
            return Ok(Created::Replayed);
        }
        if most_active.is_some_and(|most| self.active_beside(grant) >= most.get() as usize) {
            return Ok(Created::TooManyActive);
        }
        if !unchanged(self) {
            return Ok(Created::ContextChanged);
        }
        self.record(transition, lease)?;
        self.use_up(replay, &grant.agent_id, grant.key.as_ref());
        Ok(Created::New(GrantRecord {
            grant: grant.clone(),
            lease,
            version: 1,
            denials: None,
            reevaluation: None,
            last_row: None,
        }))
    }

    /// How many active grants the run of this one has.
    fn active_beside(&self, grant: &Grant) -> usize {
        let is_of_run = |row: &Grant| {
            row.agent_id == grant.agent_id
                && is_live(row)
                && (row.run.is_none() || grant.run.is_none() || row.run == grant.run)
        };
        let unfinished = self.unfinished.iter().filter_map(|n| self.rows.get(n));
        unfinished.filter(|row| is_of_run(&row.grant)).count()
    }

    fn may_use(&self, replay: Option<&ReplayGuard>, agent: &AgentId, key: Option<&IdempotencyKey>) -> bool {
        replay.is_none_or(|guard| {
            let used = self.consumed_oidc_tokens.get(&guard.token_hash);
            used.is_none_or(|used| used.bound_to == bound_to(guard, agent, key))
        })
    }

    fn use_up(&mut self, replay: Option<&ReplayGuard>, agent: &AgentId, key: Option<&IdempotencyKey>) {
        if let Some(guard) = replay {
            let used = Used { bound_to: bound_to(guard, agent, key), forget_after: guard.forget_after };
            self.consumed_oidc_tokens.entry(guard.token_hash.clone()).or_insert(used);
        }
    }

    pub(super) fn deny(&mut self, denying: DeniedRequest<'_>) -> Result<DenialOutcome, StoreError> {
        let DeniedRequest { transition, key, replay, decision: _ } = denying;
        let grant = &transition.grant;
        if !self.may_use(replay, &grant.agent_id, Some(key)) {
            return Ok(DenialOutcome::Replayed);
        }
        self.use_up(replay, &grant.agent_id, Some(key));
        let request = (grant.agent_id.clone(), grant.request_hash.clone());
        if let Some(known) = self.denied.get(&request).and_then(|n| self.rows.get_mut(n)) {
            if let Some(denials) = &mut known.denials {
                denials.count += 1;
                denials.last_at = denials.last_at.max(grant.requested_at);
            }
            return Ok(DenialOutcome::Again);
        }
        let kept = self.denied.keys().filter(|(agent, _)| *agent == grant.agent_id).count();
        if kept >= DENIALS_KEPT as usize {
            return Ok(DenialOutcome::Full);
        }
        let n = self.record(transition, None)?;
        self.denied.insert(request, n);
        if let Some(row) = self.rows.get_mut(&n) {
            row.denials = Some(Denials { count: 1, last_at: grant.requested_at });
        }
        Ok(DenialOutcome::New)
    }

    fn record(&mut self, transition: &Transition, lease: Option<Lease>) -> Result<usize, StoreError> {
        let grant = transition.grant.clone();
        if self.by_id.contains_key(&grant.id) {
            return Err(StoreError::Corrupt {
                what: format!("a new grant: `{}` is there already", grant.id),
            });
        }
        let n = self.next;
        self.next += 1;
        self.by_id.insert(grant.id.clone(), n);
        if let Some(key) = &grant.key {
            self.by_key.insert((grant.agent_id.clone(), key.clone()), n);
        }
        if grant.due_at().is_some() {
            self.unfinished.insert(n);
        }
        let mut row = Row {
            grant,
            lease,
            version: 1,
            claimed_until: None,
            reevaluate_at: None,
            mark: 0,
            denials: None,
            events: Vec::new(),
        };
        row.append(&transition.events, &mut self.last_position);
        self.rows.insert(n, row);
        Ok(n)
    }

    pub(super) fn find(&self, id: &GrantId) -> Option<GrantRecord> {
        self.row(id).map(Row::stored)
    }

    pub(super) fn find_by_key(&self, agent: &AgentId, key: &IdempotencyKey) -> Option<GrantRecord> {
        let n = self.by_key.get(&(agent.clone(), key.clone()))?;
        self.rows.get(n).map(Row::stored)
    }

    pub(super) fn is_live(&self, id: &GrantId) -> bool {
        let status = self.row(id).map(|row| row.grant.status());
        matches!(status, Some(GrantStatus::Applying | GrantStatus::Active))
    }

    /// When it was requested, if it is ending.
    pub(super) fn ending_since(&self, id: &GrantId) -> Option<Timestamp> {
        let row = self.row(id).filter(|row| !row.grant.status().is_final())?;
        (!self.is_live(id)).then_some(row.grant.begins_at())
    }

    pub(super) fn is_at(&self, id: &GrantId, version: i64) -> bool {
        self.row(id).is_some_and(|row| row.version == version)
    }

    pub(super) fn save(
        &mut self,
        before: &GrantRecord,
        transition: &Transition,
        guard: Precondition,
    ) -> SaveOutcome {
        let Some(&n) = self.by_id.get(&before.grant.id) else { return SaveOutcome::Conflict };
        let Some(row) = self.rows.get_mut(&n) else { return SaveOutcome::Conflict };
        let heard_since = match guard {
            Precondition::Version => false,
            Precondition::VersionAndNoHeartbeat => before.lease.is_some() && before.lease != row.lease,
        };
        if row.version != before.version || heard_since {
            return SaveOutcome::Conflict;
        }
        row.grant = transition.grant.clone();
        row.version += 1;
        row.claimed_until = None;
        if !is_live(&row.grant) {
            row.reevaluate_at = None;
        }
        row.append(&transition.events, &mut self.last_position);
        match row.grant.due_at() {
            Some(_) => self.unfinished.insert(n),
            None => self.unfinished.remove(&n),
        };
        SaveOutcome::Done(row.stored())
    }

    pub(super) fn append(&mut self, id: &GrantId, events: &[NewEvent]) -> Result<(), StoreError> {
        let unknown =
            || StoreError::Corrupt { what: format!("rows for a timeline: there is no grant `{id}`") };
        let row = self.by_id.get(id).and_then(|n| self.rows.get_mut(n)).ok_or_else(unknown)?;
        row.append(events, &mut self.last_position);
        Ok(())
    }

    pub(super) fn append_retry(&mut self, id: &GrantId, now: Timestamp) -> Result<(), StoreError> {
        let recorded = self.events(id).iter().filter(|row| row.kind == EventKind::Retry).count();
        let recorded = u32::try_from(recorded).unwrap_or(u32::MAX);
        chain::retry(now, recorded).map_or(Ok(()), |event| self.append(id, &[event]))
    }

    pub(super) fn events(&self, id: &GrantId) -> Vec<TimelineEvent> {
        self.row(id).into_iter().flat_map(|row| &row.events).map(|one| one.event.clone()).collect()
    }

    pub(super) fn events_after(
        &self,
        position: EventPosition,
        which: EventFilter,
        limit: u32,
    ) -> Vec<PositionedEvent> {
        let all = self.rows.values().flat_map(|row| &row.events);
        let is_read = |one: &&PositionedEvent| one.position > position && which.include(one.event.kind);
        let mut after: Vec<_> = all.filter(is_read).cloned().collect();
        after.sort_by_key(|one| one.position);
        after.truncate(limit as usize);
        after
    }

    pub(super) fn heartbeat(
        &mut self,
        id: &GrantId,
        agent: &AgentId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> HeartbeatOutcome {
        let Some(row) = self.row_mut(id) else { return HeartbeatOutcome::Unknown };
        if row.grant.agent_id != *agent || row.grant.key.as_ref() != Some(key) {
            return HeartbeatOutcome::Unknown;
        }
        if !row.grant.needs_heartbeats() {
            return HeartbeatOutcome::Ended(row.stored());
        }
        if let Some(lease) = &mut row.lease {
            lease.last_heartbeat = lease.last_heartbeat.max(now);
        }
        HeartbeatOutcome::Recorded(row.stored())
    }

    pub(super) fn revoke_key(
        &mut self,
        agent: &AgentId,
        key: &IdempotencyKey,
        forget_after: Timestamp,
    ) -> RevokeByKey {
        if let Some(stored) = self.find_by_key(agent, key) {
            return RevokeByKey::Grant(stored);
        }
        let until = self.given_back.entry((agent.clone(), key.clone())).or_insert(forget_after);
        *until = forget_after.max(*until);
        RevokeByKey::Tombstoned
    }

    pub(super) fn list(&self, listing: &Listing) -> Vec<GrantRecord> {
        let before = match &listing.after {
            None => self.next,
            Some(id) => self.by_id.get(id).copied().unwrap_or_default(),
        };
        let rows = self.rows.range(..before).rev().map(|(_, row)| row);
        let wanted = rows.filter(|row| {
            listing.agent.as_ref().is_none_or(|agent| row.grant.agent_id == *agent)
                && match listing.only {
                    None => true,
                    Some(Only::Waiting) => row.grant.status() == GrantStatus::PendingApproval,
                    Some(Only::BreakGlass) => row.grant.break_glass.is_some() && row.denials.is_none(),
                    Some(Only::Stuck(at)) => {
                        row.grant.status() == GrantStatus::RevokeFailing
                            || row.grant.due_at().is_some_and(|due| due < at)
                    }
                }
                && listing.origin.includes(&row.grant)
                && listing.live.is_none_or(|live| live != row.grant.status().is_final())
        });
        wanted.take(listing.limit as usize).map(Row::stored).collect()
    }

    pub(super) fn has_consumed(&self, token_hash: &str) -> bool {
        self.consumed_oidc_tokens.contains_key(token_hash)
    }

    pub(super) fn claim(&mut self, due: Due) -> Vec<GrantRecord> {
        let is_due = |n: &&usize| self.rows.get(*n).is_some_and(|row| row.is_due(&due));
        let mut claimed: Vec<usize> = self.unfinished.iter().filter(is_due).copied().collect();
        claimed.sort_by_key(|n| self.rows.get(n).and_then(|row| row.grant.due_at()));
        let is_marked = |n: &&usize| {
            let row = self.rows.get(*n);
            row.is_some_and(|row| row.is_free(&due) && !row.is_due(&due) && row.is_marked(due.now))
        };
        let mut marked: Vec<usize> = self.unfinished.iter().filter(is_marked).copied().collect();
        marked.sort_by_key(|n| self.rows.get(n).and_then(|row| row.reevaluate_at));
        claimed.extend(marked);
        claimed.truncate(due.limit as usize);
        let mut taken = Vec::with_capacity(claimed.len());
        for n in claimed {
            if let Some(row) = self.rows.get_mut(&n) {
                row.claimed_until = Some(due.claimed_until);
                row.version += 1;
                taken.push(row.stored());
            }
        }
        taken
    }

    pub(super) fn count_by_status(&self) -> BTreeMap<GrantStatus, u64> {
        let mut counts = BTreeMap::new();
        for row in self.rows.values() {
            *counts.entry(row.grant.status()).or_default() += 1;
        }
        counts
    }

    pub(super) fn purge(&mut self, now: Timestamp) {
        self.consumed_oidc_tokens.retain(|_, used| now < used.forget_after);
        self.given_back.retain(|_, forget_after| now < *forget_after);
        let not_since = now.minus(DENIALS_KEPT_FOR);
        let Self { rows, denied, by_id, .. } = self;
        denied.retain(|_, n| {
            let stays = |row: &Row| row.denials.is_some_and(|denials| not_since < denials.last_at);
            if rows.get(n).is_some_and(stays) {
                return true;
            }
            if let Some(row) = rows.remove(n) {
                by_id.remove(&row.grant.id);
            }
            false
        });
    }
}

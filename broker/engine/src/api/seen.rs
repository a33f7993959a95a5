//! Leaves out of lists what is of agents that the caller may not see.

use std::collections::BTreeMap;

use domain::Grant;
use protocol::people::Right;
use protocol::{AgentId, GrantId};
use store::{GrantRecord, Listing};

use super::Page;
use crate::{Caller, Engine, Refusal};

/// How many pages of the store a request reads at most.
pub(super) const READS: usize = 20;

/// Which agents a caller may see: the rules of persons are asked once for each.
pub(super) struct Seen<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    known: BTreeMap<AgentId, bool>,
}

impl<'a> Seen<'a> {
    pub(super) fn by(caller: &'a Caller, engine: &'a Engine) -> Self {
        Self { engine, caller, known: BTreeMap::new() }
    }

    pub(super) async fn includes(&mut self, agent: &AgentId) -> bool {
        if let Some(known) = self.known.get(agent) {
            return *known;
        }
        let is_seen = self.engine.admit(self.caller, Right::View, agent).await.is_ok();
        self.known.insert(agent.clone(), is_seen);
        is_seen
    }
}

impl Engine {
    /// A page of these grants, newest first: those that are wanted, of agents that the caller may see. With the grant from
    /// which to go on, if there may be more: a page can be short, because one request reads [`READS`] pages at most.
    pub(super) async fn seen_grants(
        &self,
        caller: &Caller,
        mut listing: Listing,
        is_wanted: impl Fn(&Grant) -> bool,
        page: Page,
    ) -> Result<(Vec<GrantRecord>, Option<GrantId>), Refusal> {
        let mut seen = Seen::by(caller, self);
        let mut all = Vec::new();
        listing.limit = page.rows();
        for _ in 0..READS {
            let records = self.store.list(&listing).await?;
            if let Some(last) = records.last() {
                listing.after = Some(last.grant.id.clone());
            }
            let is_last_page = records.len() < page.rows() as usize;
            for record in records {
                let id = record.grant.id.clone();
                if is_wanted(&record.grant) && seen.includes(&record.grant.agent_id).await {
                    all.push(record);
                }
                if all.len() == page.rows() as usize {
                    return Ok((all, Some(id)));
                }
            }
            if is_last_page {
                return Ok((all, None));
            }
        }
        Ok((all, listing.after))
    }
}

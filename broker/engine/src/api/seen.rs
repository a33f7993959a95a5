//! Leaves out of lists what is of agents that the caller may not see.

use std::collections::BTreeMap;

use domain::Grant;
use protocol::people::Right;
use protocol::{AgentId, GrantId};
use store::{GrantRecord, Listing, Only};

use super::Page;
use crate::{Caller, Engine, Refusal};

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
    /// A page of `only` these grants, newest first: those that are wanted, of agents that the caller may see. With the
    /// last grant of the page, if there may be more.
    pub(super) async fn seen_grants(
        &self,
        caller: &Caller,
        only: Only,
        is_wanted: fn(&Grant) -> bool,
        mut after: Option<GrantId>,
        page: Page,
    ) -> Result<(Vec<GrantRecord>, Option<GrantId>), Refusal> {
        let mut seen = Seen::by(caller, self);
        let mut all = Vec::new();
        loop {
            let listing = Listing { only: Some(only), after, limit: page.rows(), ..Listing::default() };
            let records = self.store.list(&listing).await?;
            after = records.last().map(|last| last.grant.id.clone());
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
    }
}

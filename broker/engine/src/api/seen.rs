//! Leaves out of lists what is of agents that the caller may not see.

use std::collections::BTreeMap;

use protocol::AgentId;
use protocol::people::Right;

use crate::{Caller, Engine};

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

//! Caches parsed registrations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Agent, AgentStatus, registration};
use protocol::{AgentId, Timestamp};

use crate::StoreError;
use crate::columns::Columns;
use crate::error::corrupt;

/// An agent as it is stored, with its registration in TOML.
#[derive(Debug)]
pub(crate) struct AgentRow {
    id: AgentId,
    pub(crate) source: String,
    status: AgentStatus,
    revision: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl AgentRow {
    /// From a row with the columns of `agents`, and the name of its `id`.
    pub(crate) fn read(row: &impl Columns, id: &str) -> Result<Self, StoreError> {
        let status = row.text("status")?;
        Ok(Self {
            id: row.text(id)?.parse().map_err(|error| corrupt("an agent", error))?,
            source: row.text("source")?.to_owned(),
            status: AgentStatus::from_stored(status)
                .ok_or_else(|| corrupt("an agent's status", format!("`{status}` is unknown")))?,
            revision: row.number("revision")?,
            created_at: Timestamp::from_millis(row.number("created_at")?),
            updated_at: Timestamp::from_millis(row.number("updated_at")?),
        })
    }
}

/// The latest revision of each agent that was read. Only parsing is cached: the revision comes from the row.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    latest: Mutex<HashMap<AgentId, (i64, Arc<Agent>)>>,
}

impl Registrations {
    /// The agent of a row, parsed only if the row's revision is new.
    pub(crate) fn parsed(&self, row: AgentRow) -> Result<Arc<Agent>, StoreError> {
        if let Some((revision, agent)) =
            self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&row.id)
            && *revision == row.revision
        {
            return Ok(Arc::clone(agent));
        }
        let registration = registration::parse_stored(&row.source)
            .map_err(|error| corrupt(&format!("the registration of `{}`", row.id), error))?;
        if let Err(refused) = &registration.trust {
            tracing::warn!(agent = %row.id, %refused, "the agent's registration is not accepted any more");
        }
        let agent = Arc::new(Agent {
            id: row.id.clone(),
            registration,
            source: row.source,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
        });
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(row.id, (row.revision, Arc::clone(&agent)));
        Ok(agent)
    }
}

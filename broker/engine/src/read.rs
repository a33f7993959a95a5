//! Looking: one grant, its timeline, lists.

use protocol::{Grant, GrantId, GrantList, Timeline};
use store::{GrantRecord, Listing};

use crate::{Caller, Engine, Refusal, view};

/// The most rows on a page.
const MAX_PAGE: u32 = 200;

/// Which page of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page(u32);

impl Page {
    /// So many rows, at least one and at most 200; 50 when it is not said.
    pub fn of(limit: Option<u32>) -> Self {
        Self(limit.unwrap_or(50).clamp(1, MAX_PAGE))
    }

    /// How many rows.
    pub fn rows(self) -> u32 {
        self.0
    }
}

impl Engine {
    /// One grant. Another agent's is not there.
    pub async fn state(&self, caller: &Caller, id: &GrantId) -> Result<Grant, Refusal> {
        Ok(view::grant(&self.readable(caller, id).await?))
    }

    /// One grant with all that happened to it.
    pub async fn timeline(&self, caller: &Caller, id: &GrantId) -> Result<Timeline, Refusal> {
        let mut stored = self.readable(caller, id).await?;
        let mut events = self.store.events(id).await?;
        let mut verified = audit::verify(&stored.grant, &events);
        // Record and rows are read one after the other. A grant that was moved in between is read again.
        while verified.is_err() {
            let now = self.readable(caller, id).await?;
            if now.version == stored.version {
                break;
            }
            stored = now;
            events = self.store.events(id).await?;
            verified = audit::verify(&stored.grant, &events);
        }
        let broken = verified.err().map(|broken| broken.to_string());
        if let Some(broken) = &broken {
            tracing::error!(grant = %id, broken, "a timeline is not intact");
        }
        Ok(Timeline { grant: view::grant(&stored), events, intact: broken.is_none(), broken })
    }

    /// A page of grants, newest first; for operators.
    pub async fn list(&self, mut listing: Listing, page: Page) -> Result<GrantList, Refusal> {
        listing.limit = page.rows() + 1;
        let mut stored = self.store.list(&listing).await?;
        let more = stored.len() > page.rows() as usize;
        stored.truncate(page.rows() as usize);
        let next = if more { stored.last().map(|last| last.grant.id.clone()) } else { None };
        Ok(GrantList { grants: stored.iter().map(view::grant).collect(), next })
    }

    async fn readable(&self, caller: &Caller, id: &GrantId) -> Result<GrantRecord, Refusal> {
        let stored = self.store.grant(id).await?.ok_or_else(Refusal::no_such_grant)?;
        if caller.may_touch(&stored.grant.agent_id) { Ok(stored) } else { Err(Refusal::no_such_grant()) }
    }

    /// How many grants stand where.
    pub async fn grants_by_status(&self) -> Result<Vec<(&'static str, u64)>, Refusal> {
        let counts = self.store.count_by_status().await?;
        Ok(protocol::GrantStatus::ALL
            .iter()
            .map(|status| (status.as_str(), counts.get(status).copied().unwrap_or(0)))
            .collect())
    }
}

//! What is known of one grant, and what has to be on its timeline?

use domain::Grant;
use protocol::{EventKind, GrantStatus, Timestamp};

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) grant: Grant,
    /// Where it stood, each time that it was somewhere else.
    pub(crate) stood: Vec<GrantStatus>,
    /// Its client has the credentials.
    pub(crate) told: bool,
    /// When the last beat was sent that was heard.
    pub(crate) heard: Option<Timestamp>,
}

impl Entry {
    pub(super) fn of(grant: &Grant) -> Self {
        Self { grant: grant.clone(), stood: vec![grant.status()], told: false, heard: None }
    }

    pub(super) fn moves_to(&mut self, grant: &Grant) {
        if self.grant.status() != grant.status() {
            self.stood.push(grant.status());
        }
        self.grant = grant.clone();
    }

    /// One row for each move, in this order; among them there may be others.
    pub(crate) fn rows(&self) -> Vec<&'static [EventKind]> {
        let mut rows: Vec<&'static [EventKind]> = Vec::new();
        let mut before = None;
        for status in &self.stood {
            let row: &[EventKind] = match status {
                GrantStatus::Applying => &[EventKind::Elevate],
                GrantStatus::Active => &[EventKind::Target],
                GrantStatus::RollingBack => &[EventKind::RollBack, EventKind::Revoke, EventKind::LeaseLost],
                // Back from a look, or from its end.
                GrantStatus::Revoking | GrantStatus::Expired if before != Some(GrantStatus::Active) => &[],
                GrantStatus::Revoking => &[EventKind::Revoke, EventKind::LeaseLost, EventKind::Expire],
                GrantStatus::Expired => &[EventKind::Expire],
                GrantStatus::Verifying => &[EventKind::Target],
                GrantStatus::RevokeFailing => &[EventKind::RevokeFailing],
                GrantStatus::Failed => &[EventKind::Failed],
                GrantStatus::Revoked => &[EventKind::Revoked],
                GrantStatus::Denied => &[EventKind::Denied],
                GrantStatus::PendingApproval => &[],
            };
            if !row.is_empty() {
                rows.push(row);
            }
            before = Some(*status);
        }
        rows
    }
}

//! The history of one grant, and the events that its timeline must have.

use domain::Grant;
use protocol::{EventKind, GrantStatus, Timestamp};

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) grant: Grant,
    /// Each status that the grant had, in order.
    pub(crate) stood: Vec<GrantStatus>,
    /// Whether its client received the credentials.
    pub(crate) told: bool,
    /// When the client sent the last acknowledged heartbeat.
    pub(crate) heard: Option<Timestamp>,
    /// Other live grants of its agent, as its first decision counted them.
    pub(crate) others: u32,
    /// Whether a later decision refused it.
    pub(crate) denied: bool,
}

impl Entry {
    pub(super) fn of(grant: &Grant, others: u32) -> Self {
        let stood = vec![grant.status()];
        Self { grant: grant.clone(), stood, told: false, heard: None, others, denied: false }
    }

    pub(super) fn moves_to(&mut self, grant: &Grant) {
        if self.grant.status() != grant.status() {
            self.stood.push(grant.status());
        }
        self.grant = grant.clone();
    }

    /// The kinds of event for each change of status, in order; other events may stand between them.
    pub(crate) fn rows(&self) -> Vec<&'static [EventKind]> {
        let mut rows: Vec<&'static [EventKind]> = Vec::new();
        let mut before = None;
        for status in &self.stood {
            let row: &[EventKind] = match status {
                GrantStatus::Applying => &[EventKind::Elevate],
                GrantStatus::Active => &[EventKind::Target],
                GrantStatus::RollingBack => &[EventKind::RollBack, EventKind::Revoke, EventKind::LeaseLost],
                // After an observation, or after the grant ended.
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

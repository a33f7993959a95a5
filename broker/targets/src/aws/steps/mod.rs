//! One file for each kind of step: its data, how it is applied, reverted, observed, and removed as an orphan.

pub(super) mod attachment;
pub(super) mod grant_role;
pub(super) mod inline_policy;
pub(super) mod pod_identity;
pub(super) mod session;

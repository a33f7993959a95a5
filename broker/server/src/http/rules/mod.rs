//! Endpoints of rule sets, for operators.

pub(super) mod apply;
pub(super) mod change;
pub(super) mod compare;
pub(super) mod show;
pub(super) mod test;

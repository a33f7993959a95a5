//! Endpoints of agents, for operators.

pub(super) mod check;
pub(super) mod list;
pub(super) mod register;
pub(super) mod show;
pub(super) mod status;
pub(super) mod tokens;

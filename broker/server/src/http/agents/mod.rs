//! What operators do with agents.

pub(super) mod list;
pub(super) mod register;
pub(super) mod show;
pub(super) mod switch;
pub(super) mod tokens;

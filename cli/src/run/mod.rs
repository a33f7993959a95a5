//! What happens around a step: its process, its terminal, its output, its grant's lease, and the keeper.

pub(crate) mod child;
pub(crate) mod keeper;
pub(crate) mod lease;
#[cfg_attr(unix, path = "link_unix.rs")]
#[cfg_attr(windows, path = "link_windows.rs")]
mod link;
pub(crate) mod output;
pub(crate) mod pending;
#[cfg(unix)]
mod shell;
#[cfg_attr(unix, path = "signals.rs")]
#[cfg_attr(windows, path = "signals_windows.rs")]
pub(crate) mod signals;
pub(crate) mod start;
#[cfg(unix)]
mod terminal;
pub(crate) mod watch;

//! Everything around a step: its process, terminal and output, its AWS keys and calls, signals, and the keeper.

pub(crate) mod aws_call_log;
pub(crate) mod aws_endpoint;
pub(crate) mod child;
pub(crate) mod delivery;
pub(crate) mod keeper;
#[cfg_attr(unix, path = "link_unix.rs")]
#[cfg_attr(windows, path = "link_windows.rs")]
mod link;
pub(crate) mod observer;
pub(crate) mod output;
#[cfg_attr(unix, path = "parent.rs")]
#[cfg_attr(windows, path = "parent_windows.rs")]
pub(crate) mod parent;
pub(crate) mod pending;
pub(crate) mod redaction;
#[cfg(unix)]
mod shell;
#[cfg_attr(unix, path = "signals.rs")]
#[cfg_attr(windows, path = "signals_windows.rs")]
pub(crate) mod signals;
pub(crate) mod start;
pub(crate) mod step_services;
pub(crate) mod supervise;
#[cfg(unix)]
mod terminal;
#[cfg_attr(target_os = "linux", path = "zero_copy_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "zero_copy_stub.rs")]
mod zero_copy;

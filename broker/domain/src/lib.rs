//! Which words does the broker think in, and what may happen to a grant?
//!
//! Agents, trust rules, boundaries, grants and their moves, timeline events. Pure: no I/O, no clock, no
//! randomness; every fact comes in as an argument. Ids, durations and error codes are the protocol's, so that
//! a word has one type from the wire to the store.

pub mod agent;
pub mod aws;
pub mod boundary;
pub mod event;
pub mod grant;
pub mod lasting;
pub mod lease;
pub mod principal;
pub mod registration;
pub mod trust;

pub use agent::{Agent, AgentStatus};
pub use boundary::{Boundary, Place, TargetKind};
pub use event::NewEvent;
pub use grant::{EndCause, Ending, Grant, Phase, State, Step};
pub use lease::Lease;
pub use principal::{Principal, ReplayGuard};
pub use registration::{InvalidRegistration, Registration, UseCase};
pub use trust::{ClaimRule, Claims, Exception, TrustRule};

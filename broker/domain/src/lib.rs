//! Agents, trust rules, boundaries, grants and their transitions, timeline events.
//!
//! Pure: no I/O, no clock, no randomness; every fact is an argument. Ids, durations and error codes are the protocol's,
//! so that a word has one type from the wire to the store.

pub mod agent;
pub mod approval;
pub mod boundary;
pub mod break_glass;
pub mod decision;
pub mod event;
pub mod facts;
pub mod grant;
pub mod lease;
pub mod notification;
pub mod principal;
pub mod registration;
pub mod session;
pub mod standing_approval;
pub mod trust;

pub use agent::{Agent, AgentStatus};
pub use approval::{Approval, ApprovalSubject, Vote};
pub use boundary::{Boundary, Scope, ScopeName, TargetKind, TargetScope, aws};
pub use break_glass::{BreakGlass, SealedCode};
pub use decision::{Decision, DecisionSummary};
pub use event::NewEvent;
pub use facts::DecisionFacts;
pub use grant::{EndCause, Ending, Grant, Phase, State, Step, StepData, Waiting};
pub use lease::Lease;
pub use principal::{Principal, ReplayGuard};
pub use protocol::rules::{Decided, DecisionKind, Outcome, RuleSetDigest, Verdict};
pub use registration::{InvalidRegistration, Registration, Sensitivity, UseCase};
pub use session::Session;
pub use standing_approval::StandingApproval;
pub use trust::{ClaimRule, Claims, Exception, TrustRule};

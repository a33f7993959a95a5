//! The decision about a request: the boundary check, and then the rules, which can only refuse.
//!
//! Only this crate can make a [`Permit`], and no target acts without one. A [`rules::RuleSet`] makes none: recorded facts
//! can be decided again without reaching a target.

#![expect(missing_docs, reason = "the crate is private to the broker")]

mod check;
mod people;
mod permit;
pub mod rules;

pub use check::{AccessRequest, Holder, check};
pub use people::{NotPermitted, PeopleRules, Requested, Resource};
pub use permit::{Denied, Permit, WithinBoundary};

//! The pages of the console: from types of the protocol to HTML.
//!
//! Pure: no I/O, no clock, no HTTP. Text from outside gets into a page as `text::Shown` or `text::Lines` alone. Every page
//! works without JavaScript, and shows the command that does the same.

#![expect(missing_docs, reason = "an internal crate: a name that says everything needs no comment")]

use std::time::Duration;

use protocol::{Grant, PolicyName, Timestamp, Ttl};

pub mod agents;
pub mod break_glass;
pub mod export;
pub mod grants;
pub mod health;
pub mod layout;
pub mod registration;
pub mod requests;
pub mod rules;
mod text;
pub mod timelines;

pub use text::line_feeds;

/// The style of every page.
pub const STYLE: &str = include_str!("style.css");
/// What makes pages more convenient; nothing needs it.
pub const SCRIPT: &str = include_str!("console.js");

fn policies(grant: &Grant) -> String {
    grant.policies.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(", ")
}

/// `14m`, or `40s`: whole minutes, until less than one is left.
fn remaining(until: Timestamp, now: Timestamp) -> String {
    let left = until.since(now);
    let shown = if left < Duration::from_secs(60) { left.as_secs() } else { left.as_secs() / 60 * 60 };
    let shown = u32::try_from(shown).ok().and_then(|secs| Ttl::from_secs(secs).ok());
    shown.map_or_else(|| "0s".to_owned(), |left| left.to_string())
}

#[cfg(test)]
mod tests;

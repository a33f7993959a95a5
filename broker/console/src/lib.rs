//! The pages of the console: from types of the protocol to HTML.
//!
//! Pure: no I/O, no clock, no HTTP. Text from outside gets into a page as `text::Shown` alone. Every page works without
//! JavaScript, and shows the command that does the same.

#![expect(missing_docs, reason = "an internal crate: a name that says everything needs no comment")]

pub mod break_glass;
pub mod layout;
pub mod requests;
mod text;
pub mod timelines;

/// The style of every page.
pub const STYLE: &str = include_str!("style.css");
/// What makes pages more convenient; nothing needs it.
pub const SCRIPT: &str = include_str!("console.js");

#[cfg(test)]
mod tests;

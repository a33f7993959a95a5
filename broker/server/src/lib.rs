//! The broker process: HTTP API, configuration, and the commands [`dev`] and [`serve`].
//!
//! The only crate that depends on all others.

#![expect(missing_docs, reason = "the library is the broker's own: no other crate is built on it")]

pub mod build;
mod check_rules;
pub mod command_line;
pub mod config;
pub mod database;
pub mod dev;
mod dev_issuer;
pub mod http;
pub mod listen;
pub mod log;
mod metrics;
pub mod migrate;
mod registration_folder;
mod reload;
mod rules_folder;
pub mod serve;
pub mod tls;
mod traces;

pub use http::openapi::document as openapi;

//! How is the broker reached, configured and put together?
//!
//! The only crate that knows the others: HTTP in front, the engine behind, and the two ways to run it,
//! [`dev`] and [`serve`].

mod agents;
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
mod reload;
pub mod serve;
pub mod tls;
mod traces;
pub mod wiring;

pub use http::openapi::document as openapi;

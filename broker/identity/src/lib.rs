//! Who asks? From a workload's OIDC token to a verified [`domain::Principal`].
//!
//! A token is an [`UnverifiedToken`] until its issuer's signature holds, and proves nothing until a trust rule
//! of the agent accepts its claims. The only way through is [`Verifier::verify`]; keys come only from issuers
//! that a trust rule names. This crate knows no store and no clock: what a token may be used for again is
//! handed on as a [`domain::ReplayGuard`], and the time is an argument.

mod discovery;
mod http;
mod key_cache;
mod key_set;
mod platforms;
mod refused;
mod ring_key;
mod signature;
mod strict_json;
mod token;
mod verifier;

pub use discovery::Outage;
pub use http::{Http, UnusableCertificates};
pub use key_cache::CacheTimes;
pub use refused::Refused;
pub use token::{Malformed, UnverifiedToken};
pub use verifier::{Options, Verifier};

//! Verifies workload identities: from an OIDC token to a verified [`domain::Principal`].
//!
//! A token is an [`UnverifiedToken`] until its issuer's signature is verified, and proves nothing until a trust rule of
//! the agent accepts its claims. [`Verifier::verify`] is the only way to a principal; keys are fetched only from issuers
//! that a trust rule names. This crate has no store and no clock: the permitted reuse of a token is returned as a
//! [`domain::ReplayGuard`], and the time is an argument.

mod discovery;
mod explained;
mod http;
mod jwk;
mod key_cache;
mod key_set;
mod platforms;
mod refused;
mod security_event;
mod sign_in;
mod signature;
mod strict_json;
mod token;
mod verifier;

pub use discovery::Outage;
pub use explained::{Explained, explain_run};
pub use http::Http;
pub use key_cache::CacheTimes;
pub use outbound::UnusableCertificates;
pub use refused::Refused;
pub use security_event::{EventVerifier, SecurityEvents};
pub use sign_in::{SignIn, SignInConfig, SignInError, SignedIn, Started, code_challenge};
pub use token::{Malformed, UnverifiedToken};
pub use verifier::{Options, Verifier};

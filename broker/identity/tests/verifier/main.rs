//! Tests of the verifier: accepted tokens, refused tokens, and requests to issuers.
#![cfg(test)]

mod accepted;
mod algorithms;
mod explained;
mod hostile_tokens;
mod key_rotation;
mod local_issuer;
mod malformed_keys;
mod signed;

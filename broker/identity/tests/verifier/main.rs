//! Which tokens prove who asks, which do not, and what is asked of an issuer on the way?
#![cfg(test)]

mod accepted;
mod algorithms;
mod hostile_tokens;
mod key_rotation;
mod local_issuer;
mod malformed_keys;
mod signed;

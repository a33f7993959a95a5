//! Tests of attacks on identity, authorization, the network, the database and the secrets.

mod address_rate_limit;
mod authz;
mod denied_requests;
mod hostile_tokens;
mod identity;
#[cfg(target_os = "linux")]
mod leaks;
mod malformed_requests;
#[cfg(target_os = "linux")]
mod network;
mod timeline_tampering;

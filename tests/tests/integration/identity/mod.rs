//! Tests of OIDC issuers: key rotation, outages and the test provider itself.

mod issuer_key_rotation;
mod test_provider;

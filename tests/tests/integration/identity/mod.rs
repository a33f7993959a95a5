//! Tests OIDC issuers: keys that rotate, outages, and the provider that all tests use.

mod issuer_key_rotation;
mod test_provider;

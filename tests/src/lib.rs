//! What do the whole-system tests need to run real processes?

pub mod oidc_provider;

//! Fuzzes registration files: no panic, and an accepted file has a trust rule, or allows the auth token alone.

#![no_main]

use domain::registration::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(registration) = parse(text) {
        let rules = registration.trust.expect("`parse` refuses a registration whose rules are refused");
        assert!(
            registration.auth_token_only || !rules.is_empty(),
            "accepted without anything that proves the agent"
        );
    }
});

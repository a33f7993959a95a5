//! Whatever is in a registration file: no panic, and nothing is accepted that proves nothing or bounds nothing.

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

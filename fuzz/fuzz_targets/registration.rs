//! Whatever is in a registration file: no panic, and nothing is accepted that proves nothing or bounds nothing.

#![no_main]

use domain::registration::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(registration) = parse(text) {
        assert!(
            registration.auth_token_only || !registration.trust.is_empty(),
            "accepted without anything that proves the agent"
        );
    }
});

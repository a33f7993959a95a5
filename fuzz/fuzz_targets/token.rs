//! Fuzzes tokens: no panic, and the parsed claims equal the ones in the token.
//!
//! Input: a token; or, so that the fuzzer need not discover base64, the JSON of a header and of a payload on a line
//! each.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::UnverifiedToken;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let token = match text.split_once('\n') {
        Some((header, payload)) => {
            let [header, payload] = [header, payload].map(|json| URL_SAFE_NO_PAD.encode(json));
            format!("{header}.{payload}.c2lnbmF0dXJl")
        }
        None => text.to_owned(),
    };
    if let Ok(token) = UnverifiedToken::parse(&token) {
        assert!(!token.issuer().is_empty(), "accepted without an issuer");
        let claimed = token.claims().get("iss").and_then(|it| it.as_str());
        assert_eq!(claimed, Some(token.issuer()), "the issuer is not what the claims say");
    }
});

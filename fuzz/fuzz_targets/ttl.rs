//! Fuzzes durations: no panic, and an accepted one keeps its value when it is printed and parsed again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::Ttl;

fuzz_target!(|text: &str| {
    if let Ok(ttl) = text.parse::<Ttl>() {
        assert!((1..=86_400).contains(&ttl.as_secs()), "`{text}` gave {} s", ttl.as_secs());
        assert_eq!(ttl.to_string().parse(), Ok(ttl), "`{text}` changes when it is written back");
    }
});

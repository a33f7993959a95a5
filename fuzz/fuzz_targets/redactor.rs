//! Fuzzes the redactor: however the output is cut into pieces, no secret passes, and output without a secret is unchanged.
//!
//! Input: a byte for the length of the pieces, the secret up to a line end, and the output of the step.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use protocol::Secret;

#[expect(dead_code, reason = "the client's own file, of which this target uses a part")]
#[path = "../../cli/src/redact/mod.rs"]
mod redact;

use redact::{MASK, RedactedStream, Redactor};

fuzz_target!(|input: &[u8]| {
    let Some((piece, rest)) = input.split_first() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (secret, written) = (&rest[..end], &rest[end + 1..]);
    let Ok(secret) = std::str::from_utf8(secret) else { return };

    let redactor = Arc::new(Redactor::new(&[Secret::new(secret)]));
    let whole = redacted(&redactor, written, written.len().max(1));
    let pieces = redacted(&redactor, written, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "the way the output is cut changes what is written");

    // A secret that looks like the mask can arise from a mask and its neighbours.
    if secret.len() >= 6 && !secret.contains('*') {
        assert!(!contains(&whole, secret.as_bytes()), "the secret came out");
    }
    if !contains(&whole, MASK) {
        assert_eq!(whole, written, "nothing was masked, yet something changed");
    }
});

fn redacted(redactor: &Arc<Redactor>, written: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut stream = RedactedStream::new(Arc::clone(redactor));
    for piece in written.chunks(piece) {
        stream.push(piece, &mut out).expect("a Vec takes everything");
    }
    stream.finish(&mut out).expect("a Vec takes everything");
    out
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

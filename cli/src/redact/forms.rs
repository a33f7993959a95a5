//! The forms in which a secret appears in a step's output.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use protocol::Secret;
use zeroize::Zeroizing;

/// Shorter text is ignored: it would appear by chance and garble the log.
pub(super) const SHORTEST: usize = 6;

/// The columns at which tools break the lines of base64: `openssl` and PEM, and `base64` and MIME.
const COLUMNS: [usize; 2] = [64, 76];

/// The distinct forms of every secret that is long enough. A secret of several lines is also redacted line by line,
/// because a terminal or a logger changes the line ends.
pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::new();
    for secret in secrets {
        let whole = secret.reveal();
        for text in std::iter::once(whole).chain(whole.lines().map(str::trim)) {
            if text.len() >= SHORTEST {
                add_forms(text, &mut forms);
            }
        }
        if whole.len() >= SHORTEST {
            add_wrapped_base64(whole.as_bytes(), &mut forms);
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort_by(|a, b| a.as_slice().cmp(b.as_slice()));
    forms.dedup_by(|a, b| a.as_slice() == b.as_slice());
    forms
}

fn add_forms(text: &str, forms: &mut Vec<Zeroizing<Vec<u8>>>) {
    let mut add = |form: Vec<u8>| forms.push(Zeroizing::new(form));
    add(text.as_bytes().to_vec());
    for bytes_before in 0..3 {
        add(inner_base64(text.as_bytes(), bytes_before, &STANDARD_NO_PAD));
        add(inner_base64(text.as_bytes(), bytes_before, &URL_SAFE_NO_PAD));
    }
    for space in ["%20", "+"] {
        add(percent_encoded(text, space, "0123456789ABCDEF"));
        add(percent_encoded(text, space, "0123456789abcdef"));
    }
    if let Ok(quoted) = serde_json::to_string(text) {
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted);
        add(inner.as_bytes().to_vec());
        add(inner.replace('/', "\\/").into_bytes());
    }
}

/// Adds the forms with line breaks. The bytes before the secret decide where its first line breaks, so there are as many
/// forms as a line encodes bytes.
fn add_wrapped_base64(text: &[u8], forms: &mut Vec<Zeroizing<Vec<u8>>>) {
    for columns in COLUMNS {
        for bytes_before in 0..columns / 4 * 3 {
            forms.push(Zeroizing::new(wrapped(text, bytes_before, columns, &STANDARD_NO_PAD)));
            forms.push(Zeroizing::new(wrapped(text, bytes_before, columns, &URL_SAFE_NO_PAD)));
        }
    }
}

/// The base64 forms of `text` that depend on no neighbouring bytes, each one line: at every alignment, and as the lines of
/// the encoding of `text` alone.
pub(crate) fn base64_lines(text: &str) -> Vec<Zeroizing<String>> {
    let inside = (0..3).map(|bytes_before| inner_base64(text.as_bytes(), bytes_before, &STANDARD_NO_PAD));
    let broken = COLUMNS.into_iter().map(|columns| wrapped(text.as_bytes(), 0, columns, &STANDARD_NO_PAD));
    let forms: Vec<_> = inside
        .chain(broken)
        .map(|form| Zeroizing::new(String::from_utf8(form).unwrap_or_default()))
        .collect();
    forms.iter().flat_map(|form| form.lines()).map(|line| Zeroizing::new(line.to_owned())).collect()
}

/// Like [`inner_base64`], with a line break after every `columns` characters of the encoded data.
fn wrapped(text: &[u8], bytes_before: usize, columns: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let inner = Zeroizing::new(inner_base64(text, bytes_before % 3, engine));
    let first = (bytes_before * 8).div_ceil(6);
    let mut lines = Vec::with_capacity(inner.len() + inner.len() / columns + 1);
    for (at, character) in inner.iter().enumerate() {
        if at > 0 && (first + at).is_multiple_of(columns) {
            lines.push(b'\n');
        }
        lines.push(*character);
    }
    lines
}

/// The characters that `text` alone decides when `bytes_before` (0, 1 or 2) bytes of something else come
/// before it in the encoded data: the first and last character may mix in bits of the neighbours.
fn inner_base64(text: &[u8], bytes_before: usize, engine: &impl base64::Engine) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; bytes_before]);
    padded.extend_from_slice(text);
    let encoded = Zeroizing::new(engine.encode(&padded).into_bytes());
    let first = (bytes_before * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded.get(first..end).unwrap_or_default().to_vec()
}

fn percent_encoded(text: &str, space: &str, digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    let digit = |value: u8| digits.get(usize::from(value)).copied().unwrap_or_default();
    let mut encoded = Vec::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.extend_from_slice(space.as_bytes()),
            b'-' | b'_' | b'.' | b'~' => encoded.push(byte),
            other if other.is_ascii_alphanumeric() => encoded.push(other),
            other => encoded.extend_from_slice(&[b'%', digit(other >> 4), digit(other & 15)]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn has(forms: &[Zeroizing<Vec<u8>>], form: &[u8]) -> bool {
        forms.iter().any(|known| known.as_slice() == form)
    }

    #[test]
    fn common_encodings_are_forms() {
        let forms = of(&[Secret::new("pass/w\"rd +1")]);
        assert!(has(&forms, b"pass/w\"rd +1"));
        assert!(has(&forms, b"pass%2Fw%22rd%20%2B1"));
        assert!(has(&forms, b"pass%2fw%22rd+%2b1"));
        assert!(has(&forms, b"pass/w\\\"rd +1"));
        assert!(has(&forms, b"pass\\/w\\\"rd +1"));
    }

    #[test]
    fn base64_is_found_at_every_alignment() {
        let secret = "k3y-with/many+bits";
        let forms = of(&[Secret::new(secret)]);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "yz", "\n"] {
                let encoded = STANDARD.encode(format!("{before}{secret}{after}"));
                assert!(
                    forms
                        .iter()
                        .any(|form| encoded.as_bytes().windows(form.len()).any(|w| w == form.as_slice())),
                    "{encoded}"
                );
            }
        }
    }

    #[test]
    fn base64_in_lines_is_found_wherever_the_secret_begins() {
        let secret =
            "k3y-with/many+bits-and-more-of-them-than-a-line-of-base64-holds-of-any-width-that-tools-use";
        let forms = of(&[Secret::new(secret)]);
        for columns in COLUMNS {
            for before in 0..200 {
                let encoded = STANDARD.encode(format!("{}{secret}\n", "x".repeat(before)));
                let lines: Vec<&[u8]> = encoded.as_bytes().chunks(columns).collect();
                let printed = lines.join(&b'\n');
                let found = forms.iter().any(|form| {
                    form.len() >= secret.len() && printed.windows(form.len()).any(|w| w == form.as_slice())
                });
                assert!(found, "{before} bytes before, {columns} columns");
            }
        }
    }

    #[test]
    fn lines_count_alone_and_short_text_does_not_count() {
        let forms = of(&[Secret::new("first line\nshort\nsecond line\r\n"), Secret::new("12345")]);
        assert!(has(&forms, b"first line"));
        assert!(has(&forms, b"second line"));
        assert!(!has(&forms, b"short"));
        assert!(!has(&forms, b"12345"));
    }
}

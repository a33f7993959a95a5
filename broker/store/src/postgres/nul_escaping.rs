//! Escapes the NUL character, which PostgreSQL does not store in text.

use std::borrow::Cow;

/// Returns a text without NUL that differs for different inputs.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\\']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0"))
}

/// Reverses [`escaped`].
pub(super) fn unescaped(stored: &str) -> String {
    let mut text = String::with_capacity(stored.len());
    let mut rest = stored.chars();
    while let Some(one) = rest.next() {
        text.push(match one {
            '\\' if rest.next() == Some('0') => '\0',
            other => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_read_back_and_stored_without_nul() {
        for text in ["", "GET /orders", "\0", "\\0", "a\\\0\\\\0b\0\0", "📦\\"] {
            let kept = escaped(text);
            assert!(!kept.contains('\0'), "{kept:?}");
            assert_eq!(unescaped(&kept), text);
        }
        assert_ne!(escaped("\0"), escaped("\\0"));
    }
}

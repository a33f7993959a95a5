//! How is a text kept that has the one character in it that PostgreSQL does not take?

use std::borrow::Cow;

/// As it is stored: no NUL in it, and never the same as another text's.
pub(super) fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\\']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('\0', "\\0"))
}

/// As it was.
pub(super) fn read(stored: &str) -> String {
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
    fn what_is_stored_is_read_back_and_has_no_nul() {
        for text in ["", "GET /orders", "\0", "\\0", "a\\\0\\\\0b\0\0", "📦\\"] {
            let kept = stored(text);
            assert!(!kept.contains('\0'), "{kept:?}");
            assert_eq!(read(&kept), text);
        }
        assert_ne!(stored("\0"), stored("\\0"));
    }
}

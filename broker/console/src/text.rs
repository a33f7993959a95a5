//! The only ways by which text from outside gets into a page.

use maud::{Escaper, Render};
use protocol::printable::printable;
use std::fmt::Write as _;

/// Text from outside: controls, directions and invisible characters are shown as `\u{…}`, and HTML is escaped.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Render for Shown<'_> {
    fn render_to(&self, buffer: &mut String) {
        let _ = Escaper::new(buffer).write_str(&printable(self.0));
    }
}

/// Text from outside in a field that is sent back: like [`Shown`], with its line breaks as they are.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl Render for Lines<'_> {
    fn render_to(&self, buffer: &mut String) {
        for (n, line) in self.0.split('\n').enumerate() {
            if n > 0 {
                buffer.push('\n');
            }
            Shown(line).render_to(buffer);
        }
    }
}

/// What a person typed into a text field: browsers send its line breaks as CR LF.
pub fn line_feeds(typed: &str) -> String {
    typed.replace("\r\n", "\n")
}

/// Text from outside that may be missing.
pub(crate) fn shown_or<'a>(text: Option<&'a str>, otherwise: &'a str) -> Shown<'a> {
    Shown(text.unwrap_or(otherwise))
}

//! Makes text from outside safe to show on a terminal and in the log of a CI platform.
//!
//! A claim, a reason or a branch can contain characters that move the cursor, turn the direction of text or are
//! invisible, and commands that a CI platform executes when they are in a job's log.

use std::fmt::Write as _;

/// Escapes every invisible character of the text as `\u{…}`: controls, formats (which turn the
/// direction, join or have no width), line and paragraph separators, private and unassigned ones, and spaces that
/// are not the usual one. Platform commands (`##vso[`, `##[`, `::name::` at the beginning) are broken the same way.
pub fn printable(text: &str) -> String {
    let beginning = text.trim_start().starts_with("::").then(|| text.len() - text.trim_start().len());
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if is_seen(c) && !begins_command(text, at) && beginning != Some(at) {
            out.push(c);
        } else {
            let _ = write!(out, "{}", c.escape_unicode());
        }
    }
    out
}

/// Escapes the same characters and commands in the strings of a JSON document.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (at, c) in json.char_indices() {
        // A line break between strings is layout; JSON escapes those in strings.
        if c == '\n' || is_seen(c) && !begins_command(json, at) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// Whether the character is visible: `Debug` does not escape it, which follows the Unicode categories. A combining mark
/// is visible with the letter before it.
pub fn is_seen(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let with_a_letter = ['a', c].into_iter().collect::<String>();
    with_a_letter.escape_debug().eq(with_a_letter.chars())
}

/// Matches `##[name]` and `##name[…]`, which Azure DevOps and TeamCity execute anywhere in a line, and GitHub the first.
fn begins_command(text: &str, at: usize) -> bool {
    let rest = text.get(at..).and_then(|rest| rest.strip_prefix("##"));
    rest.is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_text_is_unchanged() {
        for text in [
            "policy attached · orders-read · 15m → now … ✓",
            "it's \"quoted\" and back\\slashed, 100 % ~ `x`",
            "Grüße, 日本語, हिन्दी, Ελληνικά, עברית, العربية, 👍🏽",
            "e\u{301} is an accent by itself",
            "C# #42, ## heading, a::b, [x], ####",
        ] {
            assert_eq!(printable(text), text);
            assert_eq!(printable_json(text), text);
        }
    }

    #[test]
    fn invisible_characters_are_escaped() {
        let ranges = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{a0}',
            '\u{ad}'..='\u{ad}',
            '\u{61c}'..='\u{61c}',
            '\u{180e}'..='\u{180e}',
            '\u{2000}'..='\u{200f}',
            '\u{2028}'..='\u{202f}',
            '\u{205f}'..='\u{206f}',
            '\u{e000}'..='\u{e003}',
            '\u{feff}'..='\u{feff}',
            '\u{fff9}'..='\u{fffb}',
            '\u{e0001}'..='\u{e007f}',
        ];
        for c in ranges.into_iter().flatten() {
            let text = format!("a{c}b");
            assert_eq!(printable(&text), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
    }

    #[test]
    fn printable_json_keeps_its_value_and_escapes_invisible_characters() {
        let value = serde_json::json!({"reason": "a\u{9b}2J\u{202e}b\u{e0041}\n##vso[task.setvariable]x ##[error]y é"});
        let text = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.contains(r"a\u009b2J\u202eb\udb40\udc41\n\u0023#vso[task"), "{text}");
        assert!(text.contains(r"\u0023#[error]y é"), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn commands_of_ci_platforms_are_escaped() {
        for (text, shown) in [
            ("x ##vso[task.setvariable variable=a]b", r"x \u{23}#vso[task.setvariable variable=a]b"),
            ("##[group]x", r"\u{23}#[group]x"),
            ("###VSO[a]", r"#\u{23}#VSO[a]"),
            ("##teamcity[message]", r"\u{23}#teamcity[message]"),
            ("::set-output name=a::b", r"\u{3a}:set-output name=a::b"),
            ("  ::add-mask::x", r"  \u{3a}:add-mask::x"),
            ("##\u{200b}vso[a]", r"##\u{200b}vso[a]"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}

//! Checks the words of comments and documents, and the subjects of commits.
//!
//! Only what a machine can decide: words that name no actor (`somebody`), words for which the glossary has the field's
//! term (`take back`), and modules that open with a question.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{program, root, text};

/// A phrase that the style rules out, and what to write.
struct Rule {
    /// Lower-case phrases, found at the beginning of a word and matched to the end of a word.
    phrases: &'static [&'static str],
    instead: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        phrases: &["whoever", "whomever", "somebody", "someone", "nobody"],
        instead: "name the actor: the caller, the client, the broker, the worker, another grant",
    },
    Rule {
        phrases: &["give back", "gives back", "gave back", "given back", "giving back"],
        instead: "revoke (a grant), return (a value), release (a lock)",
    },
    Rule {
        phrases: &["take back", "takes back", "took back", "taken back", "taking back"],
        instead: "revoke (a grant), revert (a step), roll back (a grant that never became active)",
    },
    Rule { phrases: &["got ready", "gets ready", "has leave", "had leave"], instead: "prepared, permitted" },
    Rule { phrases: &["deaf", "fell silent", "falls silent"], instead: "unreachable, misses its heartbeats" },
    Rule { phrases: &["let go", "lets go", "letting go"], instead: "release" },
    Rule { phrases: &["dead session", "dead sessions"], instead: "refused session (session-deny policy)" },
];

/// Subjects of commits are checked from here on.
const SUBJECTS_SINCE: &str = "2026-11-29T11:30:00Z";
/// In characters.
const LONGEST_SUBJECT: usize = 72;

/// Fails with every place where a comment or document has a phrase that the style rules out.
pub(crate) fn check() -> Result<()> {
    let listed = text(program("git").args(["ls-files", "-z"]))?;
    let mut found = String::new();
    for path in listed.split('\0').filter(|path| is_prose_of_ours(path)) {
        // Deleted in the working tree, and not committed yet.
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        for (line, what) in problems(path, &text) {
            writeln!(found, "{path}:{line}: {what}")?;
        }
    }
    if found.is_empty() {
        Ok(())
    } else {
        bail!("phrases for which docs/book/src/develop/glossary.md has the field's term:\n{found}")
    }
}

/// Fails with every commit on this branch whose subject is too long.
pub(crate) fn check_subjects() -> Result<()> {
    let since = format!("--since={SUBJECTS_SINCE}");
    let subjects = text(program("git").args(["log", "--no-merges", "--format=%h %s", &since]))
        .context("expected a git repository with history")?;
    let too_long: Vec<&str> = subjects.lines().filter(|line| is_too_long(line)).collect();
    if too_long.is_empty() {
        return Ok(());
    }
    bail!("expected commit subjects of at most {LONGEST_SUBJECT} characters, found:\n{}", too_long.join("\n"))
}

fn is_too_long(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(_, subject)| subject.chars().count() > LONGEST_SUBJECT)
}

fn is_prose_of_ours(path: &str) -> bool {
    // The history keeps its words, and this file has to name the phrases.
    let is_exempt = ["CHANGELOG.md", "LICENSE", "xtask/src/words.rs"].contains(&path);
    !is_exempt && (comment_marker(path).is_some() || path.ends_with(".md"))
}

/// What begins a comment in files of this kind.
fn comment_marker(path: &str) -> Option<&'static str> {
    let extension = Path::new(path).extension()?.to_str()?;
    match extension {
        "rs" | "js" | "mjs" | "groovy" | "java" | "go" => Some("//"),
        "sh" | "yml" | "yaml" | "toml" | "py" | "ps1" => Some("#"),
        "sql" => Some("--"),
        _ => None,
    }
}

/// Each problem with the number of its line.
fn problems(path: &str, text: &str) -> Vec<(usize, String)> {
    let marker = comment_marker(path);
    let mut problems = Vec::new();
    if let Some(first) = text.lines().next().filter(|line| line.starts_with("//! ") && line.ends_with('?')) {
        let question = first.trim_start_matches("//! ");
        problems.push((1, format!("`{question}`: say what the module does, in one sentence")));
    }
    for (number, line) in text.lines().enumerate() {
        let prose = match marker {
            Some(marker) => line.find(marker).and_then(|at| line.get(at..)).unwrap_or_default(),
            None => line,
        };
        let prose = prose.to_lowercase();
        for rule in RULES {
            for phrase in rule.phrases.iter().filter(|phrase| has_word(&prose, phrase)) {
                problems.push((number + 1, format!("`{phrase}`: {}", rule.instead)));
            }
        }
    }
    problems
}

fn has_word(text: &str, phrase: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(phrase).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + phrase.len()..).and_then(|after| after.chars().next());
        !is_letter(before) && !is_letter(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_in_comments_and_documents_and_not_in_code() {
        let rust = "//! Locks.\nlet nobody = 1; // Somebody holds it.\nfn take_back() {}\n";
        assert_eq!(problems("a.rs", rust).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2]);
        assert_eq!(problems("a.md", "It is taken back.\n").len(), 1);
        assert_eq!(problems("a.sql", "SELECT 'nobody'; -- nobody\n").len(), 1);
        assert_eq!(problems("a.md", "The deafening noise; nobodys.\n"), []);
    }

    #[test]
    fn a_module_that_opens_with_a_question_is_found() {
        assert_eq!(problems("a.rs", "//! What is locked?\n").len(), 1);
        assert_eq!(problems("a.rs", "//! Locks of shared objects.\n"), []);
    }

    #[test]
    fn subjects_of_more_than_72_characters_are_too_long() {
        assert!(!is_too_long(&format!("abc1234 {}", "x".repeat(72))));
        assert!(is_too_long(&format!("abc1234 {}", "x".repeat(73))));
    }
}

//! The files of a rule set: their limits and their digest.

use std::collections::BTreeMap;

use domain::RuleSetDigest;
use sha2::{Digest, Sha256};

use super::problems::RuleProblem;

/// The most files in a rule set.
pub const MAX_FILES: usize = 100;
/// The most bytes in all files of a rule set.
pub const MAX_BYTES: usize = 1024 * 1024;

const EXTENSION: &str = ".cedar";

pub(super) fn check(files: &BTreeMap<String, String>) -> Vec<RuleProblem> {
    let mut problems = Vec::new();
    if files.is_empty() {
        let problem = "expected at least one file of rules, found none";
        problems.push(RuleProblem::of_set(problem, "a rule set that permits nothing refuses every request"));
    }
    if files.len() > MAX_FILES {
        let problem = format!("expected at most {MAX_FILES} files, found {}", files.len());
        problems.push(RuleProblem::of_set(problem, "put rules that belong together in one file"));
    }
    let bytes: usize = files.values().map(String::len).sum();
    if bytes > MAX_BYTES {
        let problem = format!("expected at most {MAX_BYTES} bytes in all files, found {bytes}");
        problems
            .push(RuleProblem::of_set(problem, "write one rule about a group in place of many about agents"));
    }
    for name in files.keys().filter(|name| !is_file_name(name)) {
        let problem = format!(
            "expected a file name of a-z, 0-9, `.`, `_` and `-` that ends in `{EXTENSION}`, found {name:?}"
        );
        problems.push(RuleProblem::of_set(problem, "rename the file"));
    }
    problems
}

fn is_file_name(name: &str) -> bool {
    let stem = name.strip_suffix(EXTENSION).unwrap_or_default();
    is_name(stem) && name.len() <= 128
}

/// Whether this is 1 or more of a-z, 0-9, `.`, `_` and `-`.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

/// SHA-256 over the names and texts in the order of the names, each after its length in 8 bytes.
pub(super) fn digest(files: &BTreeMap<String, String>) -> Result<RuleSetDigest, String> {
    let mut hash = Sha256::new();
    for part in files.iter().flat_map(|(name, text)| [name, text]) {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse()
}

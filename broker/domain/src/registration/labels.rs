//! Checks labels and groups, which rules refer to.

use std::collections::BTreeMap;

use super::{InvalidRegistration, refused};

/// The most labels, and the most groups.
const MAX: usize = 32;
/// The longest name and value, in bytes.
const MAX_LEN: usize = 128;

pub(super) fn check(labels: &BTreeMap<String, String>, groups: &[String]) -> Result<(), InvalidRegistration> {
    for (key, found) in [("labels", labels.len()), ("groups", groups.len())] {
        if found > MAX {
            return Err(refused(key, format!("expected at most {MAX}, found {found}")));
        }
    }
    for (name, value) in labels {
        is_name(name).map_err(|problem| refused("labels", problem))?;
        if value.len() > MAX_LEN || value.chars().any(char::is_control) {
            let problem =
                format!("expected at most {MAX_LEN} bytes without control characters, found {value:?}");
            return Err(refused(format!("labels.{name}"), problem));
        }
    }
    for (n, name) in groups.iter().enumerate() {
        is_name(name).map_err(|problem| refused(format!("groups[{n}]"), problem))?;
        if groups.iter().take(n).any(|other| other == name) {
            return Err(refused(format!("groups[{n}]"), format!("`{name}` is there already")));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    if !name.is_empty() && name.len() <= MAX_LEN && name.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("expected 1 to {MAX_LEN} letters, digits, `-`, `_`, `.` and `/`, found {name:?}"))
}

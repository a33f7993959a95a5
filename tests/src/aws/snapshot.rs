//! Compares the state of an account before and after.

use std::fmt;

use serde_json::{Map, Value};

/// An account's roles, users with their keys, customer managed policies, and EKS pod identity associations: everything
/// that can carry access. Two snapshots are equal if only ids and dates differ.
#[derive(Clone, PartialEq)]
pub struct Snapshot(Value);

impl Snapshot {
    pub(super) fn new(seen: Value) -> Self {
        Self(seen)
    }

    /// The snapshot as JSON: `roles`, `users` and `policies` by ARN, `associations` by
    /// `cluster/namespace/service account`.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The differences to the later snapshot, one per line; empty if there are none.
    pub fn changes_until(&self, later: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        compare("", &self.0, &later.0, &mut changes);
        changes
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<String>) {
    if before == after {
        return;
    }
    let (Some(before_map), Some(after_map)) = (before.as_object(), after.as_object()) else {
        changes.push(format!("{path}: was {before}, is {after}"));
        return;
    };
    let only_in = |one: &Map<String, Value>, other: &Map<String, Value>, what: &str| {
        one.iter()
            .filter(|(name, _)| !other.contains_key(*name))
            .map(|(name, value)| format!("{path}/{name}: {what}: {value}"))
            .collect::<Vec<_>>()
    };
    changes.extend(only_in(before_map, after_map, "is gone"));
    changes.extend(only_in(after_map, before_map, "is new"));
    for (name, before) in before_map {
        if let Some(after) = after_map.get(name) {
            compare(&format!("{path}/{name}"), before, after, changes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_reported_by_path() {
        let before = Snapshot::new(json!({"roles": {"a": {"inline": {}}, "b": {}}}));
        let after = Snapshot::new(json!({"roles": {"a": {"inline": {"x": 1}}, "c": {}}}));
        let changes = before.changes_until(&after);
        assert_eq!(
            changes,
            ["/roles/b: is gone: {}", "/roles/c: is new: {}", "/roles/a/inline/x: is new: 1"]
        );
        assert!(before.changes_until(&before.clone()).is_empty());
    }
}

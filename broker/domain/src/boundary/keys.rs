//! Reads the keys of `[boundary]` or of one `[[boundary.scope]]`. Each target takes the keys of its schema.

use std::collections::BTreeMap;

use protocol::PolicyName;
use serde::de::DeserializeOwned;

use super::Policies;

/// A key, with its expected and found value.
pub(crate) type Refused = (String, String);

/// The keys that are not read yet, and the names of those that the schema knows.
pub(crate) struct Keys {
    table: toml::Table,
    known: Vec<&'static str>,
}

impl Keys {
    pub(crate) fn new(table: toml::Table) -> Self {
        Self { table, known: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, Refused> {
        self.known.push(key);
        let value = self.table.remove(key).map(toml::Value::try_into::<T>).transpose();
        value.map_err(|error| (key.to_owned(), error.message().trim_end().to_owned()))
    }

    /// The text of a key; empty if it is missing.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<String, Refused> {
        Ok(self.take::<String>(key)?.unwrap_or_default())
    }

    /// `policies`, at least one.
    pub(crate) fn policies<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Policies<T>, Refused> {
        let texts = self.take::<BTreeMap<PolicyName, String>>("policies")?.unwrap_or_default();
        if texts.is_empty() {
            let problem =
                "no permitted policy: expected at least one, like `{ \"orders-read\" = \"orders:read\" }`";
            return Err(("policies".to_owned(), problem.to_owned()));
        }
        Policies::parse(texts, parse).map_err(|(name, problem)| (format!("policies.{name}"), problem))
    }

    /// Refuses a key that no schema reads; `context` is the key that selects the schema.
    pub(crate) fn finish(mut self, context: &str) -> Result<(), Refused> {
        let Some(key) = self.table.keys().next() else { return Ok(()) };
        self.known.sort_unstable();
        let known = self.known.join("`, `");
        Err((key.clone(), format!("means nothing for `{context}`: expected one of `{known}`")))
    }
}

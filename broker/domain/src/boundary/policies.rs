//! Permitted policies, each with its meaning at a target.

use std::collections::BTreeMap;

use protocol::PolicyName;

/// Policies in an order: a registration's by name, a permit's as the request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies<T>(Vec<(PolicyName, T)>);

impl<T> Policies<T> {
    /// Parses each policy's text; an error has the policy's name.
    pub(super) fn parse(
        texts: BTreeMap<PolicyName, String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Self, (PolicyName, String)> {
        let one = |(name, text): (PolicyName, String)| match parse(&text) {
            Ok(meaning) => Ok((name, meaning)),
            Err(problem) => Err((name, problem)),
        };
        texts.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &PolicyName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Each with its meaning.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&PolicyName, &T)> {
        self.0.iter().map(|(name, meaning)| (name, meaning))
    }
}

impl<T: Clone> Policies<T> {
    /// These alone, in this order.
    pub(super) fn only(&self, names: &[PolicyName]) -> Self {
        let find = |name: &PolicyName| self.0.iter().find(|(known, _)| known == name).cloned();
        Self(names.iter().filter_map(find).collect())
    }
}

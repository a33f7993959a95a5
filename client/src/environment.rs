//! A snapshot of the environment, taken once and passed as an argument.
//!
//! The library reads the process environment in [`Env::from_process`] only, and changes it nowhere.

mod variables;

use std::collections::BTreeMap;
use std::fmt;

pub use self::variables::{OUTPUT, SETTINGS, VARIABLES, Var};

/// A snapshot of the environment. A value that is not UTF-8 counts as unset.
#[derive(Clone)]
pub struct Env {
    values: BTreeMap<String, String>,
    /// The variables that a program reads beyond [`VARIABLES`].
    also_declared: &'static [Var],
}

impl Env {
    /// The environment of this process.
    pub fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_pairs(std::env::vars_os().filter_map(text))
    }

    /// An environment made of these variables and nothing else.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (as_key(name.into()), value.into())).collect();
        Self { values, also_declared: &[] }
    }

    /// The same environment with another value of a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(as_key(name.to_owned()), value.to_owned());
        self
    }

    /// Lets a program read its own variables with [`Self::get`] too.
    #[must_use]
    pub fn declaring(self, variables: &'static [Var]) -> Self {
        Self { also_declared: variables, ..self }
    }

    /// The value of a declared variable; an empty value counts as unset.
    ///
    /// # Panics
    ///
    /// In debug builds, if neither [`VARIABLES`] nor [`Self::declaring`] declares the variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(
            VARIABLES.iter().chain(self.also_declared).any(|variable| variable.name == name),
            "`{name}` is read, but not declared in environment/variables.rs"
        );
        self.get_named_by_user(name)
    }

    /// The value of a variable that the user names (`CLOUDANIX_OIDC_TOKEN_VARIABLE`).
    pub fn get_named_by_user(&self, name: &str) -> Option<&str> {
        self.values.get(&as_key(name.to_owned())).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all variables that are set and not empty.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }
}

/// Prints names only: any value may be a secret.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

// Windows takes `Path` and `PATH` for the same variable.
fn as_key(name: String) -> String {
    if cfg!(windows) { name.to_ascii_uppercase() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_counts_as_unset() {
        let env = Env::from_pairs([("CLOUDANIX_URL", ""), ("CLOUDANIX_AGENT_ID", "a")]);
        assert_eq!(env.get("CLOUDANIX_URL"), None);
        assert_eq!(env.get("CLOUDANIX_AGENT_ID"), Some("a"));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "not declared")]
    fn an_undeclared_variable_cannot_be_read() {
        Env::from_pairs([("SURPRISE", "1")]).get("SURPRISE");
    }

    #[test]
    fn a_program_can_declare_its_own_variables() {
        const OWN: &[Var] = &[Var::open("a test", "SURPRISE", "a variable of the test")];
        assert_eq!(Env::from_pairs([("SURPRISE", "1")]).declaring(OWN).get("SURPRISE"), Some("1"));
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let shown = format!("{:?}", Env::from_pairs([("CLOUDANIX_AUTH_TOKEN", "hunter2")]));
        assert!(shown.contains("CLOUDANIX_AUTH_TOKEN") && !shown.contains("hunter2"));
    }
}

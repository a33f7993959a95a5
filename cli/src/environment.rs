//! What did the environment say when we started, and what of it must the child not see?
//!
//! [`Env`] is a snapshot, taken once in `main` and handed down; nothing else reads the process environment.
//! Every variable that is read stands once in [`VARIABLES`], from which `docs/book/src/reference/environment.md` is rendered.

mod variables;

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use protocol::Secret;

pub(crate) use variables::{CHILD_VARIABLES, VARIABLES, Var};

use crate::handed::IN_THE_WAY_OF_AWS;
use crate::identity::{UnverifiedClaims, audience};

/// A snapshot of the environment. A value that is not UTF-8 counts as unset.
#[derive(Clone)]
pub(crate) struct Env(BTreeMap<String, String>);

impl Env {
    /// The environment of this process.
    pub(crate) fn from_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::from_pairs(std::env::vars_os().filter_map(text))
    }

    /// An environment made of these variables and nothing else.
    pub(crate) fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (as_key(name.into()), value.into())).collect())
    }

    /// The value of a variable that [`VARIABLES`] declares; one that is empty counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(
            VARIABLES.iter().any(|variable| variable.name == name),
            "`{name}` is read, but not declared in environment/variables.rs"
        );
        self.get_named_by_user(name)
    }

    /// The value of a variable whose name came from outside (`CLOUDANIX_OIDC_TOKEN_VARIABLE`).
    pub(crate) fn get_named_by_user(&self, name: &str) -> Option<&str> {
        self.0.get(&as_key(name.to_owned())).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all variables that are set and not empty.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The variables to take out of the child's environment: [`scrubbed`], and whatever else carries a token
    /// that was minted for the broker.
    ///
    /// A step's own `VAULT_ID_TOKEN` is minted for another audience and stays.
    pub(crate) fn scrubbed_for_child(&self) -> Vec<String> {
        let named = self.get("CLOUDANIX_OIDC_TOKEN_VARIABLE");
        let ours = |name: &str| {
            scrubbed().contains(&name) || named == Some(name) || self.id_token_for(name, audience(self))
        };
        self.names().filter(|name| ours(name)).map(str::to_owned).collect()
    }

    /// Variables `…_ID_TOKEN` that hold a token for this audience.
    pub(crate) fn id_tokens_for(&self, audience: &str) -> Vec<&str> {
        self.names().filter(|name| self.id_token_for(name, audience)).collect()
    }

    fn id_token_for(&self, name: &str, audience: &str) -> bool {
        name.ends_with("_ID_TOKEN")
            && self
                .get_named_by_user(name)
                .and_then(|value| UnverifiedClaims::read(&Secret::new(value)).ok())
                .is_some_and(|claims| claims.audiences().contains(&audience))
    }
}

/// Prints names only: any value may be a secret.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// Windows takes `Path` and `PATH` for the same variable.
fn as_key(name: String) -> String {
    if cfg!(windows) { name.to_ascii_uppercase() } else { name }
}

/// What no child ever sees: with one of these it could mint an identity, or take a grant, of its own.
pub(crate) fn scrubbed() -> &'static [&'static str] {
    &[
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "ACTIONS_RUNTIME_TOKEN",
        "BITBUCKET_STEP_OIDC_TOKEN",
        "BUILDKITE_AGENT_ACCESS_TOKEN",
        "CIRCLE_OIDC_TOKEN",
        "CIRCLE_OIDC_TOKEN_V2",
        "CLOUDANIX_AUTH_TOKEN",
        "CLOUDANIX_AUTH_TOKEN_FILE",
        "CLOUDANIX_ID_TOKEN",
        "CLOUDANIX_OIDC_TOKEN",
        "CLOUDANIX_OIDC_TOKEN_FILE",
        "CLOUDANIX_OPERATOR_TOKEN",
        "SYSTEM_ACCESSTOKEN",
    ]
}

/// `docs/book/src/reference/environment.md`.
pub(crate) fn document() -> String {
    let mut page = String::from(
        "# Environment variables\n\n\
         <!-- Generated from cli/src/environment/variables.rs: change it there. -->\n\n\
         Everything that `cloudanix-jit` reads. An empty variable counts as unset. *Secret* values are never \
         printed; what is marked *removed* is taken out of the environment of the command that `run` starts, \
         and so is any other `…_ID_TOKEN` that was minted for the broker's audience.\n",
    );
    let mut read_by = "";
    for variable in VARIABLES {
        if variable.read_by != read_by {
            read_by = variable.read_by;
            let _ = write!(page, "\n## {read_by}\n\n| variable | what it is | |\n|---|---|---|\n");
        }
        row(&mut page, variable);
    }
    page.push_str(
        "\n## Set for the command that `run` starts\n\n| variable | what it is | |\n|---|---|---|\n",
    );
    for variable in CHILD_VARIABLES {
        row(&mut page, variable);
    }
    let in_the_way: Vec<String> = IN_THE_WAY_OF_AWS.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(
        page,
        "\nA grant that gives an AWS session takes away what an SDK would use in its place, before its own is \
         given: {}.\n",
        in_the_way.join(", ")
    );
    page
}

fn row(page: &mut String, variable: &Var) {
    let marks: Vec<&str> =
        [variable.secret.then_some("secret"), scrubbed().contains(&variable.name).then_some("removed")]
            .into_iter()
            .flatten()
            .collect();
    let _ = writeln!(page, "| `{}` | {} | {} |", variable.name, variable.about, marks.join(", "));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identity::fake_token;

    #[test]
    fn every_variable_is_declared_once_and_described() {
        // A variable may be both read and set: a command within a run knows its grant.
        for variables in [VARIABLES, CHILD_VARIABLES] {
            let mut seen = BTreeSet::new();
            for variable in variables {
                assert!(seen.insert(variable.name), "`{}` is declared twice", variable.name);
                assert!(variable.about.len() > 10 && !variable.about.contains('|'), "{}", variable.name);
            }
        }
    }

    #[test]
    fn variables_of_one_reader_stand_together() {
        let mut readers: Vec<&str> = VARIABLES.iter().map(|variable| variable.read_by).collect();
        readers.dedup();
        let distinct: BTreeSet<&str> = readers.iter().copied().collect();
        assert_eq!(readers.len(), distinct.len(), "a section of the document would come twice");
    }

    #[test]
    fn every_secret_that_is_read_is_kept_from_the_child() {
        for variable in VARIABLES.iter().filter(|variable| variable.secret) {
            assert!(scrubbed().contains(&variable.name), "`{}`", variable.name);
        }
        for name in scrubbed() {
            assert!(VARIABLES.iter().any(|variable| variable.name == *name), "`{name}` is not declared");
        }
    }

    #[test]
    fn empty_counts_as_unset() {
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
    fn debug_shows_names_and_no_values() {
        let shown = format!("{:?}", Env::from_pairs([("CLOUDANIX_AUTH_TOKEN", "hunter2")]));
        assert!(shown.contains("CLOUDANIX_AUTH_TOKEN") && !shown.contains("hunter2"));
    }

    #[test]
    fn tokens_for_the_broker_are_taken_from_the_child_and_the_steps_own_are_left() {
        let ours = fake_token("cloudanix-jit");
        let env = Env::from_pairs([
            ("CLOUDANIX_AUTH_TOKEN", "cjat_x"),
            ("CLOUDANIX_OIDC_TOKEN_VARIABLE", "JIT_JWT"),
            ("JIT_JWT", ours.reveal()),
            ("OTHER_NAME_ID_TOKEN", ours.reveal()),
            ("VAULT_ID_TOKEN", fake_token("https://vault.example").reveal()),
            ("NOT_A_JWT_ID_TOKEN", "abc"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(env.scrubbed_for_child(), ["CLOUDANIX_AUTH_TOKEN", "JIT_JWT", "OTHER_NAME_ID_TOKEN"]);
    }

    #[test]
    fn the_document_marks_secrets() {
        let page = document();
        assert!(
            page.lines()
                .any(|line| line.starts_with("| `CLOUDANIX_AUTH_TOKEN`") && line.contains("secret, removed"))
        );
        assert!(page.lines().any(|line| line.starts_with("| `CLOUDANIX_URL`") && line.ends_with("|  |")));
    }
}

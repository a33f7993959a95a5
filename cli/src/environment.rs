//! The environment of the commands, and the document of every variable.
//!
//! [`Env`] is a snapshot, taken once in `main` and passed as an argument; nothing else reads the process environment. Every
//! variable that is read is declared once, in the library's [`jit_client::environment::VARIABLES`] or in
//! [`VARIABLES`]. `docs/book/src/reference/environment.md` is rendered from both.

mod variables;

use std::fmt::Write as _;

use jit_client::environment::Var;
use jit_client::{Env, SCRUBBED};

use self::variables::{CHILD_VARIABLES, VARIABLES};
use crate::step_env::CONFLICTING_AWS_VARS;

/// The environment of this process.
pub(crate) fn from_process() -> Env {
    Env::from_process().declaring(VARIABLES)
}

/// An environment for tests: these variables and nothing else.
#[cfg(test)]
pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Env {
    Env::from_pairs(pairs.iter().copied()).declaring(VARIABLES)
}

/// Every variable that the program reads.
fn all_variables() -> impl Iterator<Item = &'static Var> {
    jit_client::environment::VARIABLES.iter().chain(VARIABLES)
}

/// Renders `docs/book/src/reference/environment.md`.
pub(crate) fn document() -> String {
    let mut page = String::from(
        "# Environment variables\n\n\
         <!-- Generated from client/src/environment/variables.rs and cli/src/environment/variables.rs: change it \
         there. -->\n\n\
         Everything that `cloudanix-jit` reads. An empty variable counts as unset. *Secret* values are never \
         printed; what is marked *removed* is taken out of the environment of the command that `run` starts, \
         and so is any other `…_ID_TOKEN` that was minted for the broker's audience. `run --observe` removes only \
         those of them that begin with `CLOUDANIX_` or were minted for the broker's audience.\n",
    );
    let mut sections: Vec<&str> = Vec::new();
    for variable in all_variables() {
        if !sections.contains(&variable.read_by) {
            sections.push(variable.read_by);
        }
    }
    for section in sections {
        let _ = write!(page, "\n## {section}\n\n| variable | what it is | |\n|---|---|---|\n");
        for variable in all_variables().filter(|variable| variable.read_by == section) {
            row(&mut page, variable);
        }
    }
    page.push_str(
        "\n## Set for the command that `run` starts\n\n| variable | what it is | |\n|---|---|---|\n",
    );
    for variable in CHILD_VARIABLES {
        row(&mut page, variable);
    }
    let conflicting: Vec<String> = CONFLICTING_AWS_VARS.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(
        page,
        "\nA grant that gives an AWS session takes away what an SDK would use in its place, before its own is \
         given: {}.\n",
        conflicting.join(", ")
    );
    page
}

fn row(page: &mut String, variable: &Var) {
    let marks: Vec<&str> =
        [variable.secret.then_some("secret"), SCRUBBED.contains(&variable.name).then_some("removed")]
            .into_iter()
            .flatten()
            .collect();
    let _ = writeln!(page, "| `{}` | {} | {} |", variable.name, variable.about, marks.join(", "));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_variable_is_declared_once_and_described() {
        // A variable may be both read and set: a command within a run knows its grant.
        for variables in [all_variables().collect(), CHILD_VARIABLES.iter().collect::<Vec<_>>()] {
            let mut names = BTreeSet::new();
            for variable in variables {
                assert!(names.insert(variable.name), "`{}` is declared twice", variable.name);
                assert!(variable.about.len() > 10 && !variable.about.contains('|'), "{}", variable.name);
            }
        }
    }

    #[test]
    fn every_secret_that_is_read_is_kept_from_the_child() {
        for variable in all_variables().filter(|variable| variable.secret) {
            assert!(SCRUBBED.contains(&variable.name), "`{}`", variable.name);
        }
    }

    #[test]
    fn the_document_has_each_section_once() {
        let page = document();
        let sections: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        let distinct: BTreeSet<&str> = sections.iter().copied().collect();
        assert_eq!(sections.len(), distinct.len());
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

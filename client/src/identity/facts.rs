//! The facts of the run, each with the variable that it was read from.

use protocol::Facts;

use crate::environment::Env;

/// The longest value that is passed on, in characters.
const LONGEST: usize = 256;

/// The facts that a platform can know, see [`protocol::Facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The repository.
    Repository,
    /// The workflow.
    Workflow,
    /// The run.
    Run,
    /// The attempt of the run.
    Attempt,
    /// The job.
    Job,
    /// The step.
    Step,
    /// The commit.
    Commit,
    /// The branch or tag.
    GitRef,
    /// The person or program that started the run.
    Actor,
    /// The deployment environment.
    Environment,
    /// The event that started the run.
    Event,
    /// The pod, with its namespace.
    Pod,
    /// The run's page.
    Url,
}

impl Fact {
    /// The name in the broker's provenance.
    pub fn name(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Workflow => "workflow",
            Self::Run => "run",
            Self::Attempt => "attempt",
            Self::Job => "job",
            Self::Step => "step",
            Self::Commit => "commit",
            Self::GitRef => "ref",
            Self::Actor => "actor",
            Self::Environment => "environment",
            Self::Event => "event",
            Self::Pod => "pod",
            Self::Url => "url",
        }
    }
}

/// One fact and its origin.
#[derive(Debug, Clone)]
pub struct ObservedFact {
    /// The fact.
    pub fact: Fact,
    /// Its value.
    pub value: String,
    /// The variables or the file that it was read from.
    pub from: String,
}

impl ObservedFact {
    /// A fact made of more than one variable.
    pub(super) fn made(fact: Fact, value: String, from: &str) -> Self {
        Self { fact, value: value.chars().take(LONGEST).collect(), from: from.to_owned() }
    }
}

/// For each fact, the first of its variables that is set.
pub(super) fn from_variables(env: &Env, table: &[(Fact, &[&str])]) -> Vec<ObservedFact> {
    let first = |(fact, variables): &(Fact, &[&str])| {
        let (name, value) = variables.iter().find_map(|name| Some((*name, env.get(name)?)))?;
        Some(ObservedFact::made(*fact, value.to_owned(), name))
    };
    table.iter().filter_map(first).collect()
}

/// The address of a repository without the user name and password that some CIs leave in it.
pub(super) fn without_login(address: &str) -> String {
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => address.to_owned(),
    }
}

/// The facts as they are sent to the broker.
pub(super) fn collect(facts_found: &[ObservedFact]) -> Facts {
    let mut facts = Facts::default();
    for ObservedFact { fact, value, .. } in facts_found {
        let field = match fact {
            Fact::Repository => &mut facts.repository,
            Fact::Workflow => &mut facts.workflow,
            Fact::Run => &mut facts.run,
            Fact::Attempt => &mut facts.attempt,
            Fact::Job => &mut facts.job,
            Fact::Step => &mut facts.step,
            Fact::Commit => &mut facts.commit,
            Fact::GitRef => &mut facts.git_ref,
            Fact::Actor => &mut facts.actor,
            Fact::Environment => &mut facts.environment,
            Fact::Event => &mut facts.event,
            Fact::Pod => &mut facts.pod,
            Fact::Url => &mut facts.url,
        };
        *field = Some(value.clone());
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_repository_address_is_removed() {
        for (address, left) in [
            ("https://ci:s3cret@git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://ci:p@ss@git.example/a", "https://git.example/a"),
            ("https://git.example/a@b", "https://git.example/a@b"),
            ("https://token@git.example", "https://git.example"),
            ("git@github.com:o/r.git", "git@github.com:o/r.git"),
        ] {
            assert_eq!(without_login(address), left);
        }
    }

    #[test]
    fn every_fact_has_the_field_of_its_name() {
        let all = [
            Fact::Repository,
            Fact::Workflow,
            Fact::Run,
            Fact::Attempt,
            Fact::Job,
            Fact::Step,
            Fact::Commit,
            Fact::GitRef,
            Fact::Actor,
            Fact::Environment,
            Fact::Event,
            Fact::Pod,
            Fact::Url,
        ];
        let found = all.map(|fact| ObservedFact::made(fact, fact.name().to_owned(), ""));
        let facts = collect(&found);
        assert_eq!(facts.iter().count(), all.len());
        assert!(facts.iter().all(|(name, value)| name == value));
    }

    #[test]
    fn a_fact_is_cut_at_the_longest_length() {
        assert_eq!(ObservedFact::made(Fact::Job, "x".repeat(10_000), "").value.len(), LONGEST);
    }
}

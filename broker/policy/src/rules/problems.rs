//! Problems of a rule set, each with its place.

use std::fmt;

use miette::Diagnostic;

use super::schema::Action;

/// A mistake in a rule set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleProblem {
    /// The file, unless the problem is one of the whole set.
    pub place: Option<Place>,
    /// What was expected and what was found.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// All problems of a rule set; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblems(Vec<RuleProblem>);

impl RuleProblem {
    pub(super) fn of_set(problem: impl Into<String>, hint: &str) -> Self {
        Self {
            place: None,
            problem: problem.into(),
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
        }
    }

    pub(super) fn new(place: Place, problem: impl Into<String>, hint: &str) -> Self {
        Self {
            place: Some(place),
            problem: problem.into(),
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
        }
    }

    /// What Cedar found; `otherwise` is the place if Cedar says none.
    pub(super) fn of_cedar(found: &impl Diagnostic, source: Source<'_>, otherwise: usize) -> Self {
        let start = found.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        Self {
            place: Some(source.place(start.unwrap_or(otherwise))),
            problem: in_words_of_rules(&found.to_string()),
            hint: found.help().map(|help| help.to_string()),
        }
    }
}

/// Cedar speaks of policies, and of each action apart. Here a policy is what is requested, and both actions have the same
/// context, so that one mistake is one problem.
fn in_words_of_rules(problem: &str) -> String {
    let problem = match problem.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
        Some((id, problem)) => format!("rule `{id}`: {problem}"),
        None => problem.to_owned(),
    };
    Action::ALL.iter().fold(problem, |problem, action| {
        problem.replace(&format!("in context for {}", action.entity()), "in `context`")
    })
}

/// A file of rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn place(self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl RuleProblems {
    pub(super) fn new(mut problems: Vec<RuleProblem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// Each problem, by file and place.
    pub fn iter(&self) -> impl Iterator<Item = &RuleProblem> {
        self.0.iter()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// One problem a line.
impl fmt::Display for RuleProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleProblems {}

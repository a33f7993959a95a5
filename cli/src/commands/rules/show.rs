//! The state, the history and the files of the rules as text.

use std::fmt::Write as _;

use jit_client::Client;
use protocol::printable::printable;
use protocol::rules::{CaseAnswer, RuleSetDigest, RuleSetFiles, RulesAction, RulesState, RulesTested};

use super::RETRIES;
use crate::error::CliError;

/// With fewer digits, a digest is not told from another word.
const FEWEST_DIGITS: usize = 8;

/// The rule set that the user names: by its role, its digest, or the first digits of the digest.
pub(super) async fn find(client: &Client, set: &str) -> Result<RuleSetDigest, CliError> {
    let by_role = |digest: Option<RuleSetDigest>| {
        digest.ok_or_else(|| CliError::usage(format!("there is no {set} rule set")))
    };
    match set {
        "active" => return by_role(client.rules(RETRIES).await?.active),
        "candidate" => return by_role(client.rules(RETRIES).await?.candidate),
        _ => {}
    }
    if let Ok(digest) = set.parse() {
        return Ok(digest);
    }
    if set.len() < FEWEST_DIGITS || !set.bytes().all(|b| b.is_ascii_hexdigit()) {
        let shown: String = set.chars().take(80).collect();
        return Err(CliError::usage(format!(
            "SET: expected `active`, `candidate` or at least {FEWEST_DIGITS} digits of a digest, found `{shown}`"
        )));
    }
    let mut found: Vec<RuleSetDigest> = Vec::new();
    for state in history(client).await? {
        let named = [state.active, state.candidate].into_iter().flatten();
        found.extend(named.filter(|digest| digest.as_str().starts_with(set)));
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [digest] => Ok(digest.clone()),
        [] => Err(CliError::usage(format!("no rule set has a digest that begins with `{set}`"))
            .with_hint("`cloudanix-jit rules history` lists them")),
        [_, ..] => {
            Err(CliError::usage(format!("{} rule sets have a digest that begins with `{set}`", found.len())))
        }
    }
}

/// Every change, newest first.
pub(super) async fn history(client: &Client) -> Result<Vec<RulesState>, CliError> {
    let mut changes = Vec::new();
    let mut before = None;
    loop {
        let page = client.rules_history(before, RETRIES).await?;
        changes.extend(page.changes);
        match page.next {
            Some(next) if before != Some(next) => before = Some(next),
            Some(_) | None => return Ok(changes),
        }
    }
}

/// The state as rows.
pub(super) fn state(state: &RulesState) -> String {
    let digest = |digest: &Option<RuleSetDigest>, none: &str| {
        digest.as_ref().map_or_else(|| none.to_owned(), RuleSetDigest::to_string)
    };
    let mut text = format!(
        "active     {}\ncandidate  {}\n",
        digest(&state.active, "none: what the boundaries permit is allowed"),
        digest(&state.candidate, "none"),
    );
    if !state.rollout.is_empty() {
        let _ = writeln!(text, "rollout    {}", printable(&state.rollout.join(", ")));
    }
    if state.version > 0 {
        let _ = writeln!(
            text,
            "changed    {} · {} · by {} · version {}",
            state.at,
            in_words(state.action),
            printable(&state.by),
            state.version
        );
    }
    text
}

/// The state in one line.
pub(super) fn summary(state: &RulesState) -> String {
    let short = |digest: &Option<RuleSetDigest>| {
        digest.as_ref().map_or_else(|| "none".to_owned(), |digest| digest.short().to_owned())
    };
    let mut text = format!("active {} · candidate {}", short(&state.active), short(&state.candidate));
    if !state.rollout.is_empty() {
        let _ = write!(text, " · decides for {}", state.rollout.join(", "));
    }
    text
}

/// A table of changes.
pub(super) fn changes(changes: &[RulesState]) -> String {
    let width = changes.iter().map(|state| in_words(state.action).len()).max().unwrap_or(0);
    let mut text = String::new();
    for state in changes {
        let _ = writeln!(
            text,
            "{:>4}  {}  {:<width$}  {}  by {}",
            state.version,
            state.at,
            in_words(state.action),
            printable(&summary(state)),
            printable(&state.by),
        );
    }
    text
}

/// The files of a set, one after the other.
pub(super) fn files(set: &RuleSetFiles) -> String {
    let mut text =
        format!("digest   {}\ncreated  {} · by {}\n", set.digest, set.created_at, printable(&set.created_by));
    for (name, content) in &set.files {
        let _ = writeln!(text, "\n// {}", printable(name));
        for line in content.lines() {
            text.push_str(&printable(line));
            text.push('\n');
        }
    }
    text
}

fn in_words(action: RulesAction) -> &'static str {
    match action {
        RulesAction::None => "none",
        RulesAction::Apply => "apply",
        RulesAction::ApplyCandidate => "apply candidate",
        RulesAction::Promote => "promote",
        RulesAction::Rollout => "rollout",
        RulesAction::Rollback => "rollback",
        RulesAction::ClearCandidate => "clear candidate",
    }
}

/// What each set answers to each request.
pub(super) fn tested(tested: &RulesTested) -> String {
    let mut text = String::new();
    for (set, answers) in [("active", &tested.active), ("candidate", &tested.candidate)] {
        let Some(answers) = answers else {
            let _ = writeln!(text, "{set:<9}  no set");
            continue;
        };
        for CaseAnswer { name, verdict, failure } in answers {
            let mut line = format!(
                "{set:<9}  {}  {} {}",
                printable(name),
                verdict.outcome.as_str(),
                super::deciding(verdict.outcome, &verdict.rules)
            );
            for more in verdict.errors.iter().chain(&verdict.hints).chain(failure) {
                let _ = write!(line, " · {}", printable(more));
            }
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

//! Rules: which sets decide, how they differ, which rules decide nothing, and requests to try them on.

use maud::{Markup, html};
use protocol::Timestamp;
use protocol::rules::{
    CaseAnswer, Comparison, Flip, Outcome, RuleSetDigest, RuleSetFiles, RulesHistory, RulesState,
    RulesTested, Verdict,
};

use crate::layout::{Page, RULES, Viewer, csrf, exports};
use crate::text::{Lines, Shown};

/// The longest text of rules on a page, in bytes.
const MAX_TEXT: usize = 24 * 1024;
/// The most rows of a table that is not read in pages.
const MAX_ROWS: usize = 100;

/// Which sets decide, the active one, and the changes before.
pub fn state(state: &RulesState, active: Option<&RuleSetFiles>, history: &RulesHistory) -> Page {
    let content = html! {
        dl {
            dt { "Active" } dd { (set(state.active.as_ref(), "none: whatever a boundary permits is granted")) }
            dt { "Candidate" } dd { (set(state.candidate.as_ref(), "none")) }
            @if !state.rollout.is_empty() {
                dt { "The candidate decides for" } dd { (Shown(&state.rollout.join(", "))) }
            }
            @if state.version > 0 {
                dt { "Changed" } dd { (state.at.to_the_second()) " · " (state.action.as_str()) " · " (Shown(&state.by)) }
            }
        }
        p {
            a href="/console/rules/report" { "What differs, and what decides nothing" }
            " · " a href="/console/rules/test" { "Test a request" }
        }
        @if let Some(active) = active { h2 { "The active rules" } (texts(active)) }
        h2 { "Changes" }
        @if history.changes.is_empty() { p { "None yet." } } @else { (changes(history)) }
        (exports(RULES, ""))
    };
    Page { title: "Rules".to_owned(), part: RULES, command: "cloudanix-jit rules show".to_owned(), content }
}

fn set(digest: Option<&RuleSetDigest>, otherwise: &str) -> Markup {
    html! {
        @match digest {
            Some(digest) => { a href={ "/console/rules/sets/" (digest) } { (digest.short()) } }
            None => { (otherwise) }
        }
    }
}

fn texts(set: &RuleSetFiles) -> Markup {
    let length: usize = set.files.values().map(String::len).sum();
    html! {
        @if length > MAX_TEXT {
            p { "They have " (length) " bytes, more than a page shows." }
        } @else {
            @for (name, text) in &set.files {
                h3 { (Shown(name)) }
                pre tabindex="0" { code { (Lines(text)) } }
            }
        }
    }
}

fn changes(history: &RulesHistory) -> Markup {
    html! {
        table {
            thead { tr { th { "Version" } th { "When" } th { "Change" } th { "By" } th { "Active" } th { "Candidate" } } }
            tbody {
                @for change in &history.changes {
                    tr {
                        td { (change.version) }
                        td data-label="When" { (change.at.to_the_second()) }
                        td data-label="Change" { (change.action.as_str()) }
                        td data-label="By" { (Shown(&change.by)) }
                        td data-label="Active" { (set(change.active.as_ref(), "none")) }
                        td data-label="Candidate" { (set(change.candidate.as_ref(), "none")) }
                    }
                }
            }
        }
    }
}

/// The files of one set.
pub fn one_set(set: &RuleSetFiles) -> Page {
    let content = html! {
        dl {
            dt { "Digest" } dd { (set.digest) }
            dt { "Applied first" } dd { (set.created_at.to_the_second()) " · " (Shown(&set.created_by)) }
        }
        (texts(set))
    };
    Page {
        title: format!("Rule set {}", set.digest.short()),
        part: RULES,
        command: format!("cloudanix-jit rules show {}", set.digest.short()),
        content,
    }
}

/// Recorded decisions, compared with the rules of now.
pub struct Report {
    pub since: Timestamp,
    /// The active set, asked again; none if no set is active.
    pub active: Option<Comparison>,
    /// What the candidate answered beside it.
    pub candidate: Option<Comparison>,
}

/// What differs, and which rules decided nothing.
pub fn report(report: &Report) -> Page {
    let day = report.since.to_string();
    let day = day.get(..10).unwrap_or_default();
    let content = html! {
        form .filter method="get" action="/console/rules/report" {
            label { "Decisions since" input type="date" name="since" value=(day); }
            button type="submit" { "Show" }
        }
        h2 { "Candidate" }
        @match &report.candidate {
            None => { p { "There is no candidate." } }
            Some(comparison) => {
                (counted(comparison))
                (flips(&comparison.flips))
                (decides_nothing(comparison))
                (exports("/console/rules/report", &format!("since={day}")))
            }
        }
        h2 { "Active" }
        @match &report.active {
            None => { p { "No set is active." } }
            Some(comparison) => {
                (counted(comparison))
                p .hint { "A decision differs here if other rules were active when it was made." }
                (flips(&comparison.flips))
                (decides_nothing(comparison))
            }
        }
    };
    Page {
        title: "What differs, and what decides nothing".to_owned(),
        part: RULES,
        command: "cloudanix-jit rules diff-report --since 7d".to_owned(),
        content,
    }
}

fn counted(comparison: &Comparison) -> Markup {
    html! {
        p {
            (comparison.decisions) " decisions, " (comparison.same) " with the same outcome."
            @if comparison.next.is_some() { " There are more: the first are compared." }
        }
    }
}

fn flips(flips: &[Flip]) -> Markup {
    html! {
        @if !flips.is_empty() {
            table {
                thead { tr { th { "Agent" } th { "Before" } th { "Now" } th { "By" } th { "Decisions" } th { "The last" } } }
                tbody { @for flip in flips.iter().take(MAX_ROWS) { (flip_row(flip)) } }
            }
            @if flips.len() > MAX_ROWS { p { "The first " (MAX_ROWS) " of " (flips.len()) " are shown." } }
        }
    }
}

fn flip_row(flip: &Flip) -> Markup {
    html! {
        tr {
            td { (flip.agent) }
            td data-label="Before" { (flip.before.as_str()) }
            td data-label="Now" { @if flip.is_wider() { strong { (flip.after.as_str()) ", wider" } } @else { (flip.after.as_str()) } }
            td data-label="By" { (by(&flip.rules)) }
            td data-label="Decisions" { (flip.count) }
            td data-label="The last" {
                @if let Some(grant) = &flip.grant { a href={ "/console/grants/" (grant) } { (grant) } }
            }
        }
    }
}

fn by(rules: &[String]) -> Markup {
    html! { @if rules.is_empty() { "no rule permits it" } @else { (Shown(&rules.join(", "))) } }
}

fn decides_nothing(comparison: &Comparison) -> Markup {
    let unused: Vec<&str> =
        comparison.rules.iter().filter(|(_, decided)| **decided == 0).map(|(id, _)| id.as_str()).collect();
    html! {
        p {
            @if unused.is_empty() {
                "Every rule decided something."
            } @else {
                "Decided nothing: " strong { (Shown(&unused.join(", "))) } "."
            }
        }
    }
}

/// A request to try, and what came of it.
pub struct Test<'a> {
    pub cases: &'a str,
    pub tested: Option<&'a RulesTested>,
    /// Why it could not be tried.
    pub problem: Option<&'a str>,
}

/// A request to start from.
pub const EXAMPLE: &str = "[[case]]
name     = \"a deployment on Friday evening\"
expect   = \"allow\"
at       = \"2026-12-04T18:30:00Z\"
ttl      = \"15m\"
agent    = { id = \"orders-deploy\", groups = [\"production\"] }
policies = [{ name = \"orders-write\", sensitivity = \"high\" }]
signed   = { ref = \"refs/heads/main\", environment = \"production\" }
";

/// The page that tries requests.
pub fn test(test: &Test<'_>, viewer: &Viewer) -> Page {
    let content = html! {
        p { "What do the rules say to a request? Nothing is granted and nothing is recorded. What a case does not say has a default." }
        @if let Some(problem) = test.problem { p .alarm role="alert" { (Lines(problem)) } }
        @if let Some(tested) = test.tested {
            h2 { "Answers" }
            (answers("Active", tested.active.as_deref(), "No set is active: whatever the boundary permits is granted."))
            (answers("Candidate", tested.candidate.as_deref(), "There is no candidate."))
        }
        form .questions method="post" action="/console/rules/test" {
            (csrf(viewer))
            label {
                "Requests, as test cases"
                textarea name="cases" rows="16" maxlength="60000" spellcheck="false" { "\n" (Lines(test.cases)) }
            }
            p { button .good type="submit" { "Try" } }
        }
        form .questions method="post" action="/console/rules/test" {
            (csrf(viewer))
            label { "Or the recorded request for a grant" input name="grant" required placeholder="elev-0123456789abcdef" maxlength="64" autocomplete="off"; }
            p { button type="submit" { "Take it from there" } }
        }
    };
    Page {
        title: "Test a request".to_owned(),
        part: RULES,
        command: "cloudanix-jit rules try -f FILE".to_owned(),
        content,
    }
}

fn answers(set: &str, answers: Option<&[CaseAnswer]>, otherwise: &str) -> Markup {
    html! {
        h3 { (set) }
        @match answers {
            None => { p { (otherwise) } }
            Some(answers) => {
                ul { @for answer in answers { li { (answered(answer)) } } }
            }
        }
    }
}

fn answered(answer: &CaseAnswer) -> Markup {
    let Verdict { outcome, rules, hints, quorum, errors, .. } = &answer.verdict;
    html! {
        (Shown(&answer.name)) ": " strong { (outcome.as_str()) } " · " (by(rules))
        @if let Some(quorum) = quorum.filter(|_| *outcome == Outcome::NeedsApproval) { " · " (quorum) " to approve" }
        @for hint in hints { " · " (Shown(hint)) }
        @for error in errors { " · " (Shown(error)) }
        @if let Some(failure) = &answer.failure { " · " (Shown(failure)) }
    }
}
